"""The checkpoint of a folder: which file holds the tensors, in which format, in which shards."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numpy_erniem.checkpoint.atomic import flush, hidden_folder
from numpy_erniem.checkpoint.config_files import CONFIG_FILE, read_config
from numpy_erniem.checkpoint.json_files import read_json
from numpy_erniem.checkpoint.links import inside
from numpy_erniem.checkpoint.paddle_names import from_paddle, is_paddle
from numpy_erniem.checkpoint.safetensors_file import read_safetensors, write_safetensors
from numpy_erniem.checkpoint.tensors import Tensor
from numpy_erniem.checkpoint.wrappers import unwrap

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
LONGEST_NAME = 500  # characters; the names of tensors have about 60


# The readers of pickles are imported when a folder has one: most folders hold safetensors, and
# start without them in less time.
def _read_torch(path: Path) -> dict[str, Tensor]:
    from numpy_erniem.checkpoint.torch_files import read_torch

    return read_torch(path)


def _read_pdparams(path: Path) -> dict[str, Tensor]:
    from numpy_erniem.checkpoint.paddle_files import read_pdparams

    return read_pdparams(path)


class Format(NamedTuple):
    """The file names of a format, and the function that maps one of its files."""

    single: str
    index: str
    suffix: str
    read: Callable[[Path], dict[str, Tensor]]


# the first that a folder has is read
FORMATS = (
    Format(WEIGHTS_FILE, INDEX_FILE, ".safetensors", read_safetensors),
    Format("pytorch_model.bin", "pytorch_model.bin.index.json", ".bin", _read_torch),
    Format("model_state.pdparams", "model_state.pdparams.index.json", ".pdparams", _read_pdparams),
)


def read_folder(folder: str | os.PathLike) -> dict[str, Tensor]:
    """Map the tensors of a folder's checkpoint; PaddleNLP's names and layout become ours.

    Raises
    ------
    FileNotFoundError
        The folder has no checkpoint, or a shard is missing.
    ValueError
        The folder has two checkpoints of one format, or a file is damaged.
    """
    folder = Path(folder)
    tensors = _read_unwrapped(folder)
    if is_paddle(tensors):
        config = read_config(folder) if (folder / CONFIG_FILE).is_file() else {}
        return from_paddle(config, tensors).tensors
    return tensors


def read_checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The keys of a folder's config.json, and its tensors as from `read_folder`."""
    config = read_config(folder)
    tensors = _read_unwrapped(folder)
    if is_paddle(tensors):
        translation = from_paddle(config, tensors)
        return translation.config, translation.tensors
    return config, tensors


def _read_unwrapped(folder: Path) -> dict[str, Tensor]:
    """The tensors of a folder, without a prefix such as "module."."""
    name, tensors = read_tensors(folder)
    try:
        return unwrap(tensors)[0]
    except ValueError as error:
        raise ValueError(f"{folder / name}: {error}") from None


def read_tensors(folder: Path) -> tuple[str, dict[str, Tensor]]:
    """Map the tensors of a folder, by the names in the file.

    Returns
    -------
    name : str
        The file that was read, or the index of the shards.
    tensors : dict of str to Tensor

    Raises
    ------
    FileNotFoundError, ValueError
        As in `read_folder`.
    """
    for form in FORMATS:
        single, index = folder / form.single, folder / form.index
        if index.is_file():
            shards = _shard_names(folder, index, form)
            if single.is_file() and {*shards.values()} != {single.name}:
                raise ValueError(
                    f"{folder} has two checkpoints, {single.name} and {index.name}; move one away"
                )
            return form.index, _checked_names(index, _read_shards(folder, index, shards, form))
        if single.is_file():
            return form.single, _checked_names(single, form.read(inside(folder, form.single)))
        if single.is_symlink() and not single.exists():
            raise FileNotFoundError(
                f"{single} is a link to a file that is not there; was a download broken off?"
            )
    files = ", ".join(form.single for form in FORMATS)
    raise FileNotFoundError(
        f"{folder} has no checkpoint: none of {files}, nor an index such as {INDEX_FILE}"
    )


def _checked_names(source: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, if their names can be printed."""
    for name in tensors:
        if not name.isprintable() or len(name) > LONGEST_NAME:
            raise ValueError(
                f"{source}: {name[:50]!r} is not a valid tensor name; "
                f"allowed are at most {LONGEST_NAME} printable characters"
            )
    return tensors


def _shard_names(folder: Path, index: Path, form: Format) -> dict[str, str]:
    """The file of every tensor; ValueError for a name that is not of a file beside the index."""
    weight_map = read_json(inside(folder, index.name)).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(f, str) for f in weight_map.values()):
        raise ValueError(f"{index} has no weight_map, an object from tensor names to files")
    for file in dict.fromkeys(weight_map.values()):
        is_plain = Path(file).name == file and "\\" not in file and len(file) < 200
        if not is_plain or not file.endswith(form.suffix):
            raise ValueError(
                f"{index} names {file[:100]!r}; a shard is a {form.suffix} file in the same folder"
            )
    return weight_map


def _read_shards(
    folder: Path, index: Path, weight_map: dict[str, str], form: Format
) -> dict[str, Tensor]:
    shards = {}
    for file in dict.fromkeys(weight_map.values()):
        if not (folder / file).is_file():
            raise FileNotFoundError(f"{folder} lacks the shard {file!r} that {index.name} names")
        shards[file] = form.read(inside(folder, file))
    for name, file in weight_map.items():
        if name not in shards[file]:
            raise ValueError(
                f"{folder / file} lacks the tensor {name!r} that {index.name} puts there"
            )
    return {name: shards[file][name] for name, file in weight_map.items()}


def parse_size(size: int | str) -> int:
    """Parse a number of bytes: 1000, or "5GB"; units are decimal, as upstream's.

    Raises
    ------
    ValueError
        The unit is not KB, MB or GB, or the size is below one byte.
    """
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9}
    if isinstance(size, str):
        try:
            size = int(float(size[:-2]) * units[size[-2:].upper()])
        except (KeyError, ValueError, OverflowError):
            raise ValueError(f"size {size!r} is not a number with KB, MB or GB") from None
    if size < 1:
        raise ValueError(f"size {size} is not at least one byte")
    return size


def _plan_shards(
    tensors: Mapping[str, Tensor], largest: int, dtype: str | None = None
) -> list[dict[str, Tensor]]:
    """Split into groups of at most `largest` bytes; a tensor above that has a group of its own."""
    shards: list[dict[str, Tensor]] = [{}]
    room = largest
    for name, tensor in tensors.items():
        size = tensor.encoded_size(dtype)
        if size > room and shards[-1]:
            shards.append({})
            room = largest
        shards[-1][name] = tensor
        room -= size
    return shards


def write_folder(
    folder: str | os.PathLike,
    tensors: Mapping[str, np.ndarray | Tensor],
    max_shard_size: int | str = "5GB",
    dtype: str | None = None,
) -> list[Path]:
    """Write tensors as the checkpoint of a folder, in place of the one it has.

    All files are complete and on disk, in a hidden folder, before the first is renamed. The index,
    without which shards are not a checkpoint, is renamed last. So a crash leaves the old
    checkpoint, none, or the new one, but never half of one.

    Parameters
    ----------
    folder : path
        It is made, if need be.
    tensors : dict of str to array or Tensor
    max_shard_size : int or str
        Most bytes of a file, such as "5GB".
    dtype : {"F64", "F32", "F16", "BF16"}, optional
        What float tensors become; left out, they stay what they are.

    Returns
    -------
    list of Path
        The files, shards first.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lazy = {n: t if isinstance(t, Tensor) else Tensor.of_array(t) for n, t in tensors.items()}
    shards = _plan_shards(lazy, parse_size(max_shard_size), dtype)
    names = [WEIGHTS_FILE]
    if len(shards) > 1:
        names = [f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    with hidden_folder(folder) as hidden:
        for name, shard in zip(names, shards, strict=True):
            write_safetensors(hidden / name, shard, dtype)
            flush(hidden / name)
        if len(shards) > 1:
            weight_map = {key: n for n, s in zip(names, shards, strict=True) for key in s}
            total = sum(tensor.encoded_size(dtype) for tensor in lazy.values())
            index = {"metadata": {"total_size": total}, "weight_map": weight_map}
            (hidden / INDEX_FILE).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
            flush(hidden / INDEX_FILE)
            names.append(INDEX_FILE)
        for stale in (folder / INDEX_FILE, folder / WEIGHTS_FILE):
            stale.unlink(missing_ok=True)
        for name in names:
            os.replace(hidden / name, folder / name)
        flush(folder)
    for stale in folder.glob("model-*-of-*.safetensors"):
        if stale.name not in names:
            stale.unlink()
    return [folder / name for name in names]
