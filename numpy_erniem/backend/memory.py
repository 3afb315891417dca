"""Arrays and the pointers that C takes: layouts that C can read, results, mapped pages."""

import math
import mmap
from typing import Any

import numpy as np

from numpy_erniem._kernels import ffi, lib
from numpy_erniem.backend.frozen import mapping_of
from numpy_erniem.backend.unsupported import Unsupported

FLOAT = np.dtype(np.float32)
LARGE = 1 << 17  # bytes from which a result's memory is kept for the next one

FLOATS = ffi.typeof("float[]")
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
    return ffi.from_buffer(FLOATS, readable(array))


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


def result_or_reason(result: Any, status: int) -> Any:
    """The result of a kernel that ended with this status, or why there is none."""
    if status == lib.ERNIEM_NO_MEMORY:
        raise NoMemoryError("the C kernels found no memory for their work")
    return result if status == 0 else Unsupported("a size beyond the C kernel")


def release_mapped_pages(array: np.ndarray) -> None:
    """Take the pages of an array over a mapped file out of memory; any other array stays.

    The pages are reloaded from the file if the array is read again.
    """
    owner = mapping_of(array)
    if owner is None or not hasattr(owner, "madvise"):
        return
    base = np.frombuffer(owner, np.uint8, 1).ctypes.data
    start = array.ctypes.data - base
    end = (start + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    start = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    if end > start:
        owner.madvise(mmap.MADV_DONTNEED, start, end - start)
