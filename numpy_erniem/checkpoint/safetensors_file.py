"""Tensors in safetensors files: mapped, not read; written one at a time.

A safetensors file is eight bytes with the length n of the header (little endian), n bytes of JSON,
{"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}, and then the data.
The header comes from a stranger: nothing it says is believed before it was checked.
"""

import json
import math
import mmap
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.json_files import parse_object

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
STRETCH = 1 << 18  # elements that are converted at a time
FLOATS = ("F64", "F32", "F16", "BF16")


class Tensor:
    """One tensor of a file: its dtype's name, its shape, and its values, still mapped."""

    def __init__(self, kind: str, data: np.ndarray) -> None:
        self.kind = kind
        self.data = data
        self.shape = data.shape

    def numpy(self, dtype: np.dtype | type | None = None) -> np.ndarray:
        """The values: mapped where the file has `dtype` itself, else converted in memory."""
        values = data = self.data
        if self.kind == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        dtype = values.dtype.newbyteorder("=") if dtype is None else np.dtype(dtype)
        ready = np.require(values, dtype, ["ALIGNED", "C_CONTIGUOUS"])
        if not np.may_share_memory(ready, data):
            _let_go(data)
        ready.flags.writeable = False
        return ready

    def let_go(self) -> None:
        """Say that what was read of the file for this tensor need not stay in memory."""
        _let_go(self.data)

    def stored(self, kind: str | None = None) -> np.ndarray:
        """The bits that a safetensors file has for these values, as `kind` or as they are.

        Raises
        ------
        ValueError
            A finite value is too large for `kind`.
        """
        if kind in (None, self.kind):
            return np.ascontiguousarray(self.data, DTYPES[self.kind])
        values = self.numpy().reshape(-1)
        narrow = np.empty(values.size, DTYPES[kind])
        for at in range(0, values.size, STRETCH):  # so that no second copy is in memory
            narrow[at : at + STRETCH] = _narrowed(values[at : at + STRETCH], kind)
        return narrow.reshape(self.shape)


class Computed(Tensor):
    """A tensor made from others each time it is asked for, so that none is kept."""

    def __init__(self, kind: str, shape: tuple[int, ...], make: Callable[[], np.ndarray]) -> None:
        self.kind = kind
        self.shape = shape
        self._make = make

    @property
    def data(self) -> np.ndarray:
        """The values, made now."""
        return self._make()

    def let_go(self) -> None:
        """Nothing is mapped; what the values are made of lets go by itself."""


def _narrowed(values: np.ndarray, kind: str) -> np.ndarray:
    """Floats as `kind`; ValueError if one becomes infinite that was not."""
    with np.errstate(over="ignore"):
        if kind == "BF16":
            narrow = bfloat16_bits(values.astype(np.float32))
            wide = (narrow.astype(np.uint32) << 16).view(np.float32)
        else:
            narrow = wide = values.astype(DTYPES[kind])
    if not np.array_equal(np.isfinite(wide), np.isfinite(values)):
        largest = np.abs(values[np.isfinite(values)]).max()
        raise ValueError(f"a value of {largest:g} does not fit {kind}; choose a wider dtype")
    return narrow


def bfloat16_bits(values: np.ndarray) -> np.ndarray:
    """Upper halves of float32 values as uint16, rounded to nearest, ties to even."""
    bits = values.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), bits >> 16 | 0x40, rounded).astype(np.uint16)


def mapping_of(array: np.ndarray) -> mmap.mmap | None:
    """The mapped file that an array is a view of, if it is one."""
    owner: Any = array
    while owner is not None and not isinstance(owner, mmap.mmap):
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    return owner


def _let_go(array: np.ndarray) -> None:
    mapped = mapping_of(array)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)  # read again from the file, where it is used again


def map_file(path: Path) -> mmap.mmap:
    """The bytes of a file, mapped for reading.

    Raises
    ------
    ValueError
        The file is empty.
    """
    if not path.stat().st_size:
        raise ValueError(f"{path} has 0 bytes; was the download broken off?")
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def read_safetensors(path: str | os.PathLike) -> dict[str, Tensor]:
    """Map a safetensors file.

    Raises
    ------
    ValueError
        Where the file is not what its header says: the message names file, tensor and fault.
    """
    path = Path(path)
    mapped = map_file(path)
    size = len(mapped)
    if size < 8:
        raise ValueError(f"{path} has {size} bytes; a safetensors file has at least 8")
    length = int.from_bytes(mapped[:8], "little")
    if length > min(size - 8, LONGEST_HEADER):
        raise ValueError(
            f"{path} says its header has {length} bytes; "
            f"the file has {size - 8} more, and a header at most {LONGEST_HEADER}"
        )
    header = parse_object(path, mapped[8 : 8 + length])
    header.pop("__metadata__", None)
    try:
        return _tensors(header, mapped, 8 + length)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


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


def written_kind(tensor: Tensor, kind: str | None) -> str:
    """The dtype that a tensor gets in a file: floats become `kind`, the rest stays."""
    return kind if kind and tensor.kind in FLOATS else tensor.kind


def bytes_of(tensor: Tensor, kind: str | None = None) -> int:
    """The bytes that a tensor takes in a file."""
    return math.prod(tensor.shape) * np.dtype(DTYPES[written_kind(tensor, kind)]).itemsize


def write_safetensors(
    path: str | os.PathLike, tensors: Mapping[str, Tensor], kind: str | None = None
) -> None:
    """Write a safetensors file, one tensor after the other; only one is in memory.

    Parameters
    ----------
    path : path
    tensors : dict of str to Tensor
    kind : {"F64", "F32", "F16", "BF16"}, optional
        What float tensors become; left out, they stay what they are.

    Raises
    ------
    ValueError
        A value does not fit `kind`; the message names the tensor.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    kinds = {name: written_kind(tensor, kind) for name, tensor in tensors.items()}
    names = sorted(tensors, key=lambda n: (-np.dtype(DTYPES[kinds[n]]).itemsize, n))  # aligned
    at = 0
    for name in names:
        end = at + bytes_of(tensors[name], kind)
        shape = list(tensors[name].shape)
        header[name] = {"dtype": kinds[name], "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)  # so that the data is aligned in a mapped file
    with Path(path).open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            try:
                values = tensors[name].stored(kinds[name])
            except ValueError as error:
                raise ValueError(f"tensor {name}: {error}") from None
            file.write(values.reshape(-1).view(np.uint8).data)
            tensors[name].let_go()
