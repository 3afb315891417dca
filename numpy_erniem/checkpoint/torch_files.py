"""Read pytorch_model.bin, in the zip format or the legacy format, without torch; nothing is copied.

Zip, since torch 1.6: `x/data.pkl` is a pickle of {name: tensor}, where each tensor names its
storage, with offset, sizes and strides in elements; `x/data/KEY` holds the bytes of a storage;
`x/byteorder` holds "little" or "big". Legacy, until torch 1.5: five pickles (magic number, version,
the writer's machine, {name: tensor}, the keys of the storages), then for each key its number of
elements and its bytes.
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

from numpy_erniem.checkpoint.allowed import ORDERED_DICT, Allowed, check_count, check_shape
from numpy_erniem.checkpoint.tensors import DTYPES, Tensor, map_file
from numpy_erniem.checkpoint.unpickle import unpickle

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
DTYPE_OF_STORAGE = {
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
class _Storage:
    """Elements `start` to `start` + `count` of the storage `key`, which has `total` elements."""

    dtype: str
    key: str
    total: int
    start: int
    count: int


@dataclass(frozen=True)
class _View:
    """A tensor as a view of its storage; offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _View:
    """Stands for torch's function; checks that the view stays inside its storage."""
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor without a storage")
    check_count(offset, "a storage offset")
    if len(check_shape(shape)) != len(check_shape(strides)):
        raise ValueError(f"a tensor of {len(shape)} sizes and {len(strides)} strides")
    count = prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if count and (last >= storage.count or count > storage.count):
        raise ValueError(
            f"a tensor of shape {shape} at element {offset} with strides {strides} "
            f"does not fit its storage of {storage.count} elements"
        )
    return _View(storage, offset, shape, strides)


def _rebuild_parameter(data: Any, *_: Any) -> _View:
    """Stands for torch's function; a parameter is read as its tensor."""
    if not isinstance(data, _View):
        raise ValueError("a parameter that holds no tensor")
    return data


def _storage_of(identity: Any) -> _Storage:
    """The storage of a persistent id: ("storage", type, key, device, elements, [view])."""
    if type(identity) is not tuple or len(identity) not in (5, 6) or identity[0] != "storage":
        raise ValueError("a persistent id that is not a storage")
    _, storage_class, key, _, total, *view = identity
    if (
        not isinstance(storage_class, Allowed)
        or storage_class.name not in DTYPE_OF_STORAGE
        or type(key) is not str
    ):
        raise ValueError("a storage without a known type and a key")
    start, count = 0, check_count(total, "the size of a storage")
    if view and view[0] is not None:
        if type(view[0]) is not tuple or len(view[0]) != 3:
            raise ValueError("the view of a storage is not a key, an offset and a size")
        start, count = (check_count(n, "the view of a storage") for n in view[0][1:])
        if start + count > total:
            raise ValueError(f"a view of elements {start} to {start + count} of {total}")
    return _Storage(DTYPE_OF_STORAGE[storage_class.name], key, total, start, count)


ALLOWED = {
    **ORDERED_DICT,
    ("torch._utils", "_rebuild_tensor_v2"): Allowed("_rebuild_tensor_v2", _rebuild_tensor),
    ("torch._utils", "_rebuild_tensor"): Allowed("_rebuild_tensor", _rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): Allowed("_rebuild_parameter", _rebuild_parameter),
    **{("torch", name): Allowed(name) for name in DTYPE_OF_STORAGE},
}


def read_torch(path: str | os.PathLike) -> dict[str, Tensor]:
    """Map a file that torch.save wrote from a dict of tensors.

    Raises
    ------
    ValueError
        The file is damaged, is not such a file, or asks for anything but tensors.
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
    members = _zip_members(path, mapped)
    pickles = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise ValueError("the archive has no x/data.pkl; torch.save did not write it")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in members:
        raise ValueError("the archive is a TorchScript program, which is code; save its state_dict")
    order = bytes(members.get(f"{folder}byteorder", b"little"))
    if order not in (b"little", b"big"):
        raise ValueError(f"byteorder {order[:20]!r} is neither little nor big")
    found, end = unpickle(members[pickles[0]], ALLOWED, _storage_of)
    if end != len(members[pickles[0]]):
        raise ValueError(f"{len(members[pickles[0]]) - end} bytes follow the pickle in data.pkl")

    def storage_bytes(storage: _Storage) -> memoryview:
        try:
            return members[f"{folder}data/{storage.key}"]
        except KeyError:
            raise ValueError(f"the storage {storage.key[:100]!r} is missing") from None

    swap = ">" if order == b"big" else "<"
    return {n: _tensor(n, view, storage_bytes, swap) for n, view in _check_views(found).items()}


def _zip_members(path: Path, mapped: mmap.mmap) -> dict[str, memoryview]:
    """The bytes of each file of an uncompressed archive, still mapped; names and places checked."""
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
            raise ValueError(f"duplicate name {name[:100]!r} in the archive")
        header = entry.header_offset
        if header < 0 or header + 30 > end or view[header : header + 4] != b"PK\x03\x04":
            raise ValueError(f"{name[:100]!r} is not where the archive's directory says")
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
        raise ValueError("the file is neither of the two formats that torch.save writes")
    version, at = unpickle(data, {}, start=at)
    machine, at = unpickle(data, {}, start=at)
    if version != VERSION or type(machine) is not dict or machine.get("little_endian") is not True:
        raise ValueError("a legacy file of another version or byte order than torch 0.1.10 to 1.5")
    found, at = unpickle(data, ALLOWED, _storage_of, at)
    keys, at = unpickle(data, {}, start=at)
    views = _check_views(found)
    storages = {view.storage.key: view.storage for view in views.values()}
    are_names = type(keys) is list and all(type(key) is str for key in keys)
    if not are_names or sorted(keys) != sorted(storages):
        raise ValueError("the list of storages does not match the tensors")
    stored = {}
    for key in keys:
        total, width = storages[key].total, np.dtype(DTYPES[storages[key].dtype]).itemsize
        count = int.from_bytes(data[at : at + 8], "little")
        begin, at = at + 8, at + 8 + total * width
        if count != total or at > len(data):
            raise ValueError(f"storage {key[:100]!r} is truncated, or not of {total} elements")
        stored[key] = data[begin:at]
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes follow the last storage")
    return {n: _tensor(n, view, lambda s: stored[s.key]) for n, view in views.items()}


def _check_views(found: Any) -> dict[str, _View]:
    """The unpickled value, if it is a dict from names to tensors."""
    if type(found) is not dict:
        raise ValueError(f"the file holds a {type(found).__name__}, not a dict of tensors")
    for name, value in found.items():
        if not isinstance(value, _View):
            raise ValueError(
                f"{name[:100]!r} is a {type(value).__name__}, not a tensor; "
                "save the state_dict alone"
            )
    return found


def _tensor(name: str, view: _View, storage_bytes: Any, order: str = "<") -> Tensor:
    """A view of the mapped bytes; nothing is read."""
    storage = view.storage
    dtype = np.dtype(DTYPES[storage.dtype]).newbyteorder(order)
    data = storage_bytes(storage)
    if len(data) != storage.total * dtype.itemsize:
        raise ValueError(
            f"tensor {name[:100]!r}: its storage has {len(data)} bytes, "
            f"not {storage.total} elements of {dtype.itemsize}"
        )
    if not prod(view.shape):
        return Tensor(storage.dtype, np.empty(view.shape, dtype))
    begin = (storage.start + view.offset) * dtype.itemsize
    elements = np.frombuffer(data[begin:], dtype)
    strides = [step * dtype.itemsize for step in view.strides]
    values = np.lib.stride_tricks.as_strided(elements, view.shape, strides, writeable=False)
    return Tensor(storage.dtype, values)
