"""pytorch_model.bin without torch: the zip format and the legacy stream, mapped, read lazily.

Zip, since torch 1.6: `x/data.pkl`, a pickle of {name: tensor}, where a tensor says in which
storage it lies (offset, sizes and strides, in elements); `x/data/KEY`, the bytes of a storage; and
`x/byteorder`. Legacy, before: five pickles (magic number, version, the writer's machine, {name:
tensor}, the keys of the storages), then for each key its number of elements and its bytes.
"""

import mmap
import os
import struct
import zipfile
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.allowed import ORDERED_DICT, Allowed, natural, shape_of
from numpy_erniem.checkpoint.safetensors_file import DTYPES, Tensor, map_file
from numpy_erniem.checkpoint.unpickle import unpickle

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
KINDS = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}


@dataclass(frozen=True)
class Storage:
    """A run of `count` elements from `start`, in the storage `key` of `total` elements."""

    kind: str
    key: str
    total: int
    start: int
    count: int


@dataclass(frozen=True)
class Placed:
    """Where a tensor lies in its storage; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Placed:
    """Check that a view of a storage stays inside it and has no element twice."""
    if not isinstance(storage, Storage):
        raise ValueError("a tensor without a storage")
    natural(offset, "a storage offset")
    if len(shape_of(shape)) != len(shape_of(strides)):
        raise ValueError(f"a tensor of {len(shape)} sizes and {len(strides)} strides")
    count = prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if count and (last >= storage.count or count > storage.count):
        raise ValueError(
            f"a tensor of shape {shape} at element {offset} with strides {strides} "
            f"does not fit its storage of {storage.count} elements"
        )
    return Placed(storage, offset, shape, strides)


def rebuild_parameter(data: Any, *_: Any) -> Placed:
    """A parameter is its tensor."""
    if not isinstance(data, Placed):
        raise ValueError("a parameter that holds no tensor")
    return data


def storage_of(identity: Any) -> Storage:
    """A persistent id: ("storage", its type, key, device, number of elements, [view])."""
    if type(identity) is not tuple or len(identity) not in (5, 6) or identity[0] != "storage":
        raise ValueError("a persistent id that is no storage")
    _, kind, key, _, total, *view = identity
    if not isinstance(kind, Allowed) or kind.name not in KINDS or type(key) is not str:
        raise ValueError("a storage without type and key")
    start, count = 0, natural(total, "the size of a storage")
    if view and view[0] is not None:
        if type(view[0]) is not tuple or len(view[0]) != 3:
            raise ValueError("the view of a storage is not a key, an offset and a size")
        start, count = (natural(n, "the view of a storage") for n in view[0][1:])
        if start + count > total:
            raise ValueError(f"a view of elements {start} to {start + count} of {total}")
    return Storage(KINDS[kind.name], key, total, start, count)


ALLOWED = {
    **ORDERED_DICT,
    ("torch._utils", "_rebuild_tensor_v2"): Allowed("_rebuild_tensor_v2", rebuild_tensor),
    ("torch._utils", "_rebuild_tensor"): Allowed("_rebuild_tensor", rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): Allowed("_rebuild_parameter", rebuild_parameter),
    **{("torch", name): Allowed(name) for name in KINDS},
}


def read_torch(path: str | os.PathLike) -> dict[str, Tensor]:
    """Map a file that torch.save wrote from a dict of tensors.

    Raises
    ------
    ValueError
        Where the file is not that, or wants anything but tensors.
    """
    path = Path(path)
    mapped = map_file(path)
    try:
        if mapped[:4] == b"PK\x03\x04":
            return _read_zip(path, mapped)
        return _read_legacy(memoryview(mapped))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _read_zip(path: Path, mapped: mmap.mmap) -> dict[str, Tensor]:
    members = zip_members(path, mapped)
    pickles = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise ValueError("no x/data.pkl inside; torch.save did not write this zip")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in members:
        raise ValueError("a TorchScript program, which is code; save its state_dict instead")
    order = bytes(members.get(f"{folder}byteorder", b"little"))
    if order not in (b"little", b"big"):
        raise ValueError(f"byteorder {order[:20]!r} is neither little nor big")
    found, end = unpickle(members[pickles[0]], ALLOWED, storage_of)
    if end != len(members[pickles[0]]):
        raise ValueError("something follows the pickle in data.pkl")

    def storage_bytes(storage: Storage) -> memoryview:
        try:
            return members[f"{folder}data/{storage.key}"]
        except KeyError:
            raise ValueError(f"the storage {storage.key[:100]!r} is missing") from None

    swap = ">" if order == b"big" else "<"
    return {name: _tensor(name, p, storage_bytes, swap) for name, p in _placed(found).items()}


def zip_members(path: Path, mapped: mmap.mmap) -> dict[str, memoryview]:
    """The files of an archive where they stand, uncompressed; names and places checked."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries, end = archive.infolist(), archive.start_dir
    except (zipfile.BadZipFile, NotImplementedError, OverflowError, struct.error, OSError) as error:
        raise ValueError(f"a broken or truncated zip archive: {error}") from None
    except (UnicodeDecodeError, LookupError, EOFError) as error:
        raise ValueError(f"a zip archive with unreadable names: {error}") from None
    view, members = memoryview(mapped), {}
    for entry in entries:
        name = entry.filename
        if name.startswith("/") or ".." in name.split("/") or "\\" in name or ":" in name:
            raise ValueError(f"the name {name[:100]!r} leads out of the archive")
        if entry.external_attr >> 28 == 0xA:
            raise ValueError(f"{name[:100]!r} is a symbolic link")
        if entry.compress_type or entry.flag_bits & 1 or entry.compress_size != entry.file_size:
            raise ValueError(f"{name[:100]!r} is compressed or encrypted; torch never does that")
        if name in members:
            raise ValueError(f"the name {name[:100]!r} stands there twice")
        header = entry.header_offset
        if header < 0 or header + 30 > end or view[header : header + 4] != b"PK\x03\x04":
            raise ValueError(f"{name[:100]!r} is not where the directory says")
        begin = header + 30 + sum(struct.unpack_from("<2H", mapped, header + 26))
        if begin + entry.file_size > end:
            raise ValueError(f"{name[:100]!r} has {entry.file_size} bytes, more than the file")
        members[name] = view[begin : begin + entry.file_size]
    return members


def _read_legacy(data: memoryview) -> dict[str, Tensor]:
    try:
        magic, at = unpickle(data, {})
    except ValueError:
        magic, at = None, 0
    if magic != MAGIC:
        raise ValueError("neither a zip archive nor a stream that torch.save wrote")
    version, at = unpickle(data, {}, start=at)
    machine, at = unpickle(data, {}, start=at)
    if version != VERSION or type(machine) is not dict or machine.get("little_endian") is not True:
        raise ValueError("a stream of another version or byte order than torch 0.1.10 to 1.5 wrote")
    found, at = unpickle(data, ALLOWED, storage_of, at)
    keys, at = unpickle(data, {}, start=at)
    placed = _placed(found)
    storages = {p.storage.key: p.storage for p in placed.values()}
    named = type(keys) is list and all(type(key) is str for key in keys)
    if not named or sorted(keys) != sorted(storages):
        raise ValueError("the list of storages does not match the tensors")
    places = {}
    for key in keys:
        total, width = storages[key].total, np.dtype(DTYPES[storages[key].kind]).itemsize
        count = int.from_bytes(data[at : at + 8], "little")
        begin, at = at + 8, at + 8 + total * width
        if count != total or at > len(data):
            raise ValueError(f"storage {key[:100]!r} is truncated, or not of {total} elements")
        places[key] = data[begin:at]
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes follow the last storage")
    return {name: _tensor(name, p, lambda s: places[s.key]) for name, p in placed.items()}


def _placed(found: Any) -> dict[str, Placed]:
    """The unpickled value, if it is what a state_dict is."""
    if type(found) is not dict:
        raise ValueError(f"it holds a {type(found).__name__}, not a dict from names to tensors")
    for name, value in found.items():
        if not isinstance(value, Placed):
            raise ValueError(
                f"{name[:100]!r} is a {type(value).__name__}, not a tensor; "
                "save the state_dict alone"
            )
    return found


def _tensor(name: str, placed: Placed, storage_bytes: Any, order: str = "<") -> Tensor:
    """A view of the mapped bytes; nothing is read."""
    storage = placed.storage
    dtype = np.dtype(DTYPES[storage.kind]).newbyteorder(order)
    data = storage_bytes(storage)
    if len(data) != storage.total * dtype.itemsize:
        raise ValueError(
            f"tensor {name[:100]!r}: its storage has {len(data)} bytes, "
            f"not {storage.total} elements of {dtype.itemsize}"
        )
    if not prod(placed.shape):
        return Tensor(storage.kind, np.empty(placed.shape, dtype))
    begin = (storage.start + placed.offset) * dtype.itemsize
    elements = np.frombuffer(data[begin:], dtype)
    strides = [step * dtype.itemsize for step in placed.strides]
    values = np.lib.stride_tricks.as_strided(elements, placed.shape, strides, writeable=False)
    return Tensor(storage.kind, values)
