"""Tensors on disk: safetensors files, mapped not read; several with an index; safe writing.

A safetensors file is eight bytes with the length n of the header (little endian), n bytes of JSON,
{"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}, and then the data.
The header comes from a stranger: nothing it says is believed before it was checked.
"""

import json
import math
import mmap
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
LONGEST_HEADER = 100_000_000  # the format's own limit, in bytes

# bfloat16 is the upper half of a float32; NumPy has no such type, so its bits come as uint16.
DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}


class Tensor:
    """One tensor of a file: its dtype's name, its shape, and its bytes, still mapped."""

    def __init__(self, kind: str, data: np.ndarray) -> None:
        self.kind = kind
        self.data = data
        self.shape = data.shape

    def numpy(self, dtype: np.dtype | type | None = None) -> np.ndarray:
        """The values: mapped where the file has `dtype` itself, else converted in memory."""
        values = self.data
        if self.kind == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        dtype = values.dtype.newbyteorder("=") if dtype is None else np.dtype(dtype)
        values = np.require(values, dtype, ["ALIGNED"])
        values.flags.writeable = False
        return values


def read_safetensors(path: str | os.PathLike) -> dict[str, Tensor]:
    """Map a safetensors file.

    Raises
    ------
    ValueError
        Where the file is not what its header says: the message names file, tensor and fault.
    """
    path = Path(path)
    size = path.stat().st_size
    if size < 8:
        raise ValueError(f"{path} has {size} bytes; a safetensors file has at least 8")
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    length = int.from_bytes(mapped[:8], "little")
    if length > min(size - 8, LONGEST_HEADER):
        raise ValueError(
            f"{path} says its header has {length} bytes; "
            f"the file has {size - 8} more, and a header at most {LONGEST_HEADER}"
        )
    header = _parse_object(path, mapped[8 : 8 + length])
    header.pop("__metadata__", None)
    try:
        return _tensors(header, mapped, 8 + length)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _parse_object(path: Path, text: bytes) -> dict[str, Any]:
    """A JSON object without repeated keys."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = dict(pairs)
        if len(keys) < len(pairs):
            raise ValueError("a name stands there twice")
        return keys

    try:
        parsed = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not good JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise ValueError(f"{path} holds a JSON {type(parsed).__name__}, not an object")
    return parsed


def _tensors(header: dict[str, Any], mapped: mmap.mmap, start: int) -> dict[str, Tensor]:
    """Check every entry, then that the entries cover the data without gap or overlap."""
    tensors, spans = {}, []
    available = len(mapped) - start
    for name, entry in header.items():
        kind, shape, (begin, end) = _checked_entry(name, entry)
        dtype = np.dtype(DTYPES[kind])
        count = math.prod(shape)
        if end - begin != count * dtype.itemsize:
            raise ValueError(
                f"tensor {name!r} of {kind} {shape} needs {count * dtype.itemsize} bytes; "
                f"data_offsets give it {end - begin}"
            )
        if end > available:
            raise ValueError(f"tensor {name!r} ends at byte {end} of {available} bytes of data")
        spans.append((begin, end, name))
        # of an empty tensor frombuffer would not know how many elements to take
        flat = np.frombuffer(mapped, dtype, count, start + begin) if count else np.empty(0, dtype)
        tensors[name] = Tensor(kind, flat.reshape(shape))
    at = 0
    for begin, end, name in sorted(spans):
        if begin != at:
            fault = "overlaps the one before it" if begin < at else f"leaves a gap after byte {at}"
            raise ValueError(f"tensor {name!r} begins at byte {begin} and {fault}")
        at = end
    if at != available:
        raise ValueError(f"the tensors end at byte {at}, the data at byte {available}")
    return tensors


def _checked_entry(name: str, entry: Any) -> tuple[str, tuple[int, ...], tuple[int, int]]:
    """dtype, shape and offsets of a header entry, types and signs checked."""
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise ValueError(f"tensor {name!r} has no dtype, shape and data_offsets")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in DTYPES:
        raise ValueError(f"tensor {name!r} has dtype {kind!r}, not one of {', '.join(DTYPES)}")
    for what, numbers in (("shape", shape), ("data_offsets", offsets)):
        if not isinstance(numbers, list) or any(type(n) is not int or n < 0 for n in numbers):
            raise ValueError(f"tensor {name!r}: {what} is not a list of integers from 0 up")
    if len(shape) > 32:
        raise ValueError(f"tensor {name!r} has {len(shape)} axes; at most 32 are possible")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"tensor {name!r}: data_offsets {offsets} are not a begin and an end")
    return kind, tuple(shape), tuple(offsets)


def read_folder(folder: str | os.PathLike) -> dict[str, Tensor]:
    """Map the checkpoint of a folder: model.safetensors, or the shards that its index names.

    Raises
    ------
    FileNotFoundError
        No checkpoint there, or a shard is missing.
    ValueError
        Two checkpoints, or a file that is not what it says.
    """
    folder = Path(folder)
    single, index = folder / SINGLE, folder / INDEX
    if single.is_file() and index.is_file():
        raise ValueError(f"{folder} has two checkpoints, {SINGLE} and {INDEX}; move one away")
    if single.is_file():
        return read_safetensors(single)
    if not index.is_file():
        raise FileNotFoundError(f"{folder} has no checkpoint: neither {SINGLE} nor {INDEX}")
    names = _parse_object(index, index.read_bytes()).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(f, str) for f in names.values()):
        raise ValueError(f"{index} has no weight_map from tensor names to files")
    shards = {}
    for file in dict.fromkeys(names.values()):
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise ValueError(f"{index} names {file!r}; a shard is a .safetensors file beside it")
        if not (folder / file).is_file():
            raise FileNotFoundError(f"{folder} lacks the shard {file} that {INDEX} names")
        shards[file] = read_safetensors(folder / file)
    for name, file in names.items():
        if name not in shards[file]:
            raise ValueError(f"{folder / file} lacks the tensor {name!r} that {INDEX} puts there")
    return {name: shards[file][name] for name, file in names.items()}


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


def plan_shards(tensors: Mapping[str, np.ndarray], largest: int) -> list[dict[str, np.ndarray]]:
    """Split into groups of at most `largest` bytes; a tensor above that has a group of its own."""
    shards: list[dict[str, np.ndarray]] = [{}]
    room = largest
    for name, values in tensors.items():
        if values.nbytes > room and shards[-1]:
            shards.append({})
            room = largest
        shards[-1][name] = values
        room -= values.nbytes
    return shards


def write_folder(
    folder: str | os.PathLike,
    tensors: Mapping[str, np.ndarray],
    max_shard_size: int | str = "5GB",
) -> list[Path]:
    """Write tensors as the checkpoint of a folder, replacing the one that stands there.

    All files are complete, under other names and on disk, before the first takes its final name;
    the index, without which shards are no checkpoint, comes last. So a crash leaves the old
    checkpoint, or none, or the new one: never half of one.

    Returns
    -------
    list of Path
        The files, shards first.
    """
    from safetensors.numpy import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shards = plan_shards(tensors, bytes_from(max_shard_size))
    names = [SINGLE]
    if len(shards) > 1:
        names = [f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as hidden:
        usual = Path(hidden, "usual")
        usual.touch()
        mode = usual.stat().st_mode
        for name, shard in zip(names, shards, strict=True):
            packed = {key: np.ascontiguousarray(values) for key, values in shard.items()}
            save_file(packed, Path(hidden, name), metadata={"format": "pt"})
            os.chmod(Path(hidden, name), mode)  # save_file makes a file for the owner alone
        if len(shards) > 1:
            weight_map = {key: n for n, s in zip(names, shards, strict=True) for key in s}
            total = sum(values.nbytes for values in tensors.values())
            index = {"metadata": {"total_size": total}, "weight_map": weight_map}
            Path(hidden, INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
            names.append(INDEX)
        for name in names:
            _flush(Path(hidden, name))
        for stale in (folder / INDEX, folder / SINGLE):
            stale.unlink(missing_ok=True)
        for name in names:
            os.replace(Path(hidden, name), folder / name)
    for stale in folder.glob("model-*-of-*.safetensors"):
        if stale.name not in names:
            stale.unlink()
    return [folder / name for name in names]


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
