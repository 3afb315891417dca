"""The checkpoint of a folder: which file holds the tensors, in which format, in which shards."""

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numpy_erniem.checkpoint.json_files import read_json
from numpy_erniem.checkpoint.safetensors_file import (
    DTYPES,
    Tensor,
    bytes_of,
    read_safetensors,
    write_safetensors,
)

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
CONFIG = "config.json"
LONGEST_NAME = 500  # characters; tensors have about 60
OLD_PADDLE_CONFIG = "model_config.json"
KIND_OF = {np.dtype(code).str: kind for kind, code in DTYPES.items() if kind != "BF16"}


def _read_torch(path: Path) -> dict[str, Tensor]:
    from numpy_erniem.checkpoint.torch_files import read_torch

    return read_torch(path)


def _read_pdparams(path: Path) -> dict[str, Tensor]:
    from numpy_erniem.checkpoint.paddle_files import read_pdparams

    return read_pdparams(path)


class Format(NamedTuple):
    """File names of a format, and the function that maps one of its files."""

    single: str
    index: str
    suffix: str
    read: Callable[[Path], dict[str, Tensor]]


# the first that a folder has is read
FORMATS = (
    Format(SINGLE, INDEX, ".safetensors", read_safetensors),
    Format("pytorch_model.bin", "pytorch_model.bin.index.json", ".bin", _read_torch),
    Format("model_state.pdparams", "model_state.pdparams.index.json", ".pdparams", _read_pdparams),
)


def read_folder(folder: str | os.PathLike) -> dict[str, Tensor]:
    """Map the checkpoint of a folder; PaddleNLP's names and layout become ours.

    Raises
    ------
    FileNotFoundError
        No checkpoint there, or a shard is missing.
    ValueError
        Two checkpoints of one format, or a file that is not what it says.
    """
    folder = Path(folder)
    _, tensors = read_tensors(folder)
    if is_paddle(tensors):
        config = read_config(folder) if (folder / CONFIG).is_file() else {}
        return _paddle(config, tensors)[1]
    return tensors


def read_checkpoint(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The keys of a folder's config, and its tensors as from `read_folder`."""
    config = read_config(folder)
    _, tensors = read_tensors(folder)
    return _paddle(config, tensors) if is_paddle(tensors) else (config, tensors)


def _paddle(
    config: dict[str, Any], tensors: dict[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from numpy_erniem.checkpoint.paddle_names import from_paddle

    return from_paddle(config, tensors)[:2]


def is_paddle(names: Iterable[str]) -> bool:
    """Whether tensors are named and laid out as in PaddleNLP."""
    return any(".self_attn.q_proj." in n and ".self_attn.self_attn." not in n for n in names)


def read_config(folder: Path) -> dict[str, Any]:
    """The keys of config.json, or of the model_config.json of old PaddleNLP."""
    if (folder / CONFIG).is_file():
        return read_json(folder / CONFIG)
    if (folder / OLD_PADDLE_CONFIG).is_file():
        from numpy_erniem.checkpoint.paddle_names import old_paddle_config

        return old_paddle_config(folder / OLD_PADDLE_CONFIG)
    raise FileNotFoundError(f"{folder} has no {CONFIG}; is it a checkpoint folder?")


def read_tensors(folder: Path) -> tuple[str, dict[str, Tensor]]:
    """The file, or the index, that a folder has, and the tensors by the names in it."""
    for form in FORMATS:
        single, index = folder / form.single, folder / form.index
        if single.is_file() and index.is_file():
            raise ValueError(
                f"{folder} has two checkpoints, {single.name} and {index.name}; move one away"
            )
        if single.is_file():
            return form.single, _named_well(single, form.read(single))
        if index.is_file():
            return form.index, _named_well(index, _read_shards(folder, index, form))
    files = ", ".join(form.single for form in FORMATS)
    raise FileNotFoundError(
        f"{folder} has no checkpoint: none of {files}, nor an index such as {INDEX}"
    )


def _named_well(source: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, if their names can be shown to a person."""
    for name in tensors:
        if not name.isprintable() or len(name) > LONGEST_NAME:
            raise ValueError(f"{source} has a tensor called {name[:50]!r}, which is no name")
    return tensors


def _read_shards(folder: Path, index: Path, form: Format) -> dict[str, Tensor]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(f, str) for f in names.values()):
        raise ValueError(f"{index} has no weight_map from tensor names to files")
    shards = {}
    for file in dict.fromkeys(names.values()):
        beside = Path(file).name == file and "\\" not in file and len(file) < 200
        if not beside or not file.endswith(form.suffix):
            raise ValueError(
                f"{index} names {file[:100]!r}; a shard is a {form.suffix} file beside it"
            )
        if not (folder / file).is_file():
            raise FileNotFoundError(f"{folder} lacks the shard {file!r} that {index.name} names")
        shards[file] = form.read(inside(folder, file))
    for name, file in names.items():
        if name not in shards[file]:
            raise ValueError(
                f"{folder / file} lacks the tensor {name!r} that {index.name} puts there"
            )
    return {name: shards[file][name] for name, file in names.items()}


def inside(folder: Path, name: str) -> Path:
    """A file of a folder, unless a symbolic link leads to somewhere else on this machine.

    The cache of the Hugging Face hub keeps its files under blobs/ and links to them.
    """
    path = (folder / name).resolve()
    here = folder.resolve()
    blobs = here.parent.parent / "blobs" if here.parent.name == "snapshots" else here
    if not path.is_relative_to(here) and not path.is_relative_to(blobs):
        raise ValueError(f"{folder / name} is a link that leads out of its folder; copy the file")
    return folder / name


def bytes_from(size: int | str) -> int:
    """A number of bytes from 1000 or "5GB" (decimal, as upstream)."""
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9}
    if isinstance(size, str):
        try:
            size = int(float(size[:-2]) * units[size[-2:].upper()])
        except (KeyError, ValueError):
            raise ValueError(f"size {size!r} is not a number with KB, MB or GB") from None
    if size < 1:
        raise ValueError(f"size {size} is not at least one byte")
    return size


def plan_shards(
    tensors: Mapping[str, Tensor], largest: int, kind: str | None = None
) -> list[dict[str, Tensor]]:
    """Split into groups of at most `largest` bytes; a tensor above that has a group of its own."""
    shards: list[dict[str, Tensor]] = [{}]
    room = largest
    for name, tensor in tensors.items():
        size = bytes_of(tensor, kind)
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
    kind: str | None = None,
) -> list[Path]:
    """Write tensors as the checkpoint of a folder, replacing the one that stands there.

    All files are complete, under other names and on disk, before the first takes its final name;
    the index, without which shards are no checkpoint, comes last. So a crash leaves the old
    checkpoint, or none, or the new one: never half of one.

    Parameters
    ----------
    folder : path
    tensors : dict of str to array or Tensor
    max_shard_size : int or str
        Bytes of a file, such as "5GB".
    kind : {"F64", "F32", "F16", "BF16"}, optional
        What float tensors become; left out, they stay what they are.

    Returns
    -------
    list of Path
        The files, shards first.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lazy = {n: t if isinstance(t, Tensor) else as_tensor(t) for n, t in tensors.items()}
    shards = plan_shards(lazy, bytes_from(max_shard_size), kind)
    names = [SINGLE]
    if len(shards) > 1:
        names = [f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as hidden:
        for name, shard in zip(names, shards, strict=True):
            write_safetensors(Path(hidden, name), shard, kind)
            _flush(Path(hidden, name))
        if len(shards) > 1:
            weight_map = {key: n for n, s in zip(names, shards, strict=True) for key in s}
            total = sum(bytes_of(tensor, kind) for tensor in lazy.values())
            index = {"metadata": {"total_size": total}, "weight_map": weight_map}
            Path(hidden, INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
            _flush(Path(hidden, INDEX))
            names.append(INDEX)
        for stale in (folder / INDEX, folder / SINGLE):
            stale.unlink(missing_ok=True)
        for name in names:
            os.replace(Path(hidden, name), folder / name)
    for stale in folder.glob("model-*-of-*.safetensors"):
        if stale.name not in names:
            stale.unlink()
    return [folder / name for name in names]


def as_tensor(values: np.ndarray) -> Tensor:
    """An array as a tensor that can be written."""
    values = np.asarray(values)
    kind = KIND_OF.get(values.dtype.newbyteorder("<").str)
    if kind is None:
        raise ValueError(f"an array of {values.dtype} is no tensor of a checkpoint")
    return Tensor(kind, values)


def write_text(path: Path, text: str) -> None:
    """Write a small file so that a crash leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=path.parent) as hidden:
        complete = Path(hidden, path.name)
        complete.write_text(text, encoding="utf-8", newline="\n")
        _flush(complete)
        os.replace(complete, path)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
