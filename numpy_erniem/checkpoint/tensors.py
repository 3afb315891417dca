"""A tensor of a checkpoint: still in its mapped file, converted when it is read or written."""

import mmap
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.lfs import LARGEST, refuse_pointer
from numpy_erniem.checks import warn
from numpy_erniem.quantization.numbers import (
    STORED_BFLOAT16,
    bits_of,
    is_bfloat16,
    to_bfloat16,
    widen,
)

# The dtypes of safetensors, and how NumPy reads their bytes. bfloat16 is the upper half of a
# float32; NumPy has no such type, so its bits are read as uint16.
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
FLOATS = ("F64", "F32", "F16", "BF16")
DTYPE_OF_ARRAY = {np.dtype(code).str: dtype for dtype, code in DTYPES.items() if dtype != "BF16"}
CHUNK = 1 << 18  # elements that are converted at a time


class Tensor:
    """One tensor of a checkpoint.

    Attributes
    ----------
    dtype : str
        A key of `DTYPES`, such as "F32".
    shape : tuple of int
    data : array
        The values as the file stores them; a view of the mapped file. bfloat16 is uint16.
    """

    def __init__(self, dtype: str, data: np.ndarray) -> None:
        self.dtype = dtype
        self.data = data
        self.shape = data.shape

    @classmethod
    def of_array(cls, values: np.ndarray) -> "Tensor":
        """Wrap an array, so that it can be written.

        Raises
        ------
        ValueError
            A checkpoint cannot hold the array's dtype.
        """
        values = np.asarray(values)
        if is_bfloat16(values):
            return cls("BF16", bits_of(values))
        dtype = DTYPE_OF_ARRAY.get(values.dtype.newbyteorder("<").str)
        if dtype is None:
            raise ValueError(f"a checkpoint cannot hold an array of {values.dtype}")
        return cls(dtype, values)

    def stored(self) -> np.ndarray:
        """The values as the file has them, read-only; bfloat16 as `STORED_BFLOAT16`.

        A view of the mapped file, where that is in C order and aligned.
        """
        data = np.require(self.data, DTYPES[self.dtype], ["ALIGNED", "C_CONTIGUOUS"])
        view = data.view(STORED_BFLOAT16) if self.dtype == "BF16" else data.view()
        view.flags.writeable = False
        return view

    def numpy(self, dtype: np.dtype | type | None = None) -> np.ndarray:
        """Return the values as a read-only array.

        Parameters
        ----------
        dtype : dtype, optional
            Left out, that of the file; bfloat16 becomes float32. An array of the file's own dtype
            is a view of the mapped file; any other is converted in memory.
        """
        values = data = self.data
        if self.dtype == "BF16":
            values = widen(values.view(STORED_BFLOAT16))
        dtype = values.dtype.newbyteorder("=") if dtype is None else np.dtype(dtype)
        ready = np.require(values, dtype, ["ALIGNED", "C_CONTIGUOUS"])
        if not np.may_share_memory(ready, data):
            _release_pages(data)
        ready.flags.writeable = False
        return ready

    def release_pages(self) -> None:
        """Let the system drop the file's pages from memory; they are read again when needed."""
        _release_pages(self.data)

    def encode_as(self, dtype: str | None = None) -> np.ndarray:
        """Return the bits that a safetensors file stores for these values.

        Parameters
        ----------
        dtype : {"F64", "F32", "F16", "BF16"}, optional
            Left out, the tensor's own.

        Raises
        ------
        ValueError
            A finite value is too large for `dtype`.
        """
        if dtype in (None, self.dtype):
            return np.ascontiguousarray(self.data, DTYPES[self.dtype])
        values = self.numpy().reshape(-1)
        encoded = np.empty(values.size, DTYPES[dtype])
        for at in range(0, values.size, CHUNK):  # so that no second copy is in memory
            encoded[at : at + CHUNK] = _encode_floats(values[at : at + CHUNK], dtype)
        return encoded.reshape(self.shape)

    def encoded_dtype(self, float_dtype: str | None = None) -> str:
        """The dtype in a file: `float_dtype` for floats, if given; else the tensor's own."""
        return float_dtype if float_dtype and self.dtype in FLOATS else self.dtype

    def encoded_size(self, float_dtype: str | None = None) -> int:
        """Bytes in a file whose floats are `float_dtype`, if given."""
        return prod(self.shape) * np.dtype(DTYPES[self.encoded_dtype(float_dtype)]).itemsize


class LazyTensor(Tensor):
    """A tensor that is computed each time its values are asked for; the result is not kept.

    Parameters
    ----------
    dtype : str
        A key of `DTYPES`.
    shape : tuple of int
    compute : callable
        Returns the array, of that dtype and shape.
    """

    def __init__(
        self, dtype: str, shape: tuple[int, ...], compute: Callable[[], np.ndarray]
    ) -> None:
        self.dtype = dtype
        self.shape = shape
        self._compute = compute

    @property
    def data(self) -> np.ndarray:
        """The values, computed now."""
        return self._compute()

    def release_pages(self) -> None:
        """Do nothing: the tensors that this one is computed from release their own pages."""


def check_floats(source: Any, name: str, tensor: Tensor) -> None:
    """Refuse a tensor of integers where a model needs floats.

    Parameters
    ----------
    source : path or str
        Named in the error.
    name : str
        Of the tensor.
    tensor : Tensor

    Raises
    ------
    ValueError
        The tensor does not hold floats.
    """
    if tensor.dtype not in FLOATS:
        raise ValueError(
            f"{source}: tensor {name} holds {tensor.dtype}, not floats; quantized weights of other "
            "programs are not read, take the checkpoint in float32, float16 or bfloat16"
        )


def warn_of_nan(source: Any, name: str, values: np.ndarray) -> None:
    """Warn about a small tensor that holds NaN or infinity.

    Parameters
    ----------
    source : path or str
        Named in the warning.
    name : str
        Of the tensor.
    values : array
    """
    if not np.isfinite(values).all():
        warn(f"{source}: NaN or infinite weights in {name}")


def _encode_floats(values: np.ndarray, dtype: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        if dtype == "BF16":
            rounded = to_bfloat16(values.astype(np.float32))
            encoded, decoded = bits_of(rounded), widen(rounded)
        else:
            encoded = decoded = values.astype(DTYPES[dtype])
    if not np.array_equal(np.isfinite(decoded), np.isfinite(values)):
        largest = np.abs(values[np.isfinite(values)]).max()
        raise ValueError(f"a value of {largest:g} does not fit {dtype}; choose a wider dtype")
    return encoded


def map_file(path: Path) -> mmap.mmap:
    """Map a file into memory, for reading.

    Raises
    ------
    ValueError
        The file is empty, or a pointer of Git LFS.
    """
    if not path.stat().st_size:
        raise ValueError(f"{path} has 0 bytes; was the download broken off?")
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    refuse_pointer(path, mapped[:LARGEST])
    return mapped


def mapping_of(array: np.ndarray) -> mmap.mmap | None:
    """The mapped file that an array is a view of; None for any other array."""
    owner: Any = array
    while owner is not None and not isinstance(owner, mmap.mmap):
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    return owner


def _release_pages(array: np.ndarray) -> None:
    mapped = mapping_of(array)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
