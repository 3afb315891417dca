"""Read model_state.pdparams, a pickle of {name: NumPy array}, without Paddle; nothing is copied."""

import os
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.allowed import ORDERED_DICT, Allowed, LongText, check_shape
from numpy_erniem.checkpoint.tensors import LazyTensor, Tensor, map_file
from numpy_erniem.checkpoint.unpickle import unpickle

PARAMETER_NAMES = "StructuredToParameterName@@"  # holds names inside a Paddle program, no tensors
SPLIT = "UnpackBigParamInfor@@"  # arrays of a GiB and more, in protocols 2 and 3
CHUNK = 1 << 20  # bytes that are counted at a time

# Paddle stores bfloat16 as NumPy's uint16; no checkpoint has real uint16.
DTYPE_OF_CODE = {
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


class _EncodedBytes:
    """Bytes that protocol 2 stores as text: one character below 256 for each, in UTF-8."""

    def __init__(self, utf8: memoryview) -> None:
        self.utf8 = utf8
        octets = np.frombuffer(utf8, np.uint8)
        self.length = sum(
            int(np.count_nonzero(octets[at : at + CHUNK] & 0xC0 != 0x80))
            for at in range(0, len(octets), CHUNK)
        )

    def __len__(self) -> int:
        return self.length

    def decoded(self) -> bytes:
        """Decode into memory."""
        return bytes(self.utf8).decode("utf-8").encode("latin-1")


class _PickledDtype:
    """Stands for a numpy.dtype: a code of `DTYPE_OF_CODE` and a byte order."""

    def __init__(self, code: Any, *_: Any) -> None:
        if type(code) is not str or code not in DTYPE_OF_CODE:
            shown = code[:20] if type(code) is str else type(code).__name__
            raise ValueError(f"dtype {shown!r} is not one of {', '.join(DTYPE_OF_CODE)}")
        self.code = code
        self.numpy: np.dtype | None = None

    def set_state(self, version: Any = None, order: Any = None, *_: Any) -> None:
        """Take the state of a numpy.dtype: version, byte order, fields.

        Parameters
        ----------
        version : object
            Not used.
        order : str
            "<", ">" or "|".

        Raises
        ------
        ValueError
            The byte order is another, or the dtype has its state already.
        """
        if self.numpy is not None or order not in ("<", ">", "|"):
            raise ValueError("a dtype with fields, or without a byte order")
        self.numpy = np.dtype((order + self.code).replace("|u2", "<u2"))


class _PickledArray:
    """Stands for a numpy.ndarray whose bytes are still in the file."""

    tensor: Tensor | None = None

    def set_state(self, version: Any, shape: Any, dtype: Any, columns: Any, data: Any) -> None:
        """Take the state of a numpy.ndarray.

        Parameters
        ----------
        version : object
            Not used.
        shape : tuple of int
        dtype : _PickledDtype
        columns : bool
            Whether the bytes are in Fortran's order.
        data : memoryview or _EncodedBytes

        Raises
        ------
        ValueError
            The parts do not fit together, or the array has its state already.
        """
        if self.tensor is not None:
            raise ValueError("an array is given its state twice")
        self.tensor = _tensor(shape, dtype, columns, data)


def _tensor(shape: Any, dtype: Any, columns: Any, data: Any) -> Tensor:
    if not isinstance(dtype, _PickledDtype) or dtype.numpy is None or type(columns) is not bool:
        raise ValueError("an array without a dtype or an order")
    size = prod(check_shape(shape)) * dtype.numpy.itemsize
    if not isinstance(data, memoryview | _EncodedBytes) or len(data) != size:
        known = isinstance(data, memoryview | _EncodedBytes)
        found = f"{len(data)} bytes" if known else f"a {type(data).__name__}"
        raise ValueError(f"an array of shape {shape} needs {size} bytes of data, not {found}")
    order = "F" if columns else "C"
    name = DTYPE_OF_CODE[dtype.code]
    if isinstance(data, _EncodedBytes):
        return LazyTensor(
            name,
            shape,
            lambda: np.frombuffer(data.decoded(), dtype.numpy).reshape(shape, order=order),
        )
    values = np.frombuffer(data, dtype.numpy) if size else np.empty(0, dtype.numpy)
    return Tensor(name, values.reshape(shape, order=order))


def _reconstruct(array_class: Any, shape: Any, code: Any) -> _PickledArray:
    """An array before it has its state."""
    if array_class is not NDARRAY:
        raise ValueError("an array of another class than numpy.ndarray")
    return _PickledArray()


def _encode(text: Any, encoding: Any) -> _EncodedBytes:
    """Stands for _codecs.encode, by which protocol 2 makes bytes of text."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError("text in another encoding than latin1")
    if isinstance(text, LongText):
        return _EncodedBytes(text.utf8)
    if type(text) is not str:
        raise ValueError("bytes that are not made of text")
    return _EncodedBytes(memoryview(text.encode("utf-8")))


def _empty_bytes() -> memoryview:
    """Stands for bytes(), by which protocol 2 makes empty bytes."""
    return memoryview(b"")


def _named_array(pair: Any) -> _PickledArray:
    """Stands for tuple((name, array)), Paddle's own form of a tensor."""
    if type(pair) is not tuple or len(pair) != 2 or not isinstance(pair[1], _PickledArray):
        raise ValueError("a tuple that is not the name and the array of a tensor")
    return pair[1]


NDARRAY = Allowed("numpy.ndarray")
ALLOWED = {
    **ORDERED_DICT,
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): Allowed("numpy.dtype", _PickledDtype),
    ("numpy.core.multiarray", "_reconstruct"): Allowed("_reconstruct", _reconstruct),
    ("numpy._core.multiarray", "_reconstruct"): Allowed("_reconstruct", _reconstruct),
    ("_codecs", "encode"): Allowed("_codecs.encode", _encode),
    ("__builtin__", "bytes"): Allowed("bytes", _empty_bytes),
    ("builtins", "tuple"): Allowed("tuple", _named_array),
    ("__builtin__", "tuple"): Allowed("tuple", _named_array),
}


def read_pdparams(path: str | os.PathLike) -> dict[str, Tensor]:
    """Map a file that paddle.save wrote from a state_dict; the names are Paddle's.

    Raises
    ------
    ValueError
        The file is damaged, is not such a pickle, or asks for anything but arrays.
    """
    path = Path(path)
    data = memoryview(map_file(path))
    try:
        found, end = unpickle(data, ALLOWED)
        if end != len(data):
            raise ValueError(f"{len(data) - end} bytes follow the pickle")
        if type(found) is not dict:
            raise ValueError(f"the file holds a {type(found).__name__}, not a dict of arrays")
        if SPLIT in found:
            raise ValueError("arrays are split into parts; save the file again with protocol=4")
        return {n: _checked(n, value) for n, value in found.items() if n != PARAMETER_NAMES}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _checked(name: str, value: Any) -> Tensor:
    if not isinstance(value, _PickledArray) or value.tensor is None:
        raise ValueError(f"{name[:100]!r} is a {type(value).__name__}, not an array")
    return value.tensor
