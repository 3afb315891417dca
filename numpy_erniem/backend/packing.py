"""What lies between arrays and pointers: layouts C can read, large results, packed weights."""

import math
import mmap
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from numpy_erniem._kernels import ffi, lib

FLOAT = np.dtype(np.float32)
LARGE = 1 << 17  # bytes from which a result's memory is kept for the next one

ROWS = 256  # read from mapped tables, after which their pages are left to the file

FLOATS = ffi.typeof("float[]")
IN_ORDER = 0x101  # NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED, in `flags.num`

_rows_read = 0
# id of a weight -> itself, its panels
_packs: dict[int, tuple[weakref.ref, Any]] = {}
# id of a weight -> itself, its bias, the function that prepared them for C, what it returned
_layers: dict[int, tuple[weakref.ref, weakref.ref, Callable, tuple]] = {}


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


def layer(w: Mapping[str, np.ndarray], prepare: Callable) -> tuple | str:
    """`prepare(weight, bias)`: a tuple of what C reads of a layer, or why it does not.

    For arrays that cannot change it is made once: to look at their kinds, shapes and layouts takes,
    between two kernels, as long as some kernels do for a short text.
    """
    weight, bias = w["weight"], w["bias"]
    entry = _layers.get(id(weight))
    known = entry and entry[0]() is weight and entry[1]() is bias and entry[2] is prepare
    if known and not (weight.flags.writeable or bias.flags.writeable):
        return entry[3]
    prepared = prepare(weight, bias)
    frozen = type(prepared) is tuple and is_frozen(weight) and is_frozen(bias)
    _keep(_layers, weight, (weakref.ref(bias), prepare, prepared) if frozen else None)
    return prepared


def panels(weight: np.ndarray) -> Any:
    """Pointer to the (N, K) weight as `erniem_linear` reads it; it keeps what it points to.

    A weight that cannot change is packed once, and its panels live as long as it does. One that
    can, as in training, is packed for every call.
    """
    entry = _packs.get(id(weight))
    if entry is not None and entry[0]() is weight and not weight.flags.writeable:
        return entry[1]
    packed, frozen = _pack(weight), is_frozen(weight)
    if frozen:
        _leave_to_the_file(weight)
    _keep(_packs, weight, (packed,) if frozen else None)
    return packed


def _keep(store: dict[int, tuple], weight: np.ndarray, entry: tuple | None) -> None:
    """Store the weight and its entry as long as it lives; None drops what was stored before."""
    key = id(weight)
    if entry is None:
        store.pop(key, None)
    else:
        store[key] = (weakref.ref(weight, lambda _: store.pop(key, None)), *entry)


def is_frozen(array: np.ndarray) -> bool:
    """Whether neither the array nor what it is a view of can be written to."""
    view = array
    while isinstance(view, np.ndarray):
        if view.flags.writeable:
            return False
        view = view.base
    if view is None:
        return True
    try:
        return memoryview(view).readonly
    except (TypeError, ValueError):  # not a buffer, or a closed one: who knows who writes there
        return False


def rows_were_read(table: np.ndarray, count: int) -> None:
    """Keep a mapped table from coming into memory little by little, as ever new rows are read."""
    global _rows_read
    _rows_read += count
    if _rows_read >= ROWS:
        _rows_read = 0
        if is_frozen(table):
            _leave_to_the_file(table)


def _leave_to_the_file(weight: np.ndarray) -> None:
    """Take the pages of a mapped weight out of memory; its panels are read instead, if it has any.

    They stay in the file, and come back by themselves should anybody look at the weight again.
    """
    owner = weight
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    if not isinstance(owner, mmap.mmap) or not hasattr(owner, "madvise"):
        return
    base = np.frombuffer(owner, np.uint8, 1).ctypes.data
    start = weight.ctypes.data - base
    end = (start + weight.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    start = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    if end > start:
        owner.madvise(mmap.MADV_DONTNEED, start, end - start)


def forget_panels() -> None:
    """Drop every packed weight."""
    _packs.clear()
    _layers.clear()


def _pack(weight: np.ndarray) -> Any:
    n, k = weight.shape
    size = lib.erniem_packed_size(n, k)
    if size < 0:
        raise NoMemoryError(f"a weight of {n} times {k} is too large to pack")
    packed = floats(new_array((size,)))
    if lib.erniem_pack(n, k, floats(weight), packed) < 0:
        raise NoMemoryError(f"no memory to pack a weight of {n} times {k}")
    return packed
