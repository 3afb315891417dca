"""Tables of which C takes rows: float32, or rows of eight or sixteen bits that it widens."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numpy_erniem._kernels import ffi, lib
from numpy_erniem.backend.memory import FLOAT, floats, is_readable
from numpy_erniem.backend.unsupported import NOT_FLOAT, SIZES, Unsupported
from numpy_erniem.quantization.numbers import BFLOAT16, INT8, STORED_BFLOAT16

KINDS = {
    FLOAT: lib.ERNIEM_ROWS_FLOAT32,
    np.dtype(np.float16): lib.ERNIEM_ROWS_FLOAT16,
    BFLOAT16: lib.ERNIEM_ROWS_BFLOAT16,
    STORED_BFLOAT16: lib.ERNIEM_ROWS_BFLOAT16,
    INT8: lib.ERNIEM_ROWS_INT8,
}


def word_table(w: Mapping[str, np.ndarray]) -> Any:
    """Pointer to a `struct erniem_table`, or why there is none; the arrays of w must outlive it.

    Parameters
    ----------
    w : dict
        "weight" (V, D), and "scale" (V,) where that is int8.
    """
    rows, scale = w["weight"], ffi.NULL
    kind = KINDS.get(rows.dtype)
    if kind is None:
        return NOT_FLOAT
    if not is_readable(rows):
        return Unsupported("a word table that would have to be copied")
    if kind == lib.ERNIEM_ROWS_INT8:
        if w["scale"].dtype != FLOAT or not is_readable(w["scale"]):
            return NOT_FLOAT
        if w["scale"].shape != rows.shape[:1]:
            return SIZES
        scale = floats(w["scale"])
    return ffi.new("struct erniem_table *", (kind, ffi.from_buffer(rows), scale))
