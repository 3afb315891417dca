"""The arithmetic of narrow weights: linear maps on int8, on bfloat16, and on widened weights.

A native kernel equals `int8_linear` bit for bit before the activation: sums of integers are exact
in any order, and the few operations in float32 are listed there in order. It equals
`bfloat16_linear` and `widened_linear` to the order of the sums.
"""

from collections.abc import Mapping

import numpy as np

from numpy_erniem.quantization.numbers import BFLOAT16, INT8, LARGEST, to_bfloat16, widen

Weights = Mapping[str, np.ndarray]

STEPS = 255  # of an input: 0 to 255
SMALLEST = np.finfo(np.float32).tiny  # 2^-126; the step of a row is not below it
# Products of numbers up to 255 and 127: so many of them have an exact sum in float32 and in int32.
EXACT_IN_FLOAT32 = 512
MOST_INPUTS = 65_536
ROWS = 4096  # of a weight, that are widened at a time


def quantize_rows(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Round the numbers of each row to 0..255, between the lowest and the highest of the row.

    Parameters
    ----------
    x : (M, K) float32 array

    Returns
    -------
    q : (M, K) uint8 array
    zero : (M,) int32 array
        The number in 0..255 that stands for 0.
    step : (M,) float32 array
        x is about (q - zero) · step; NaN where a number of the row is not finite.

    Notes
    -----
    In float32, each operation rounded to nearest even, none fused, for each row::

        low  = min(0, min x)              high = max(0, max x)
        step = (high - low) / 255         a step that is not finite becomes NaN, and q and zero 0;
                                          one below 2^-126 becomes 1, and q and zero 0
        zero = clip(rint(-low / step), 0, 255)
        q    = clip(rint(x · (1 / step)) + zero, 0, 255)

    rint rounds halves to even. A row that spans more than float32 holds has no finite step, either.
    """
    x = np.asarray(x, np.float32)
    with np.errstate(all="ignore"):
        low = x.min(axis=1, initial=0)  # NaN where a number is NaN
        high = x.max(axis=1, initial=0)
        step = (high - low) / np.float32(STEPS)
        finite, tiny = np.isfinite(step), step < SMALLEST
        used = np.where(finite & ~tiny, step, np.float32(1))
        zero = np.clip(np.rint(-low / used), 0, STEPS)
        q = np.rint(x * (np.float32(1) / used)[:, None])
        q += zero[:, None]
        np.clip(q, 0, STEPS, out=q)
    empty = ~finite | tiny
    q[empty], zero[empty] = 0, 0
    used[~finite] = np.nan
    return q.astype(np.uint8), zero.astype(np.int32), used


def quantize_weight(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round each row of a weight to -127..127 times a scale of the row.

    Parameters
    ----------
    weight : (N, K) array of finite float32

    Returns
    -------
    weight : (N, K) int8 array
    scale : (N,) float32 array
        The largest magnitude of the row / 127; 1 for a row of zeros, and for one so small that
        this would be below 2^-126.

    Raises
    ------
    ValueError
        A number is NaN or infinite.
    """
    weight = np.asarray(weight, np.float32)
    largest = np.abs(weight).max(axis=1, initial=0)
    if not np.isfinite(largest).all():
        raise ValueError("it holds NaN or infinity, which int8 cannot; repair the checkpoint")
    scale = largest / np.float32(LARGEST)
    scale[scale < SMALLEST] = 1
    q = np.rint(weight / scale[:, None])
    return np.clip(q, -LARGEST, LARGEST).astype(np.int8), scale


def narrow_linear(x: np.ndarray, w: Weights) -> np.ndarray:
    """x Wᵀ + b by the formula of the weight's kind.

    Parameters
    ----------
    x : (M, K) array
    w : dict
        "weight" (N, K), "bias" (N,), and "scale" (N,) for int8.

    Returns
    -------
    (M, N) array
    """
    if w["weight"].dtype == INT8:
        return int8_linear(x, w["weight"], w["scale"], w["bias"])
    if w["weight"].dtype == BFLOAT16:
        return bfloat16_linear(x, w["weight"], w["bias"])
    return widened_linear(x, w["weight"], w["bias"])


def int8_linear(
    x: np.ndarray, weight: np.ndarray, scale: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """x Wᵀ + b, with the inputs in eight bits per row and the weights in eight bits per channel.

    Parameters
    ----------
    x : (M, K) float32 array
        K is at most 65,536, so that a sum fits 32 bits.
    weight : (N, K) int8 array, -127..127
    scale : (N,) float32 array
    bias : (N,) float32 array

    Returns
    -------
    (M, N) float32 array
        NaN in the row of an input that is not finite. A row of zeros gives exactly the bias.

    Notes
    -----
    With q, zero and step of `quantize_rows`, and n a row of the weight::

        sum[n] = Σ_k q[k] · weight[n, k] - zero · Σ_k weight[n, k]       in int32, exact
        y[n]   = float32(sum[n]) · (step · scale[n]) + bias[n]

    in float32: the conversion rounds to nearest even; then step · scale[n] is rounded, then the
    product, then the sum with the bias. No operation is fused with another.
    """
    q, zero, step = quantize_rows(x)
    centred = q.astype(np.float32) - zero.astype(np.float32)[:, None]  # -255..255
    y = np.empty((len(centred), len(weight)), np.float32)
    for rows in _blocks(len(weight), ROWS):
        # Σ (q - zero) · weight is the sum above; each part of it is exact in float32.
        total = np.zeros((len(centred), len(weight[rows])), np.int32)
        for part in _blocks(weight.shape[1], EXACT_IN_FLOAT32):
            product = centred[:, part] @ weight[rows, part].astype(np.float32).T
            total += product.astype(np.int32)
        with np.errstate(all="ignore"):
            block = total.astype(np.float32)
            block *= step[:, None] * scale[rows]
            block += bias[rows]
        y[:, rows] = block
    return y


def bfloat16_linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """x Wᵀ + b, with inputs rounded to bfloat16 and weights of bfloat16; sums in float32.

    Parameters
    ----------
    x : (M, K) float32 array
        Rounded to nearest, ties to even.
    weight : (N, K) bfloat16 array
    bias : (N,) float32 array

    Returns
    -------
    (M, N) float32 array
    """
    return widened_linear(widen(to_bfloat16(x)), weight, bias)


def widened_linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """x Wᵀ + b in float32, with a weight of 16-bit floats that is widened some rows at a time.

    Parameters
    ----------
    x : (M, K) array
    weight : (N, K) array of float16 or bfloat16
    bias : (N,) array

    Returns
    -------
    (M, N) array
    """
    if len(weight) <= ROWS:
        y = x @ widen(weight).T
        y += bias
        return y
    y = np.empty((len(x), len(weight)), x.dtype)
    for rows in _blocks(len(weight), ROWS):
        np.matmul(x, widen(weight[rows]).T, out=y[:, rows])
        y[:, rows] += bias[rows]
    return y


def _blocks(count: int, size: int) -> list[slice]:
    return [slice(start, min(count, start + size)) for start in range(0, count, size)]
