"""convert(): make our folder of a checkpoint from elsewhere, complete or not at all."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy_erniem.checkpoint.atomic import atomic_folder
from numpy_erniem.checkpoint.config_files import CONFIG_FILE, architecture_of, read_config
from numpy_erniem.checkpoint.folder import inside, read_tensors, write_folder
from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checkpoint.paddle_names import from_paddle, is_paddle
from numpy_erniem.checkpoint.sentence_settings import (
    SENTENCE_SETTINGS_FILE,
    read_sentence_settings,
)
from numpy_erniem.checkpoint.tensors import FLOATS, Tensor
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.conversion import tokenizers
from numpy_erniem.conversion.report import Report
from numpy_erniem.conversion.sentence_transformers import settings_of_source
from numpy_erniem.conversion.xlm_roberta import from_family
from numpy_erniem.models.schema import (
    HEAD_PARTS,
    PREFIX,
    encoder_shapes,
    intermediate_size_of,
    schema_of,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from numpy_erniem.checkpoint.keywords import HubOptions

WRITTEN_DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
Progress = Callable[[int, int], None]


def convert(
    model: str | os.PathLike,
    out: str | os.PathLike,
    *,
    dtype: str | None = None,
    tokenizer: bool = True,
    max_shard_size: int | str = "5GB",
    progress: Progress | None = None,
    **hub_options: "Unpack[HubOptions]",
) -> Report:
    """Make a folder with config.json, safetensors and tokenizer files of another checkpoint.

    No code of the checkpoint is run. One tensor at a time is in memory.

    Parameters
    ----------
    model : path or str
        A folder with ERNIE-M from torch, safetensors or PaddlePaddle, or with a model of the
        XLM-RoBERTa family; or a name on the Hugging Face hub.
    out : path
        A folder that does not exist yet, or is empty.
    dtype : {"float32", "float16", "bfloat16"}, optional
        Of the float tensors that are written; left out, as in the source.
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
        What was renamed, transposed, dropped, derived and made; str() gives it as text.

    Raises
    ------
    FileNotFoundError
        There is no such model, or a file of it is missing.
    ValueError
        The model is damaged, hostile, or of another architecture; `out` is not empty; a value
        does not fit `dtype`. `out` is left as it was.
    TypeError
        An unknown keyword.
    """
    if dtype is not None and dtype not in WRITTEN_DTYPES:
        raise ValueError(f"dtype {dtype!r} is not one of {', '.join(WRITTEN_DTYPES)}")
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there already and not an empty folder; choose another")
    folder = resolve_folder(model, family=True, **hub_options)
    values, tensors, report = _translate(folder)
    config = ErnieMConfig.from_values(values, folder)
    tensors = _model_tensors(tensors, config, report)
    files = _other_files(folder, values, config, report, tokenizer, str(model))
    files[CONFIG_FILE] = config.to_json_string().encode("utf-8")
    code = WRITTEN_DTYPES.get(dtype or "")
    report.source, report.out, report.tensors = str(model), out, len(tensors)
    report.parameters = sum(t.encoded_size("F32") for t in tensors.values()) // 4
    report.bytes_written = sum(tensor.encoded_size(code) for tensor in tensors.values())
    with atomic_folder(out) as complete:
        write_folder(complete, _report_progress(tensors, code, progress), max_shard_size, code)
        for name, content in files.items():
            (complete / name).write_bytes(content)
    return report


def _translate(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor], Report]:
    """Config and tensors of a folder in our names, whatever it holds."""
    config = read_config(folder)
    name, tensors = read_tensors(folder)
    inside(folder, name)
    try:
        if is_paddle(tensors):
            translation = from_paddle(config, tensors)
            config, tensors = translation.config, translation.tensors
            report = Report(
                "PaddleNLP",
                renamed=translation.renamed,
                transposed=translation.transposed,
                derived=translation.derived,
            )
            if (schema := schema_of(architecture_of(config))) is not None:  # PaddleNLP's UIEM
                report.derive(config, "architectures", [schema.name])
            if config["model_type"] != "ernie_m":
                raise ValueError(
                    f"PaddleNLP's model_type {config['model_type']!r} is not 'ernie_m'"
                )
        elif config.get("model_type") == "ernie_m":
            report = Report()
        else:
            config, tensors, report = from_family(config, tensors)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    intermediate_size = intermediate_size_of(tensors)
    if intermediate_size is not None:
        report.derive(config, "intermediate_size", intermediate_size)
    return config, tensors, report


def _model_tensors(
    tensors: dict[str, Tensor], config: ErnieMConfig, report: Report
) -> dict[str, Tensor]:
    """The tensors that the model has; ValueError if any of the encoder is missing or misshapen."""
    schema = schema_of(architecture_of(config.to_dict()))
    pooling = schema is None or schema.pooler
    prefix = PREFIX if any(name.startswith(PREFIX) for name in tensors) else ""
    shapes = {prefix + name: s for name, s in encoder_shapes(config, pooling).items()}
    kept = {}
    for name, tensor in tensors.items():
        if name not in shapes and not name.startswith(HEAD_PARTS):
            report.dropped[name] = "not a tensor of this model"
            continue
        if name in shapes and tensor.shape != shapes[name]:
            raise ValueError(f"{name} has shape {tensor.shape}, the config says {shapes[name]}")
        if tensor.dtype not in FLOATS:
            raise ValueError(f"{name} holds {tensor.dtype}, not floats")
        kept[name] = tensor
    missing = [name for name in shapes if name not in kept]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ValueError(f"tensors are missing: {', '.join(missing[:3])}{more}")
    return kept


def _other_files(
    folder: Path,
    values: dict[str, Any],
    config: ErnieMConfig,
    report: Report,
    tokenizer: bool,
    source: str,
) -> dict[str, bytes]:
    """The files of the new folder other than weights and config."""
    files: dict[str, bytes] = {}
    is_family = "source_model_type" in values
    names = [source, str(values.get("_name_or_path", ""))]
    settings = settings_of_source(folder, names, report) if is_family else None
    if settings is not None:
        files[SENTENCE_SETTINGS_FILE] = tokenizers.as_json(settings)
    elif (folder / SENTENCE_SETTINGS_FILE).is_file():
        recorded = read_sentence_settings(folder)
        path = folder / SENTENCE_SETTINGS_FILE
        files[SENTENCE_SETTINGS_FILE] = tokenizers.as_json(
            tokenizers.storable(path, recorded, report)
        )
    if tokenizer and is_family:
        longest = min(config.max_length, (settings or {}).get("max_length", config.max_length))
        files |= tokenizers.from_xlm_roberta(folder, values, longest, report)
    elif tokenizer:
        files |= tokenizers.copy_ernie_m(folder, report, report.layout == "PaddleNLP")
    return files


class _ReportingTensor(Tensor):
    """A tensor that calls a function when it is written."""

    def __init__(self, tensor: Tensor, written: Callable[[], None]) -> None:
        self.dtype, self.shape = tensor.dtype, tensor.shape
        self._tensor, self._written = tensor, written

    def encode_as(self, dtype: str | None = None) -> Any:
        values = self._tensor.encode_as(dtype)
        self._written()
        return values

    def release_pages(self) -> None:
        self._tensor.release_pages()


def _report_progress(
    tensors: dict[str, Tensor], dtype: str | None, progress: Progress | None
) -> dict[str, Tensor]:
    """The tensors, so that `progress` is called when each is written."""
    if progress is None:
        return tensors
    total = sum(tensor.encoded_size(dtype) for tensor in tensors.values())
    done = 0

    def count(size: int) -> Callable[[], None]:
        def add() -> None:
            nonlocal done
            done += size
            progress(done, total)

        return add

    return {n: _ReportingTensor(t, count(t.encoded_size(dtype))) for n, t in tensors.items()}
