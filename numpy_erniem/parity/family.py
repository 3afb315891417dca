"""XLM-RoBERTa and its family: their own classes in torch, beside what `convert` makes of them."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numpy_erniem.checkpoint.config_files import read_config
from numpy_erniem.checkpoint.wrappers import unwrap
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.conversion import convert
from numpy_erniem.conversion.report import Report
from numpy_erniem.conversion.sentence_transformers import transformer_folder
from numpy_erniem.conversion.tokenizers import lower_case_settings
from numpy_erniem.conversion.xlm_roberta import FAMILY
from numpy_erniem.models.schema import BASE_MODEL, TOKEN_TABLE
from numpy_erniem.parity.golden import Arrays
from numpy_erniem.parity.upstream import (
    NEEDED,
    as_model_inputs,
    layer_outputs,
    upstream_weights,
)

CLASSES = {
    "xlm-roberta": "XLMRoberta",
    "roberta": "Roberta",
    "camembert": "Camembert",
    "bert": "Bert",
}
FAST_TOKENIZER_FILE = "tokenizer.json"


class Opened(NamedTuple):
    """A checkpoint that can be run here.

    Attributes
    ----------
    source : Path
        The folder that was given.
    encoder : Path
        The folder in it with the encoder and its tokenizer: the same, or such as 0_Transformer.
    folder : Path
        The folder that `load` takes: `source`, or what `convert` made of it.
    notes : list of str
        What the conversion could not do.
    """

    source: Path
    encoder: Path
    folder: Path
    notes: list[str]

    @property
    def is_converted(self) -> bool:
        """Whether the source is of XLM-RoBERTa's family."""
        return self.folder != self.source


@contextmanager
def opened(source: Path) -> Iterator[Opened]:
    """Convert a folder of XLM-RoBERTa's family into a temporary one; leave another as it is."""
    encoder = transformer_folder(source)
    if read_config(encoder).get("model_type") not in FAMILY:
        yield Opened(source, source, source, [])
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder, notes = Path(temporary, "converted"), []
        try:
            convert(source, folder)
        except (ValueError, FileNotFoundError) as error:
            convert(source, folder, tokenizer=False)  # raises again if the weights are at fault
            notes.append(f"token ids are drawn, without the tokenizer: {error}")
        yield Opened(source, encoder, folder, notes)


def family_outputs(source: Path, config: ErnieMConfig, inputs: Arrays) -> Arrays:
    """Run the class of `transformers` that the source is of.

    Parameters
    ----------
    source : Path
        A folder of XLM-RoBERTa's family.
    config : ErnieMConfig
        Of what was converted; its architecture says which head there is.
    inputs : dict of str to array
        input_ids and attention_mask, (B, T) integers.

    Returns
    -------
    dict of str to array
        As from `layer_outputs`; numbers at padding are 0, because padding has other positions here.

    Raises
    ------
    ValueError
        torch or transformers is missing, or the folder lacks a tensor.
    """
    try:
        torch, transformers = import_module("torch"), import_module("transformers")
    except ImportError:
        raise ValueError(NEEDED) from None
    values = read_config(source)
    ours = (config.architectures or [BASE_MODEL])[0]
    name = CLASSES[values["model_type"]] + ours.removeprefix("ErnieM")
    model_class = getattr(transformers, name)
    weights = _library_names(unwrap(upstream_weights(torch, source))[0], model_class)
    options = {}
    if ours == BASE_MODEL:
        options["add_pooling_layer"] = any("pooler.dense" in n for n in weights)
    values.setdefault("num_labels", config.num_labels)
    model = model_class(model_class.config_class.from_dict(values), **options).eval()
    _load(model, weights, source)
    with torch.no_grad():
        tensors = {
            n: torch.from_numpy(x)
            for n, x in as_model_inputs(inputs, name, positions=False).items()
        }
        output = model(**tensors, output_hidden_states=True, return_dict=True)
    return without_padding(layer_outputs(output), inputs["attention_mask"])


def _library_names(weights: dict[str, Any], model_class: Any) -> dict[str, Any]:
    """Names as the class has them: TensorFlow's names of parameters, the encoder's prefix."""
    prefix = f"{model_class.base_model_prefix}."
    table = next((n for n in weights if n.endswith(TOKEN_TABLE)), TOKEN_TABLE)
    before = table.removesuffix(TOKEN_TABLE)
    after = "" if model_class.__name__.endswith("Model") else prefix
    found = {}
    for name, tensor in weights.items():
        name = name.replace("LayerNorm.gamma", "LayerNorm.weight")
        name = name.replace("LayerNorm.beta", "LayerNorm.bias")
        inner = name.removeprefix(before)
        of_encoder = inner.startswith(("embeddings.", "encoder.", "pooler."))
        found[after + inner if of_encoder else name] = tensor.float()
    return found


def _load(model: Any, weights: dict[str, Any], source: Path) -> None:
    """Put weights into a model; ValueError if one is missing that is not tied to another."""
    state = model.state_dict()
    used = {name: x for name, x in weights.items() if name in state}
    filled = {state[name].data_ptr() for name in used}
    missing = [n for n, x in state.items() if x.is_floating_point() and x.data_ptr() not in filled]
    if missing:
        raise ValueError(
            f"{source} lacks {', '.join(missing[:3])}, which {type(model).__name__} needs"
        )
    model.load_state_dict(used, strict=False)


def without_padding(outputs: Arrays, mask: np.ndarray) -> Arrays:
    """The outputs of `layer_outputs` with 0 in place of every number at a padding token."""
    of_tokens = ("embeddings", "layer", "start_logits", "end_logits")
    return {
        name: np.where(mask.reshape(mask.shape + (1,) * (x.ndim - 2)) != 0, x, 0)
        if name.startswith(of_tokens) or (name == "logits" and x.ndim == 3)
        else x
        for name, x in outputs.items()
    }


def library_token_ids(source: Path, texts: Sequence[str], longest: int) -> list[list[int]]:
    """Token ids by the source's own tokenizer in `transformers`.

    Parameters
    ----------
    source : Path
        The folder of the encoder. If its settings of sentence-transformers say do_lower_case, the
        texts are lowered first.
    texts : sequence of str
    longest : int
        Most tokens of a text.

    Returns
    -------
    list of list of int

    Raises
    ------
    ValueError
        transformers cannot load the tokenizer here.
    """
    if lower_case_settings(source, Report()):
        texts = [text.lower() for text in texts]
    try:
        tokenizer = import_module("transformers").AutoTokenizer.from_pretrained(
            source, use_fast=(source / FAST_TOKENIZER_FILE).is_file(), local_files_only=True
        )
        batch = tokenizer(list(texts), truncation=True, max_length=longest)
    except Exception as error:  # of the tokenizer's many libraries
        line = " ".join(str(error).split())[:200]
        raise ValueError(f"transformers could not run the source's tokenizer: {line}") from None
    return [list(map(int, ids)) for ids in batch["input_ids"]]
