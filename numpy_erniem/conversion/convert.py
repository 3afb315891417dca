"""convert(): a checkpoint from anywhere → a folder of ours, complete or not at all."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy_erniem.checkpoint.folder import (
    inside,
    is_paddle,
    read_config,
    read_tensors,
    write_folder,
)
from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checkpoint.paddle_names import from_paddle
from numpy_erniem.checkpoint.report import Report, architecture_of
from numpy_erniem.checkpoint.safetensors_file import FLOATS, Tensor, bytes_of
from numpy_erniem.checkpoint.sentence_settings import FILE, read_settings
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.conversion import tokenizers
from numpy_erniem.conversion.sentence import sentence_settings
from numpy_erniem.conversion.xlm_roberta import from_family
from numpy_erniem.models.schema import PREFIX, encoder_shapes

DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
HEAD = ("classifier.", "qa_outputs.", "linear_start.", "linear_end.", "lm_head.")
WITHOUT_POOLER = ("TokenClassification", "QuestionAnswering", "MaskedLM")
Progress = Callable[[int, int], None]


def convert(
    source: str | os.PathLike,
    out: str | os.PathLike,
    *,
    dtype: str | None = None,
    tokenizer: bool = True,
    max_shard_size: int | str = "5GB",
    revision: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Turn a checkpoint into a folder with config.json, safetensors and tokenizer files.

    Nothing in the source is run, and one tensor at a time is in memory.

    Parameters
    ----------
    source : path or str
        A folder with ERNIE-M from torch, safetensors or PaddlePaddle, or a model of the
        XLM-RoBERTa family; or a name on the Hugging Face hub.
    out : path
        A folder that does not exist yet, or is empty.
    dtype : {"float32", "float16", "bfloat16"}, optional
        Of the float tensors written; left out, as in the source.
    tokenizer : bool
        Whether tokenizer files are converted too; False where ours cannot be made of them.
    max_shard_size : int or str
        Largest file, in bytes or such as "5GB".
    revision : str, optional
        Branch, tag or commit on the hub.
    progress : callable, optional
        Called with the bytes written and those in all, after every tensor.

    Returns
    -------
    Report
        What was renamed, transposed, dropped, derived and made; as text by str().

    Raises
    ------
    FileNotFoundError
        There is no such source, or a file of it is missing.
    ValueError
        The source is broken, hostile, or of another architecture; `out` is not empty; a value
        does not fit `dtype`. `out` is as it was before.
    """
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there already and not an empty folder; choose another")
    folder = resolve_folder(source, revision=revision, family=True)
    config, tensors, report = translate(folder)
    settings = ErnieMConfig.from_values(config, folder)
    tensors = fit(tensors, settings, config, report)
    files = _files(folder, config, settings, report, tokenizer, str(source))
    files["config.json"] = settings.to_json_string().encode("utf-8")
    report.source, report.out, report.tensors = str(source), out, len(tensors)
    report.parameters = sum(bytes_of(t, "F32") for t in tensors.values()) // 4
    kind = DTYPES.get(dtype or "")
    report.bytes_written = sum(bytes_of(tensor, kind) for tensor in tensors.values())
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".converting-", dir=out.absolute().parent) as hidden:
        complete = Path(hidden, "complete")
        write_folder(complete, _watched(tensors, kind, progress), max_shard_size, kind)
        for name, content in files.items():
            (complete / name).write_bytes(content)
        if out.exists():
            out.rmdir()
        os.replace(complete, out)
    return report


def translate(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor], Report]:
    """Config and tensors of a folder in our names, whatever it holds."""
    config = read_config(folder)
    name, tensors = read_tensors(folder)
    inside(folder, name)
    try:
        if is_paddle(tensors):
            config, tensors, report = from_paddle(config, tensors)
            name_type = config["model_type"]
            if name_type != "ernie_m":
                raise ValueError(f"PaddleNLP's model_type {name_type!r} is not 'ernie_m'")
        elif config.get("model_type") == "ernie_m":
            report = Report()
        else:
            config, tensors, report = from_family(config, tensors)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    rows = {t.shape[0] for n, t in tensors.items() if n.endswith("linear1.weight") and t.shape}
    if len(rows) == 1:
        report.derive(config, "intermediate_size", rows.pop())
    return config, tensors, report


def fit(
    tensors: dict[str, Tensor], settings: ErnieMConfig, config: dict[str, Any], report: Report
) -> dict[str, Tensor]:
    """The tensors that the model has; ValueError if any of the encoder is missing or misshapen."""
    pooling = not architecture_of(config).endswith(WITHOUT_POOLER)
    prefix = PREFIX if any(name.startswith(PREFIX) for name in tensors) else ""
    shapes = {prefix + name: s for name, s in encoder_shapes(settings, pooling).items()}
    kept = {}
    for name, tensor in tensors.items():
        if name not in shapes and not name.startswith(HEAD):
            report.dropped[name] = "no tensor of this model"
            continue
        if name in shapes and tensor.shape != shapes[name]:
            raise ValueError(f"{name} has shape {tensor.shape}, the config says {shapes[name]}")
        if tensor.kind not in FLOATS:
            raise ValueError(f"{name} holds {tensor.kind}, not floats")
        kept[name] = tensor
    missing = [name for name in shapes if name not in kept]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ValueError(f"tensors are missing: {', '.join(missing[:3])}{more}")
    return kept


def _files(
    folder: Path,
    config: dict[str, Any],
    settings: ErnieMConfig,
    report: Report,
    tokenizer: bool,
    source: str,
) -> dict[str, bytes]:
    """Every other file of the new folder."""
    files: dict[str, bytes] = {}
    family = "source_model_type" in config
    names = [source, str(config.get("_name_or_path", ""))]
    vectors = sentence_settings(folder, names, report) if family else None
    if vectors is not None:
        files[FILE] = tokenizers.as_json(vectors)
    elif (folder / FILE).is_file():
        files[FILE] = tokenizers.as_json(read_settings(folder))
    if tokenizer and family:
        longest = min(settings.max_length, (vectors or {}).get("max_length", settings.max_length))
        files |= tokenizers.from_xlm_roberta(folder, config, longest, report)
    elif tokenizer:
        files |= tokenizers.copy_ernie_m(folder, report, report.layout == "PaddleNLP")
    return files


class _Watched(Tensor):
    """A tensor that says when it was written."""

    def __init__(self, tensor: Tensor, done: Callable[[], None]) -> None:
        self.kind, self.shape, self._tensor, self._done = tensor.kind, tensor.shape, tensor, done

    def stored(self, kind: str | None = None) -> Any:
        values = self._tensor.stored(kind)
        self._done()
        return values

    def let_go(self) -> None:
        self._tensor.let_go()


def _watched(
    tensors: dict[str, Tensor], kind: str | None, progress: Progress | None
) -> dict[str, Tensor]:
    if progress is None:
        return tensors
    total = sum(bytes_of(tensor, kind) for tensor in tensors.values())
    done = 0

    def count(size: int) -> Callable[[], None]:
        def add() -> None:
            nonlocal done
            done += size
            progress(done, total)

        return add

    return {name: _Watched(t, count(bytes_of(t, kind))) for name, t in tensors.items()}
