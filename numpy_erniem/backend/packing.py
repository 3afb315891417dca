"""The owner of packed weights: what the kernels keep of an array that cannot change."""

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from numpy_erniem._kernels import ffi, lib
from numpy_erniem.backend.frozen import FrozenMemory, is_frozen, release_mapped_pages
from numpy_erniem.backend.memory import NoMemoryError, floats
from numpy_erniem.backend.unsupported import Unsupported
from numpy_erniem.quantization.numbers import widen

ROWS = 256  # read from a mapped table, after which its pages are released

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
        The array's shape, and the pointer to a `struct erniem_packed` made of it.
    layer : tuple or None
        What `layer_arguments` made of the array as a layer's weight, and for which bias.
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
    """`make(weight, bias)`: a tuple of what C reads of a layer, or why it does not.

    Kept for frozen arrays: checking dtype, shape and layout on every call can cost as much as a
    small kernel.
    """
    weight, bias = w["weight"], w["bias"]
    owner = weight.base
    if type(owner) is FrozenMemory and (kept := owner.kept) and (layer := kept.layer):
        its_bias, its_shape, made_by, arguments = layer
        if its_bias() is bias and its_shape == weight.shape and made_by is make:
            return arguments
    arguments = make(weight, bias)
    if type(arguments) is tuple and is_frozen(bias):
        kept = PackedWeights.of(weight)
        if kept is not None:
            kept.layer = (weakref.ref(bias), weight.shape, make, arguments)
    return arguments


def panels(weight: np.ndarray) -> Any:
    """Pointer to the (N, K) weight as `erniem_linears` reads it; it keeps what it points to."""
    kept = PackedWeights.of(weight)
    if kept is None:
        return pack(weight)
    found = kept.panels
    if found is None or found[0] != weight.shape:
        with _lock:
            found = kept.panels  # another thread may have packed it meanwhile
            if found is None or found[0] != weight.shape:
                found = kept.panels = weight.shape, pack(weight)
                release_mapped_pages(weight)  # the panels are read instead
    return found[1]


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


def pack(weight: np.ndarray) -> Any:
    """Pointer to a new pack of a (N, K) weight, which is freed with it; in float32, if widened."""
    (n, k), packed = weight.shape, ffi.new("struct erniem_packed **")
    status = lib.erniem_pack(n, k, floats(widen(weight)), packed)
    if status != 0:
        raise NoMemoryError(f"no memory to pack a weight of {n} times {k}")
    return ffi.gc(packed[0], lib.erniem_packed_free)
