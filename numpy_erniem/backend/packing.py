"""The owner of packed weights: what the kernels keep of an array that cannot change."""

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from numpy_erniem._kernels import ffi, lib
from numpy_erniem.backend.frozen import FrozenMemory, is_frozen, release_mapped_pages
from numpy_erniem.backend.memory import NoMemoryError, floats, readable
from numpy_erniem.backend.unsupported import Unsupported
from numpy_erniem.quantization.numbers import BFLOAT16, INT8, STORED_BFLOAT16

ROWS = 256  # read from a mapped table, after which its pages are released

REFUSED_INT8 = {
    lib.ERNIEM_BAD_SIZE: Unsupported("an int8 weight with rows too long for sums of 32 bits"),
    lib.ERNIEM_BAD_NUMBER: Unsupported("an int8 weight with -128"),
}

NUMBERS_OF_16_BITS = {
    BFLOAT16: lib.ERNIEM_BFLOAT16,
    STORED_BFLOAT16: lib.ERNIEM_STORED_BFLOAT16,
    np.dtype(np.float16): lib.ERNIEM_FLOAT16,
}

_lock = threading.RLock()  # held while something is made that all threads keep


def _renew_lock() -> None:
    """In the child of a fork: the thread that held the lock does not exist there."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class PackedWeights:
    """What the native backend keeps of one frozen array.

    Made by the first kernel that reads the array, or by `prepare` of a model. It is the `kept` of
    the array's `FrozenMemory` and nothing else refers to it, so it is freed with the array: with
    its model, or when the model gets another array in its place. A pack for another instruction
    set is refused by C, and made again.

    Only arrays made by `freeze` have one. Any other array can change unseen, also one that is
    read-only at the moment; such a weight is packed for every call.

    Several threads may use it at once, with and without the GIL. A weight is packed by one of them,
    and the others wait. Each attribute is read once and replaced as a whole, so a thread sees the
    old value or the new one; what it has read stays alive while it uses it.

    Attributes
    ----------
    panels : tuple or None
        The array's shape, the pointer to a `struct erniem_packed` made of it, and a reference to
        the scale that is part of it, if the array is int8.
    layer : tuple or None
        What `layer_arguments` made of the array as a layer's weight, and for which bias and scale.
    rows_read : int
        Rows that were read from the array as a table since its pages were released. About as many:
        two threads that count at once may count as one.
    """

    __slots__ = ("layer", "panels", "rows_read")

    def __init__(self) -> None:
        self.panels: Any = None
        self.layer: tuple | None = None
        self.rows_read = 0

    @classmethod
    def of(cls, array: np.ndarray) -> "PackedWeights | None":
        """What is kept of the array, empty at first; None for an array that may change."""
        if not is_frozen(array):
            return None
        owner = array.base
        if owner.kept is None:
            with _lock:
                if owner.kept is None:
                    owner.kept = cls()
        return owner.kept


def layer_arguments(w: Mapping[str, np.ndarray], make: Callable) -> tuple | Unsupported:
    """`make(w)`: a tuple of what C reads of a layer, or why it does not.

    Kept for frozen arrays: checking dtype, shape and layout on every call can cost as much as a
    small kernel.
    """
    weight, bias = w["weight"], w["bias"]
    owner = weight.base
    if type(owner) is FrozenMemory and (kept := owner.kept) and (layer := kept.layer):
        its_bias, its_shape, made_by, arguments, its_scale = layer
        same_scale = its_scale is None or its_scale() is w["scale"]
        if same_scale and its_bias() is bias and its_shape == weight.shape and made_by is make:
            return arguments
    arguments = make(w)
    scale = w["scale"] if weight.dtype == INT8 else None
    if type(arguments) is tuple and is_frozen(bias) and (scale is None or is_frozen(scale)):
        kept = PackedWeights.of(weight)
        if kept is not None:
            kept.layer = (weakref.ref(bias), weight.shape, make, arguments, _reference(scale))
    return arguments


def panels(weight: np.ndarray, scale: np.ndarray | None = None) -> Any:
    """Pointer to the (N, K) weight as `erniem_linears` reads it; it keeps what it points to.

    Parameters
    ----------
    weight : (N, K) array
    scale : (N,) float32 array, optional
        Of an int8 weight.

    Returns
    -------
    pointer, or Unsupported
        As `pack`.
    """
    kept = PackedWeights.of(weight)
    if kept is None or (scale is not None and not is_frozen(scale)):
        return pack(weight, scale)
    if (found := _kept_panels(kept, weight, scale)) is None:
        with _lock:
            found = _kept_panels(kept, weight, scale)  # another thread may have packed it meanwhile
            if found is None:
                found = pack(weight, scale)
                if type(found) is Unsupported:
                    return found
                kept.panels = weight.shape, found, _reference(scale)
                release_mapped_pages(weight)  # the panels are read instead
    return found


def _kept_panels(kept: PackedWeights, weight: np.ndarray, scale: np.ndarray | None) -> Any:
    """The panels that are kept, if they are those of this shape and scale; else None."""
    shape, found, its_scale = kept.panels or (None, None, None)
    is_its_scale = scale is None if its_scale is None else its_scale() is scale
    return found if shape == weight.shape and is_its_scale else None


def _reference(scale: np.ndarray | None) -> weakref.ref | None:
    return None if scale is None else weakref.ref(scale)


def forget(w: Mapping[str, np.ndarray]) -> None:
    """Drop what is kept of a layer, after C refused it."""
    kept = PackedWeights.of(w["weight"])
    if kept is not None:
        kept.panels = kept.layer = None


def rows_were_read(table: np.ndarray, count: int) -> None:
    """Release a mapped table's pages after every 256 rows, so that it never becomes resident."""
    kept = PackedWeights.of(table)
    if kept is None:
        return
    kept.rows_read += count
    if kept.rows_read >= ROWS:
        kept.rows_read = 0
        release_mapped_pages(table)


def pack(weight: np.ndarray, scale: np.ndarray | None = None) -> Any:
    """Pointer to a new pack of a (N, K) weight, which is freed with it.

    Parameters
    ----------
    weight : (N, K) array
        Packed as int8 with a scale, else by its dtype: float32, or one of 16 bits.
    scale : (N,) float32 array, optional
        Of an int8 weight.

    Returns
    -------
    pointer, or Unsupported
        A pointer to a `struct erniem_packed`; the reason where int8 kernels cannot take the weight.

    Raises
    ------
    NoMemoryError
        There is no memory for it.
    """
    (n, k), packed = weight.shape, ffi.new("struct erniem_packed **")
    if weight.dtype in NUMBERS_OF_16_BITS:
        number, bits = NUMBERS_OF_16_BITS[weight.dtype], readable(weight).view(np.uint16)
        status = lib.erniem_pack_16(number, n, k, ffi.from_buffer("uint16_t[]", bits), packed)
    elif scale is None:
        status = lib.erniem_pack(n, k, floats(weight), packed)
    else:
        numbers = ffi.from_buffer("int8_t[]", readable(weight))
        status = lib.erniem_pack_int8(n, k, numbers, floats(scale), packed)
        if status in REFUSED_INT8:
            return REFUSED_INT8[status]
    return _owned(packed, status, weight)


def pack_queries(queries: np.ndarray) -> Any:
    """Pointer to a new pack of (Q, D) float32 queries, as `erniem_top_scores` reads them.

    Raises
    ------
    NoMemoryError
        There is no memory for it.
    """
    packed = ffi.new("struct erniem_packed **")
    status = lib.erniem_pack_queries(*queries.shape, floats(queries), packed)
    return _owned(packed, status, queries)


def _owned(packed: Any, status: int, weight: np.ndarray) -> Any:
    """What was packed with this status; it is freed with the pointer."""
    if status != 0:
        raise NoMemoryError("no memory to pack a weight of {} times {}".format(*weight.shape))
    return ffi.gc(packed[0], lib.erniem_packed_free)
