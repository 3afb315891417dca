"""Arrays and the pointers that C takes: layouts that C can read, and results."""

import math
from typing import Any

import numpy as np

from numpy_erniem._kernels import ffi, lib
from numpy_erniem.backend.unsupported import Unsupported

FLOAT = np.dtype(np.float32)
LARGE = 1 << 17  # bytes from which a result's memory is kept for the next one

FLOATS = ffi.typeof("float[]")
from_buffer = ffi.from_buffer
IN_ORDER = 0x101  # NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED, in `flags.num`


class NoMemoryError(MemoryError):
    """The kernels found no memory for their work."""


def is_readable(array: np.ndarray) -> bool:
    """Whether C can read the array from end to end."""
    return array.flags.num & IN_ORDER == IN_ORDER


def readable(array: np.ndarray) -> np.ndarray:
    """The array itself where C can read it from end to end, else a copy."""
    return array if is_readable(array) else np.array(array, order="C", copy=True)


def floats(array: np.ndarray) -> Any:
    """Pointer to a float32 array, or to a copy that C can read; it keeps what it points to."""
    if array.flags.num & IN_ORDER != IN_ORDER:
        array = readable(array)
    return from_buffer(FLOATS, array)


def new_array(shape: tuple[int, ...]) -> np.ndarray:
    """An uninitialised float32 array; a large one takes over memory that an earlier one left.

    The system hands out large blocks page by page, each cleared at first touch: as slow as
    computing what is to be written there.
    """
    size = 4 * math.prod(shape)
    if size < LARGE:
        return np.empty(shape, FLOAT)
    block = lib.erniem_acquire(size)
    if block == ffi.NULL:
        raise NoMemoryError(f"no memory for a result of {size} bytes")
    owner = ffi.buffer(ffi.gc(block, lib.erniem_release), size)
    return np.frombuffer(owner, FLOAT).reshape(shape)


def new_floats(shape: tuple[int, ...]) -> tuple[np.ndarray, Any]:
    """An array as by `new_array`, and the pointer to it."""
    array = new_array(shape)
    return array, from_buffer(FLOATS, array)


def result_or_reason(result: Any, status: int) -> Any:
    """The result of a kernel that ended with this status, or why there is none."""
    if status == lib.ERNIEM_NO_MEMORY:
        raise NoMemoryError("the C kernels found no memory for their work")
    return result if status == 0 else Unsupported("a size beyond the C kernel")
