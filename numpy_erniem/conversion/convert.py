"""convert(): make our folder of a checkpoint from elsewhere, complete or not at all."""

import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy_erniem.checkpoint.atomic import atomic_folder
from numpy_erniem.checkpoint.config_files import CONFIG_FILE, architecture_of, read_config
from numpy_erniem.checkpoint.folder import read_tensors, write_folder
from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checkpoint.hybrid_layers import write_hybrid_layers
from numpy_erniem.checkpoint.links import inside
from numpy_erniem.checkpoint.paddle_names import from_paddle, is_paddle
from numpy_erniem.checkpoint.sentence_settings import (
    SentenceSettings,
    read_sentence_settings,
    write_sentence_settings,
)
from numpy_erniem.checkpoint.tensors import Tensor, check_floats
from numpy_erniem.checkpoint.wrappers import unwrap
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.conversion import tokenizers
from numpy_erniem.conversion.family_tokenizers import from_xlm_roberta
from numpy_erniem.conversion.hybrid import hybrid_layers_of_source, with_hybrid_pooling
from numpy_erniem.conversion.padding import settle_padding
from numpy_erniem.conversion.progress import Progress, report_progress
from numpy_erniem.conversion.report import Report
from numpy_erniem.conversion.sentence_transformers import settings_of_source, transformer_folder
from numpy_erniem.conversion.xlm_roberta import FAMILY, from_family
from numpy_erniem.models.narrow_weights import SCALE
from numpy_erniem.models.precision import Precision
from numpy_erniem.models.schema import (
    HEAD_PARTS,
    HEAD_TENSORS,
    PREFIX,
    encoder_shapes,
    intermediate_size_of,
    schema_of,
    schemas_of,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from numpy_erniem.checkpoint.keywords import HubOptions

WRITTEN_DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


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
    check_empty(out)
    folder = resolve_folder(model, family=True, **hub_options)
    encoder_folder = transformer_folder(folder)
    values, tensors, report = _translate(encoder_folder)
    config = ErnieMConfig.from_values(values, folder)
    _settle_dtype(folder, config, dtype)
    tensors = _model_tensors(encoder_folder, tensors, config, report)
    is_family = report.layout in FAMILY  # not of a folder that was converted before
    names = [str(model), str(values.get("_name_or_path", ""))] if is_family else []
    layers = hybrid_layers_of_source(folder, config.hidden_size, report)
    settings = _sentence_settings(folder, names, config, report)
    settings = with_hybrid_pooling(settings, layers, report)
    files = {}
    if tokenizer:
        files = _tokenizer_files(encoder_folder, values, config, settings, report)
    code = WRITTEN_DTYPES.get(dtype or "")
    report.source, report.out, report.tensors = str(model), out, len(tensors)
    report.parameters = sum(
        math.prod(t.shape) for name, t in tensors.items() if not name.endswith(f"weight{SCALE}")
    )
    report.bytes_written = sum(tensor.encoded_size(code) for tensor in tensors.values())
    with atomic_folder(out) as complete:
        for name, content in files.items():
            (complete / name).write_bytes(content)
        settle_padding(complete, config, report)
        (complete / CONFIG_FILE).write_text(config.to_json_string(), encoding="utf-8")
        if settings.recorded:
            write_sentence_settings(complete, settings)
        write_hybrid_layers(complete, layers)
        write_folder(complete, report_progress(tensors, code, progress), max_shard_size, code)
    return report


def check_empty(out: Path) -> None:
    """Raise a ValueError unless the folder to make does not exist yet, or is empty."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there already and not an empty folder; choose another")


def refuse_quantized(folder: Path, config: ErnieMConfig) -> None:
    """Raise a ValueError for a checkpoint that is quantized already."""
    if config.quantization is not None:
        raise ValueError(
            f"{folder} is quantized already, its weights are {config.quantization['dtype']}; "
            "convert the checkpoint that it was made of, or leave the dtype out to copy it"
        )


def _settle_dtype(folder: Path, config: ErnieMConfig, dtype: str | None) -> None:
    """Refuse to convert int8 to another dtype, and say in the config what is written."""
    if dtype is None:
        return
    refuse_quantized(folder, config)
    config.torch_dtype = dtype


def _translate(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor], Report]:
    """Config and tensors of a folder in our names, whatever it holds."""
    config = read_config(folder)
    name, tensors = read_tensors(folder)
    inside(folder, name)
    try:
        tensors, wrapper = unwrap(tensors)
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
    if wrapper:
        report.notes.append(f"{wrapper!r} was removed from the beginning of every name")
    intermediate_size = intermediate_size_of(tensors)
    if intermediate_size is not None:
        report.derive(config, "intermediate_size", intermediate_size)
    return config, tensors, report


def _model_tensors(
    folder: Path, tensors: dict[str, Tensor], config: ErnieMConfig, report: Report
) -> dict[str, Tensor]:
    """The tensors that the model has; ValueError if any of the encoder is missing or misshapen."""
    architecture = architecture_of(config.to_dict())
    schema, named = schema_of(architecture), schemas_of(config.architectures)
    prefix = PREFIX if any(name.startswith(PREFIX) for name in tensors) else ""
    encoder = encoder_shapes(config, schema is None or any(each.pooler for each in named))
    heads = frozenset().union(*(HEAD_TENSORS[each.name] for each in named))
    head = schema.head(config) if schema is not None else {}
    shapes = {prefix + name: shape for name, shape in encoder.items()} | head
    kept, is_int8 = {}, config.quantization is not None
    narrow = [n for n in shapes if is_int8 and n in tensors and tensors[n].dtype == "I8"]
    scales = {name + SCALE for name in narrow}
    for name, tensor in tensors.items():
        if name in scales:
            kept[name] = tensor
            continue
        if name in shapes:
            _check_shape(folder, name, tensor, shapes[name], is_int8)
        elif not name.startswith(HEAD_PARTS):
            _check_layer(folder, name.removeprefix(prefix), config)
            report.dropped[name] = "not a tensor of this model"
            continue
        elif head and name not in heads:
            classes = " or ".join(each.name for each in named)
            report.dropped[name] = f"not of the head of {classes}, which config.json names"
            continue
        kept[name] = tensor
    missing = [name for name in shapes if name not in kept and name not in head]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ValueError(f"{folder}: tensors are missing: {', '.join(missing[:3])}{more}")
    if is_int8:
        _check_int8(folder, kept, config)
    if drawn := [name for name in head if name not in kept]:
        report.notes.append(f"the source has no {', '.join(drawn)}; load() draws them at random")
    return kept


def _check_shape(
    folder: Path, name: str, tensor: Tensor, shape: tuple[int, ...], is_int8: bool
) -> None:
    """Refuse a tensor of another shape than config.json says, or of integers that it does not."""
    if tensor.shape != shape:
        raise ValueError(
            f"{folder}: {name} has shape {tensor.shape} in the weights, and the sizes in "
            f"{CONFIG_FILE} make it {shape}; correct {CONFIG_FILE}"
        )
    if not (is_int8 and tensor.dtype == "I8"):
        check_floats(folder, name, tensor)


def _check_int8(folder: Path, tensors: dict[str, Tensor], config: ErnieMConfig) -> None:
    """Refuse what loading refuses: scales that are missing or wrong, other weights than it says."""
    precision = Precision(None, config, folder)
    for name in tensors:
        if not name.endswith(f"weight{SCALE}"):
            precision.read(name, tensors)


def _check_layer(folder: Path, name: str, config: ErnieMConfig) -> None:
    """Refuse a layer that config.json does not count."""
    layer = re.match(r"encoder\.layers\.(\d+)\.", name)
    if layer and int(layer[1]) >= config.num_hidden_layers:
        raise ValueError(
            f"{folder}: num_hidden_layers is {config.num_hidden_layers} in {CONFIG_FILE}, and the "
            f"weights have layer {int(layer[1]) + 1}, {name}; correct {CONFIG_FILE}"
        )


def _sentence_settings(
    folder: Path, names: list[str], config: ErnieMConfig, report: Report
) -> SentenceSettings:
    """What the source records about its sentence vectors, in either format."""
    recorded = read_sentence_settings(folder)
    names = [] if recorded.recorded else names  # what a name stands for does not replace a record
    settings = settings_of_source(folder, names, config.hidden_size, report) or recorded
    settings.width(config.hidden_size)
    return settings


def _tokenizer_files(
    folder: Path,
    values: dict[str, Any],
    config: ErnieMConfig,
    settings: SentenceSettings,
    report: Report,
) -> dict[str, bytes]:
    """The tokenizer's files of the new folder."""
    converted = report.layout in ("ERNIE-M", "PaddleNLP")  # its tokenizer may be ours already
    if "source_model_type" in values and not (converted and tokenizers.is_ours(folder)):
        longest = min(config.max_length, settings.max_length or config.max_length)
        return from_xlm_roberta(folder, values, longest, report)
    return tokenizers.copy_ernie_m(folder, report, report.layout == "PaddleNLP")
