"""convert(): a folder of ours of any checkpoint, also with int8 weights, and what that costs."""

import os
import shutil
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numpy_erniem import conversion
from numpy_erniem.checkpoint.atomic import atomic_folder, hidden_folder
from numpy_erniem.checkpoint.config_files import CONFIG_FILE
from numpy_erniem.checkpoint.folder import read_folder, write_folder
from numpy_erniem.checkpoint.sentence_settings import read_sentence_settings
from numpy_erniem.config.quantization import layers_named
from numpy_erniem.conversion.convert import (
    WRITTEN_DTYPES,
    check_empty,
    refuse_quantized,
)
from numpy_erniem.conversion.progress import Progress
from numpy_erniem.conversion.report import Report
from numpy_erniem.models import MODELS, load
from numpy_erniem.models.narrow_weights import SCALE
from numpy_erniem.models.schema import HEAD_TENSORS, of_other_classes, schemas_of
from numpy_erniem.models.weights import flatten, match_prefix
from numpy_erniem.pipelines.texts import take_texts
from numpy_erniem.quantization.agreement import Agreement, Texts, drawn_texts, measure
from numpy_erniem.quantization.card import CARD_FILE, card
from numpy_erniem.quantization.choice import keep_layers, layers_to_keep
from numpy_erniem.quantization.logits import Model, with_encoder_of
from numpy_erniem.quantization.sentences import SENTENCES
from numpy_erniem.tokenizer import ErnieMTokenizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from numpy_erniem.checkpoint.keywords import HubOptions

MEASURED = ("int8", "bfloat16")  # dtypes of which the cost is told
DTYPES = (*WRITTEN_DTYPES, "int8")


def convert(
    model: str | os.PathLike,
    out: str | os.PathLike,
    *,
    dtype: str | None = None,
    keep_float: str | Sequence[str] = (),
    check: Sequence[str] | None = None,
    tokenizer: bool = True,
    max_shard_size: int | str = "5GB",
    progress: Progress | None = None,
    **hub_options: "Unpack[HubOptions]",
) -> Report:
    """Make a folder with config.json, safetensors and tokenizer files of another checkpoint.

    No code of the checkpoint is run. One tensor at a time is in memory; for int8 and bfloat16 the
    model is run, to tell what they cost, and for as long there is a second copy beside `out`.

    Parameters
    ----------
    model : path or str
        A folder with ERNIE-M from torch, safetensors or PaddlePaddle, or with a model of the
        XLM-RoBERTa family; or a name on the Hugging Face hub.
    out : path
        A folder that does not exist yet, or is empty.
    dtype : {"float32", "float16", "bfloat16", "int8"}, optional
        Of the float tensors that are written; left out, as in the source. "int8": of the token
        table and the linear maps of the encoder's layers, which are also computed in it.
    keep_float : "auto" or sequence of str
        With int8, layers that stay floats: names as of `config.quantization.layers_named`, such as
        "linear2" or "encoder.layers.11". "auto": as few as needed for no cosine below 0.999.
    check : sequence of str, optional
        Texts by which the cost of int8 and bfloat16 is told; left out, some in many languages.
    tokenizer : bool
        Whether to convert the tokenizer files; False for a tokenizer that cannot be converted.
    max_shard_size : int or str
        Most bytes of a file, such as "5GB".
    progress : callable, optional
        Called after every tensor with the bytes written and those in all.
    **hub_options
        revision, cache_dir, local_files_only, subfolder, token and force_download: where the
        model is, as of `numpy_erniem.checkpoint.keywords.HubOptions`.

    Returns
    -------
    Report
        What was renamed, transposed, dropped, derived and made, and the `Agreement` with the
        source for int8 and bfloat16; str() gives it as text, and README.md of `out` has it, too.

    Raises
    ------
    FileNotFoundError
        There is no such model, or a file of it is missing.
    ValueError
        The model is damaged, hostile, or of another architecture; `out` is not empty; a value
        does not fit `dtype`; the model is quantized already. `out` is left as it was.
    TypeError
        An unknown keyword.
    """
    options: dict[str, Any] = {"tokenizer": tokenizer, "max_shard_size": max_shard_size}
    options |= hub_options
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    if dtype != "int8" and keep_float:
        raise ValueError("keep_float is for dtype int8; leave it out")
    if dtype not in MEASURED:
        if check is not None:
            raise ValueError("check is for dtype int8 and bfloat16; leave it out")
        return conversion.convert(model, out, dtype=dtype, progress=progress, **options)
    if keep_float != "auto":
        keep_float = _names(keep_float)
    if check is not None and not tokenizer:
        raise ValueError("check needs the tokenizer; leave one of them out")
    out = Path(out).absolute()
    check_empty(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with hidden_folder(out.parent) as hidden:
        source = hidden / "source"
        report = conversion.convert(model, source, progress=progress, **options)
        try:
            with atomic_folder(out) as complete, warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*drawn at random.*")  # the report tells it
                warnings.filterwarnings("error", ".*NaN or infinite weights")
                job = Job(source, complete, report, check, max_shard_size)
                agreement = job.int8(keep_float) if dtype == "int8" else job.bfloat16()
        except (ValueError, UserWarning) as error:
            remedy = "; repair the checkpoint" if isinstance(error, UserWarning) else ""
            message = str(error).replace(str(source), str(model))
            raise ValueError(f"{message}{remedy}") from None
    report.agreement, report.out = agreement, out
    return report


class Job(NamedTuple):
    """A float checkpoint of ours, from which a folder with narrow weights is made.

    Attributes
    ----------
    source, out : Path
        Folders: of the float checkpoint, and the one that is filled.
    report : Report
        Of the conversion so far.
    check : sequence of str, optional
        Texts that are compared.
    max_shard_size : int or str
    """

    source: Path
    out: Path
    report: Report
    check: Sequence[str] | None
    max_shard_size: int | str

    def int8(self, keep_float: str | Sequence[str]) -> Agreement:
        """Write int8 weights with their scales, and the rest as it is."""
        wide = load(self.source)
        if wide.precision == "int8":
            refuse_quantized(self.source, wide.config)
        layers = wide.config.num_hidden_layers
        kept = [] if keep_float == "auto" else layers_named(keep_float, layers)
        key = {"dtype": "int8", "keep_float": kept}
        narrow = load(self.source, dtype="int8", quantization=key)
        texts = texts_of(self.source, wide, self.check)
        heads = other_heads(self.source, wide)
        agreement = measure(wide, narrow, texts, with_encoder_of(narrow, heads))
        if not agreement.is_enough:
            advised = layers_to_keep(wide, narrow, texts, list(agreement.layers))
            if keep_float == "auto":
                narrow = keep_layers(wide, narrow, advised)
                agreement = measure(wide, narrow, texts, with_encoder_of(narrow, heads))
            else:
                agreement.advised = advised
        self._write(narrow)
        self._finish(agreement, "The token table and the linear maps of the encoder are int8.")
        return agreement

    def _write(self, narrow: Model) -> None:
        """config.json and the tensors that the source has, and all of its other files."""
        flat = flatten(narrow.weights)
        source = read_folder(self.source)
        there = set(match_prefix(source, dict.fromkeys(flat, ())).values())
        kept = {name: x for name, x in flat.items() if name.removesuffix(SCALE) in there}
        heads = of_other_classes(source, narrow.schema, narrow.config.architectures)
        kept |= {name: source[name].numpy(np.float32) for name in heads}
        write_folder(self.out, kept, self.max_shard_size)
        narrow.config.torch_dtype = "float32"  # of the other tensors
        (self.out / CONFIG_FILE).write_text(narrow.config.to_json_string(), encoding="utf-8")
        for path in self.source.iterdir():
            is_weights = path.name.startswith("model") and ".safetensors" in path.name
            if not is_weights and path.name != CONFIG_FILE:
                shutil.move(path, self.out / path.name)

    def bfloat16(self) -> Agreement:
        """Write bfloat16; what is told is the cost of computing in it, too."""
        wide = load(self.source)
        second = self.source.with_name("bfloat16")
        conversion.convert(
            self.source,
            second,
            dtype="bfloat16",
            max_shard_size=self.max_shard_size,
            tokenizer=has_tokenizer(self.source),
        )
        for path in second.iterdir():
            shutil.move(path, self.out / path.name)
        narrow = load(self.out, dtype="bfloat16")
        texts = texts_of(self.source, wide, self.check)
        heads = (other_heads(self.source, wide), other_heads(self.out, narrow))
        agreement = measure(wide, narrow, texts, list(zip(*heads, strict=True)))
        self._finish(
            agreement,
            "All tensors are bfloat16. They are computed in float32, unless a model is loaded with "
            'dtype="bfloat16", of which the numbers here are.',
        )
        return agreement

    def _finish(self, agreement: Agreement, stored: str) -> None:
        """Write the card, and tell what was written."""
        tensors = read_folder(self.out)
        self.report.tensors = len(tensors)
        self.report.bytes_written = sum(tensor.encoded_size() for tensor in tensors.values())
        text = card(self.report, agreement, stored)
        (self.out / CARD_FILE).write_text(text, encoding="utf-8")


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder of ours has a tokenizer."""
    return (folder / "sentencepiece.bpe.model").is_file()


def other_heads(folder: Path, model: Model) -> list[Model]:
    """The models of the other classes that config.json names, whose heads are in the folder."""
    there = {*read_folder(folder)}
    named = [schema.name for schema in schemas_of(model.config.architectures)]
    return [
        MODELS[name].from_pretrained(folder, dtype=model.precision)
        for name in named
        if name != model.schema.name and HEAD_TENSORS[name] and HEAD_TENSORS[name] <= there
    ]


def texts_of(folder: Path, model: Model, check: Sequence[str] | None) -> Texts:
    """The texts that are compared, as the model takes them.

    Parameters
    ----------
    folder : Path
        Of the model.
    model : model of this package
    check : sequence of str, optional
        Left out, `SENTENCES`; or random token ids, where there is no tokenizer.

    Returns
    -------
    Texts

    Raises
    ------
    ValueError
        `check` is empty, or the folder has no tokenizer for it.
    """
    longest = model.config.max_length
    if not has_tokenizer(folder):
        if check is not None:
            raise ValueError(f"{folder} has no tokenizer, which check needs; leave check out")
        return drawn_texts(model.config.vocab_size, longest)
    tokenizer = ErnieMTokenizer.from_pretrained(folder)
    pairs = (
        [("", text) for text in take_texts(check, "check")[0]]
        if check is not None
        else [(language, text) for language, texts in SENTENCES.items() for text in texts]
    )
    names, texts = map(list, zip(*pairs, strict=True))
    whole = tokenizer(texts, verbose=False)["input_ids"]
    rows = tokenizer(texts, truncation=True, max_length=longest, verbose=False)["input_ids"]
    settings = read_sentence_settings(folder)
    cut = sum(len(row) > min(longest, settings.max_length or longest) for row in whole)
    return Texts(rows, names, texts, tokenizer, settings, cut)


def _names(keep_float: str | Sequence[str]) -> list[str]:
    """The names of layers as a list; ValueError or TypeError for what are none."""
    if not isinstance(keep_float, Iterable):
        raise TypeError(f"keep_float is {keep_float!r}; give 'auto', or a list of layers' names")
    names = [keep_float] if isinstance(keep_float, str) else list(keep_float)
    if "auto" in names:
        raise ValueError("keep_float 'auto' chooses all layers itself; give it alone, or names")
    return names
