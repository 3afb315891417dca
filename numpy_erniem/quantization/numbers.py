"""Kinds of weights: float32, the two 16-bit floats, and int8 with a scale for each row.

NumPy has no bfloat16, which is the upper half of a float32. Here it is 16 bits with a name of their
own, and the name also says what a linear map computes with such a weight:

================== ===================================================================
dtype of a weight  what `ops.linear` computes
================== ===================================================================
float32            products and sums in float32
float16            the same, with the weight widened to float32, which is exact
STORED_BFLOAT16    the same
BFLOAT16           inputs are rounded to bfloat16 as well; products and sums in float32
int8               inputs are rounded to eight bits; see `formula.int8_linear`
================== ===================================================================

`ops.attention` rounds what it multiplies where q, k and v come from BFLOAT16 weights.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

BFLOAT16 = np.dtype([("bfloat16", "<u2")])
STORED_BFLOAT16 = np.dtype([("stored_bfloat16", "<u2")])
INT8 = np.dtype(np.int8)
WIDENED_EXACTLY = (np.dtype(np.float16), STORED_BFLOAT16)  # where they are used, to float32
NARROW = (*WIDENED_EXACTLY, BFLOAT16, INT8)
LARGEST = 127  # an int8 weight is never -128


def is_bfloat16(array: np.ndarray) -> bool:
    """Whether an array holds bfloat16, for whichever arithmetic."""
    return array.dtype in (BFLOAT16, STORED_BFLOAT16)


def bits_of(array: np.ndarray) -> np.ndarray:
    """The bits of a bfloat16 array as uint16, a view."""
    return array[array.dtype.names[0]] if array.dtype.names else array


def to_bfloat16(array: np.ndarray, dtype: np.dtype = BFLOAT16) -> np.ndarray:
    """Round float32 to bfloat16: to nearest, ties to even; NaN stays NaN, too large is infinite.

    Examples
    --------
    >>> float(widen(to_bfloat16(np.float32([1.00390625])))[0])  # a tie: the even neighbour
    1.0
    """
    array = np.asarray(array, np.float32)
    bits = np.atleast_1d(array).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16
    rounded = np.where(np.isnan(np.atleast_1d(array)), bits >> 16 | 0x40, rounded)
    return rounded.astype("<u2").view(dtype).reshape(array.shape)


def rounded(array: np.ndarray, dtype: np.dtype | None) -> np.ndarray:
    """The numbers of a float32 array rounded to bfloat16, where `dtype` is BFLOAT16; in float32."""
    return widen(to_bfloat16(array)) if dtype == BFLOAT16 else array


def widen(array: np.ndarray, scale: np.ndarray | None = None) -> np.ndarray:
    """The numbers of a weight in float32; exact, except for the one product of an int8 weight.

    Parameters
    ----------
    array : array of float16, bfloat16, int8 or any float
        Float32 and float64 are returned as they are.
    scale : (N,) float32 array, optional
        Of the rows of an int8 array, which needs it.

    Returns
    -------
    array of the same shape
    """
    if is_bfloat16(array):
        return (bits_of(array).astype(np.uint32) << 16).view(np.float32)
    if array.dtype == INT8:
        scale = np.asarray(scale, np.float32)
        return array * scale.reshape(scale.shape + (1,) * (array.ndim - scale.ndim))
    return array.astype(np.float32) if array.dtype == np.float16 else array


def take_rows(w: Mapping[str, Any], rows: np.ndarray | slice) -> np.ndarray:
    """Rows of a table in float32; the others are neither read nor widened.

    Parameters
    ----------
    w : dict
        "weight" (V, D) of any kind, and "scale" (V,) where that is int8.
    rows : array of integers, or slice

    Returns
    -------
    (..., D) array
    """
    table = w["weight"]
    return widen(table[rows], w["scale"][rows] if table.dtype == INT8 else None)
