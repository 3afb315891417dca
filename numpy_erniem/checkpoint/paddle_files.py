"""model_state.pdparams without Paddle: a pickle of {name: NumPy array}, mapped, read lazily."""

import os
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.allowed import ORDERED_DICT, Allowed, LongText, shape_of
from numpy_erniem.checkpoint.safetensors_file import Computed, Tensor, map_file
from numpy_erniem.checkpoint.unpickle import unpickle

PARAMETER_NAMES = "StructuredToParameterName@@"  # names inside a Paddle program: no tensors
SPLIT = "UnpackBigParamInfor@@"  # arrays of a GiB and more, in protocols 2 and 3
LINE = 1 << 20

# Paddle shows bfloat16 to NumPy as uint16; no checkpoint has real ones.
KINDS = {
    "f8": "F64",
    "f4": "F32",
    "f2": "F16",
    "u2": "BF16",
    "i8": "I64",
    "i4": "I32",
    "i2": "I16",
    "i1": "I8",
    "u8": "U64",
    "u4": "U32",
    "u1": "U8",
    "b1": "BOOL",
}


class Encoded:
    """Bytes that protocol 2 wrote as text: each is a character below 256, in UTF-8."""

    def __init__(self, utf8: memoryview) -> None:
        self.utf8 = utf8
        octets = np.frombuffer(utf8, np.uint8)
        self.length = sum(
            int(np.count_nonzero(octets[at : at + LINE] & 0xC0 != 0x80))
            for at in range(0, len(octets), LINE)
        )

    def __len__(self) -> int:
        return self.length

    def decoded(self) -> bytes:
        """The bytes, in memory."""
        return bytes(self.utf8).decode("utf-8").encode("latin-1")


class PickledDtype:
    """The dtype of an array: one of ours, with its byte order."""

    def __init__(self, code: Any, *_: Any) -> None:
        if type(code) is not str or code not in KINDS:
            shown = code[:20] if type(code) is str else type(code).__name__
            raise ValueError(f"dtype {shown!r} is not one of {', '.join(KINDS)}")
        self.kind = KINDS[code]
        self.code = code
        self.dtype: np.dtype | None = None

    def set_state(self, version: Any = None, order: Any = None, *_: Any) -> None:
        """The state that numpy.dtype has in a pickle: version, byte order, and fields."""
        if self.dtype is not None or order not in ("<", ">", "|"):
            raise ValueError("a dtype with fields, or without a byte order")
        self.dtype = np.dtype((order + self.code).replace("|u2", "<u2"))


class PickledArray:
    """An array whose bytes stand somewhere in the file."""

    tensor: Tensor | None = None

    def set_state(self, version: Any, shape: Any, dtype: Any, columns: Any, data: Any) -> None:
        """The state that numpy.ndarray has in a pickle: version, shape, dtype, order, bytes."""
        if self.tensor is not None:
            raise ValueError("an array with two states")
        self.tensor = _tensor(shape, dtype, columns, data)


def _tensor(shape: Any, dtype: Any, columns: Any, data: Any) -> Tensor:
    if not isinstance(dtype, PickledDtype) or dtype.dtype is None or type(columns) is not bool:
        raise ValueError("an array without dtype and order")
    size = prod(shape_of(shape)) * dtype.dtype.itemsize
    if not isinstance(data, memoryview | Encoded) or len(data) != size:
        raise ValueError(f"an array of shape {shape} needs {size} bytes of data; it has others")
    order = "F" if columns else "C"
    if isinstance(data, Encoded):
        return Computed(
            dtype.kind,
            shape,
            lambda: np.frombuffer(data.decoded(), dtype.dtype).reshape(shape, order=order),
        )
    values = np.frombuffer(data, dtype.dtype) if size else np.empty(0, dtype.dtype)
    return Tensor(dtype.kind, values.reshape(shape, order=order))


def reconstruct(kind: Any, shape: Any, code: Any) -> PickledArray:
    """An array before it has its state."""
    if kind is not NDARRAY:
        raise ValueError("an array of another class than numpy.ndarray")
    return PickledArray()


def encode(text: Any, encoding: Any) -> Encoded:
    """Protocol 2 has no bytes; it calls _codecs.encode on text."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError("text in another encoding than latin1")
    if isinstance(text, LongText):
        return Encoded(text.utf8)
    if type(text) is not str:
        raise ValueError("bytes that were no text")
    return Encoded(memoryview(text.encode("utf-8")))


def no_bytes() -> memoryview:
    """Protocol 2 calls bytes() for empty ones."""
    return memoryview(b"")


def named_array(pair: Any) -> PickledArray:
    """Paddle's own form of a tensor: tuple((name, array))."""
    if type(pair) is not tuple or len(pair) != 2 or not isinstance(pair[1], PickledArray):
        raise ValueError("a tuple that is not the name and the array of a tensor")
    return pair[1]


NDARRAY = Allowed("numpy.ndarray")
ALLOWED = {
    **ORDERED_DICT,
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): Allowed("numpy.dtype", PickledDtype),
    ("numpy.core.multiarray", "_reconstruct"): Allowed("_reconstruct", reconstruct),
    ("numpy._core.multiarray", "_reconstruct"): Allowed("_reconstruct", reconstruct),
    ("_codecs", "encode"): Allowed("_codecs.encode", encode),
    ("__builtin__", "bytes"): Allowed("bytes", no_bytes),
    ("builtins", "tuple"): Allowed("tuple", named_array),
    ("__builtin__", "tuple"): Allowed("tuple", named_array),
}


def read_pdparams(path: str | os.PathLike) -> dict[str, Tensor]:
    """Map a file that paddle.save wrote from a state_dict; the names are Paddle's.

    Raises
    ------
    ValueError
        Where the file is not that, or wants anything but arrays.
    """
    path = Path(path)
    data = memoryview(map_file(path))
    try:
        found, end = unpickle(data, ALLOWED)
        if end != len(data):
            raise ValueError(f"{len(data) - end} bytes follow the pickle")
        if type(found) is not dict:
            raise ValueError(f"it holds a {type(found).__name__}, not a dict from names to arrays")
        if SPLIT in found:
            raise ValueError("arrays are split; save it again with protocol=4")
        return {n: _checked(n, value) for n, value in found.items() if n != PARAMETER_NAMES}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _checked(name: str, value: Any) -> Tensor:
    if not isinstance(value, PickledArray) or value.tensor is None:
        raise ValueError(f"{name[:100]!r} is a {type(value).__name__}, not an array")
    return value.tensor
