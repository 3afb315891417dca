"""Narrow weights: made of floats some rows at a time, and checked when they come from a file."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numpy_erniem.backend.frozen import release_mapped_pages
from numpy_erniem.checkpoint.tensors import Tensor
from numpy_erniem.quantization.formula import MOST_INPUTS, quantize_weight
from numpy_erniem.quantization.numbers import INT8, LARGEST, is_bfloat16, to_bfloat16, widen

SCALE = ".scale"  # after the name of an int8 weight: the name of its scales
ROWS = 4096  # of a weight, that are read at a time
LARGEST_SCALE = np.finfo(np.float32).max / np.float32(LARGEST)


def checked_scale(source: Any, name: str, weight: np.ndarray, tensor: Tensor | None) -> np.ndarray:
    """The scales of an int8 weight, copied.

    Parameters
    ----------
    source : path or str
        Named in errors.
    name : str
        Of the weight.
    weight : (N, K) int8 array
    tensor : Tensor, optional

    Returns
    -------
    (N,) float32 array

    Raises
    ------
    ValueError
        They are missing, of another dtype or shape, not positive, or so large that a weight would
        not be finite; or the weight has longer rows than int8 takes.
    """
    if tensor is None:
        raise ValueError(f"{source}: tensor {name} holds I8, and {name}{SCALE} is missing")
    where = f"{source}: tensor {name}{SCALE}"
    if tensor.dtype != "F32" or weight.ndim != 2 or tensor.shape != weight.shape[:1]:
        raise ValueError(
            f"{where} is {tensor.dtype} of {tensor.shape}; for a weight of {weight.shape} it must "
            f"be F32 of {weight.shape[:1]}"
        )
    scale = tensor.numpy().copy()
    right = (scale > 0) & (scale <= LARGEST_SCALE)
    if not right.all():
        row = int(np.argmin(right))
        raise ValueError(
            f"{where} has {scale[row]!s} for row {row}; a scale is above 0 and at most "
            f"{LARGEST_SCALE!s}, so that weights are finite"
        )
    if weight.shape[1] > MOST_INPUTS:
        raise ValueError(f"{source}: {name} has rows of more than {MOST_INPUTS} int8 numbers")
    return scale


def check_range(source: Any, name: str, weight: np.ndarray) -> None:
    """Refuse an int8 weight with a -128, which kernels do not take.

    Parameters
    ----------
    source : path or str
        Named in the error.
    name : str
    weight : (N, K) int8 array
        Read some rows at a time, so that a mapped one does not become resident.

    Raises
    ------
    ValueError
    """
    for start in range(0, len(weight), ROWS):
        if weight[start : start + ROWS].min(initial=0) < -LARGEST:
            raise ValueError(f"{source}: tensor {name} holds -128; int8 weights are -127 to 127")
        release_mapped_pages(weight[start : start + ROWS])


def quantized(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 and scales of a weight of any floats, some rows at a time.

    Parameters
    ----------
    values : (N, K) array of float16, bfloat16, float32 or float64

    Returns
    -------
    weight : (N, K) int8 array
    scale : (N,) float32 array

    Raises
    ------
    ValueError
        A number is NaN or infinite.
    """
    weight, scale = np.empty(values.shape, INT8), np.empty(len(values), np.float32)
    for start in range(0, len(values), ROWS):
        rows = slice(start, start + ROWS)
        weight[rows], scale[rows] = quantize_weight(widen(values[rows]))
        release_mapped_pages(values[rows])
    return weight, scale


def as_bfloat16(values: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Floats as bfloat16 of a kind; a view where they are that already."""
    if is_bfloat16(values):
        return values.view(kind)
    rounded = np.empty(values.shape, kind)
    for start in range(0, len(values), ROWS):
        rows = slice(start, start + ROWS)
        rounded[rows] = to_bfloat16(widen(values[rows]), kind)
        release_mapped_pages(values[rows])
    return rounded


def narrow_like(w: Mapping[str, np.ndarray], values: np.ndarray) -> dict[str, np.ndarray]:
    """Floats as the rows of a table: "weight" of its dtype, and "scale" where that is int8."""
    kind = w["weight"].dtype
    if kind == INT8:
        return dict(zip(("weight", "scale"), quantized(values), strict=True))
    if is_bfloat16(w["weight"]):
        return {"weight": as_bfloat16(values, kind)}
    return {"weight": values.astype(kind)}
