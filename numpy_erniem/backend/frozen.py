"""Arrays that nobody can write to, which may be packed once and kept; files mapped for reading."""

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np


class FrozenMemory:
    """The memory of a frozen array, handed out for reading only; the `base` of that array.

    NumPy refuses to make an array over it writable again: `setflags(write=True)` is a ValueError.

    Attributes
    ----------
    base : array
        Whose memory it is. Nothing else may write there.
    kept : object or None
        What the native backend derived from the array. It is freed with this object, so when the
        last array over the memory is gone.
    """

    __slots__ = ("__array_interface__", "base", "kept")

    def __init__(self, array: np.ndarray) -> None:
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], True)}
        self.base = array
        self.kept: Any = None


def freeze(array: np.ndarray) -> np.ndarray:
    """An array of the same numbers in C order that can never be written to.

    Parameters
    ----------
    array : array of numbers
        It is handed over: an array that owns its memory is not copied, so the caller must not write
        to it any more, or keep a view that can be written to. A view of frozen memory, of `bytes`
        or of a file that is mapped for reading is not copied either. (Nothing here notices that
        another program changes such a file.) Any other view is copied.

    Returns
    -------
    array
        Over `FrozenMemory`; the argument itself, if it is one already.
    """
    if is_frozen(array):
        return array
    array = np.asarray(array)  # without a subclass such as memmap
    if not array.flags.owndata and not _is_constant(array):
        array = array.copy()
    return np.asarray(FrozenMemory(np.asarray(array, order="C")))


def is_frozen(array: np.ndarray) -> bool:
    """Whether the array was made by `freeze`; a part of such an array, or a view, was not."""
    return type(array.base) is FrozenMemory and not array.flags.writeable


def mapping_of(array: np.ndarray) -> mmap.mmap | None:
    """The file mapped for reading that an array is a view of, or None."""
    *_, owner = _owners(array)
    return owner if isinstance(owner, mmap.mmap) and memoryview(owner).readonly else None


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


def _is_constant(array: np.ndarray) -> bool:
    """Whether the array's memory is frozen, that of `bytes`, or of a file mapped for reading."""
    *between, owner = _owners(array)
    if any(type(o) is FrozenMemory for o in between):
        return True
    return isinstance(owner, bytes | mmap.mmap) and memoryview(owner).readonly


def _owners(array: np.ndarray) -> Iterator[Any]:
    """The array, what it is a view of, and so on to the object that owns the memory."""
    owner: Any = array
    while owner is not None:
        yield owner
        if isinstance(owner, memoryview):
            owner = owner.obj
        elif isinstance(owner, np.ndarray | FrozenMemory) or _is_of_numpy(owner):
            owner = owner.base
        else:
            return


def _is_of_numpy(owner: Any) -> bool:
    """Whether this is what `np.lib.stride_tricks.as_strided` puts between an array and its base."""
    return type(owner).__module__.startswith("numpy.") and hasattr(owner, "base")
