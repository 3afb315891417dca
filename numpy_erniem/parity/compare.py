"""check_parity(): our outputs against upstream's on the same inputs, layer by layer."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numpy_erniem.backend.dispatch import backend_report, use_backend
from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checkpoint.sentence_settings import read_sentence_settings
from numpy_erniem.models import ErnieMModel, load
from numpy_erniem.models.padding import check_pad_token
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.parity.family import (
    Opened,
    family_outputs,
    library_token_ids,
    opened,
    without_padding,
)
from numpy_erniem.parity.golden import Arrays, read_golden, write_golden
from numpy_erniem.parity.report import Difference, ParityReport
from numpy_erniem.parity.sentences import MODULES_FILE, sentence_vectors
from numpy_erniem.parity.upstream import (
    as_model_inputs,
    layer_outputs,
    upstream_outputs,
    upstream_versions,
)
from numpy_erniem.pipelines.embed import Embedder
from numpy_erniem.pipelines.texts import take_texts

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from numpy_erniem.checkpoint.keywords import HubOptions

TOLERANCE = 1e-4  # twelve float32 layers with hidden states of size 10
LEAST_COSINES = {"int8": 0.99, "bfloat16": 0.999}  # of all numbers of a layer
TOKEN_IDS, VECTORS = "token ids", "sentence vectors"
OF_TEXTS = (TOKEN_IDS, VECTORS)  # not in a golden file, which has no texts
TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "敏捷的棕色狐狸跳过了懒狗。",
    "Zażółć gęślą jaźń, 2020年!",
    "ok",
)


def check_parity(
    model: str | os.PathLike | None = None,
    texts: Sequence[str] | None = None,
    *,
    tolerance: float | None = None,
    save: str | os.PathLike | None = None,
    against: str | os.PathLike | None = None,
    dtype: str | None = None,
    **hub_options: "Unpack[HubOptions]",
) -> ParityReport:
    """Compare our outputs, from NumPy and from the C kernels, with upstream's.

    Parameters
    ----------
    model : path or str, optional
        A folder, or a name on the Hugging Face hub; None is the bundled checkpoint. A model of the
        XLM-RoBERTa family is converted into a temporary folder, and compared with its own class:
        token ids, every layer, the head, and sentence vectors (without prompts). Numbers at padding
        are left out.
    texts : sequence of str, optional
        The inputs. Left out, four short texts in several scripts, or drawn ids for a checkpoint
        without a tokenizer.
    tolerance : float, optional
        Largest absolute difference of any number. Left out, it is 1e-4 where we compute in
        float32; the layers of int8 and bfloat16 are judged by their cosine.
    save : path, optional
        Write inputs and upstream's outputs there, an .npz.
    against : path, optional
        Compare with such a file, on its inputs, in place of running upstream; needs no torch.
    dtype : {"float32", "bfloat16", "int8"}, optional
        Of our arithmetic, as of a model's `from_pretrained`. Upstream's is float32, of an int8
        checkpoint with the weights widened.
    **hub_options
        revision, cache_dir, local_files_only, subfolder, token and force_download: where the
        model is, as of `numpy_erniem.checkpoint.keywords.HubOptions`.

    Returns
    -------
    ParityReport

    Raises
    ------
    FileNotFoundError
        There is no such model, or no file `against`.
    ValueError
        torch or transformers is missing and `against` is not given; the file is for another
        model; `texts` or `save` are given together with `against`.
    TypeError
        An unknown keyword.
    """
    if against is not None and (texts is not None or save is not None):
        raise ValueError("against has its own inputs and outputs; leave out texts and save")
    folder = resolve_folder(model, family=True, **hub_options)
    with opened(folder) as checkpoint:
        ours = load(checkpoint.folder, dtype=dtype)
        if against is not None:
            inputs, reference, made_by = read_golden(against)
            run = Run(checkpoint, ours, inputs, [])
        else:
            run = _make_inputs(checkpoint, ours, texts)
            reference, made_by = _reference(run), upstream_versions()
        if save is not None:
            saved = {name: x for name, x in reference.items() if name not in OF_TEXTS}
            write_golden(save, run.inputs, saved, made_by)
        rows = {}
        for backend in ("numpy", "native") if _native_is_built() else ("numpy",):
            with use_backend(backend):
                rows[backend] = compare(_our_outputs(run, reference), reference)
    report = ParityReport(str(folder), made_by, TOLERANCE, rows, checkpoint.notes)
    if tolerance is not None:
        report.tolerance = tolerance
    else:
        report.least_cosine = LEAST_COSINES.get(ours.precision)
    return report


def compare(got: Arrays, want: Arrays) -> dict[str, Difference]:
    """Differences layer by layer; ValueError where the two are not of one model."""
    for name in want:
        if name not in got or got[name].shape != want[name].shape:
            ours = got[name].shape if name in got else "absent"
            raise ValueError(
                f"{name} has shape {want[name].shape} in the reference and is {ours} here; "
                "is it of the same checkpoint?"
            )
    return {name: Difference.between(got[name], want[name]) for name in want}


def _native_is_built() -> bool:
    with use_backend("auto"):
        return backend_report()["backend"] == "native"


class Run(NamedTuple):
    """A checkpoint, our model of it, and its inputs; `texts` is empty where ids were drawn."""

    checkpoint: Opened
    model: ErnieMPreTrainedModel
    inputs: Arrays
    texts: list[str]


def _make_inputs(
    checkpoint: Opened, model: ErnieMPreTrainedModel, texts: Sequence[str] | None
) -> Run:
    """input_ids and attention_mask of texts, or drawn ones for a checkpoint without a tokenizer."""
    folder, longest = checkpoint.folder, model.config.max_length
    if (folder / "sentencepiece.bpe.model").is_file():
        from numpy_erniem.tokenizer import ErnieMTokenizer

        longest = min(longest, read_sentence_settings(folder).max_length or longest)
        given = take_texts(TEXTS if texts is None else texts)[0]
        tokenizer = ErnieMTokenizer.from_pretrained(folder)
        check_pad_token(model.config, tokenizer)
        batch = tokenizer(
            given,
            padding=True,
            truncation=True,
            max_length=longest,
            return_attention_mask=True,
            return_tensors="np",
        )
        inputs = {name: np.asarray(batch[name]) for name in ("input_ids", "attention_mask")}
        return Run(checkpoint, model, inputs, list(given))
    if texts is not None:
        raise ValueError(
            f"{checkpoint.source} has no tokenizer, so it takes no texts; leave them out"
        )
    T = min(16, longest)
    ids = np.random.default_rng(0).integers(0, model.config.vocab_size, (2, T))
    mask = np.ones_like(ids)
    mask[1, T // 2 :] = 0
    padding = model.config.pad_token_id
    if checkpoint.is_converted and padding is not None:  # XLM-R's positions depend on padding
        ids = np.where(mask == 0, padding, np.where(ids == padding, padding + 1, ids))
    return Run(checkpoint, model, {"input_ids": ids, "attention_mask": mask}, [])


def _reference(run: Run) -> Arrays:
    """What the library's own class gives, with token ids and sentence vectors where it has them."""
    source, encoder = run.checkpoint.source, run.checkpoint.encoder
    config, inputs = run.model.config, run.inputs
    if not run.checkpoint.is_converted:
        return upstream_outputs(source, config, inputs)
    found = family_outputs(encoder, config, inputs)
    if run.texts:
        try:
            ids = library_token_ids(encoder, run.texts, inputs["input_ids"].shape[1])
            found = {TOKEN_IDS: _as_array(ids)} | found
        except ValueError as error:
            run.checkpoint.notes.append(f"token ids were not compared: {error}")
        if isinstance(run.model, ErnieMModel) and (source / MODULES_FILE).is_file():
            last = found[f"layer {config.num_hidden_layers}"]
            found[VECTORS] = sentence_vectors(source, last, inputs["attention_mask"])
    return found


def _our_outputs(run: Run, reference: Arrays) -> Arrays:
    arguments = as_model_inputs(
        run.inputs, type(run.model).__name__, positions=not run.checkpoint.is_converted
    )
    found = layer_outputs(run.model(**arguments, output_hidden_states=True))
    if run.checkpoint.is_converted:
        found = without_padding(found, run.inputs["attention_mask"])
    if TOKEN_IDS in reference:
        rows = zip(run.inputs["input_ids"], run.inputs["attention_mask"], strict=True)
        found[TOKEN_IDS] = _as_array([ids[mask == 1].tolist() for ids, mask in rows])
    if VECTORS in reference:
        dtype = run.model.precision
        embedder = Embedder.from_pretrained(run.checkpoint.folder, dtype=dtype)
        found[VECTORS] = embedder(run.texts, prompt="")
    return found


def _as_array(rows: list[list[int]]) -> np.ndarray:
    """Token ids of texts as one array, filled up with -1."""
    longest = max(map(len, rows))
    return np.array([row + [-1] * (longest - len(row)) for row in rows])
