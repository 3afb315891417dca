"""The primitives of training, as NumPy formulas that a native kernel may replace; see `ops`.

Shapes: M, N and K are the sizes of a product, D hidden.
"""

import math

import numpy as np

from numpy_erniem.backend.dispatch import accelerated
from numpy_erniem.ops import CACHE_BLOCK


@accelerated
def linear_backward(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of y = x Wᵀ + b: dx = dy W, dW = dyᵀ x, db = Σ dy.

    Parameters
    ----------
    dy : (M, N) array
        The gradient of the loss by y.
    x : (M, K) array
    weight : (N, K) array

    Returns
    -------
    dx : (M, K) array
    dweight : (N, K) array
    dbias : (N,) array
    """
    return dy @ weight, dy.T @ x, column_sums(dy)


def column_sums(x: np.ndarray) -> np.ndarray:
    """The sum over the rows, (M, N) -> (N,), as a product: BLAS is faster than np.sum."""
    return np.ones(len(x), x.dtype) @ x


@accelerated
def adamw(
    arrays: tuple[np.ndarray, ...],
    betas: tuple[float, float],
    eps: float,
    rate: float,
    decay: float,
    steps: int,
) -> None:
    """One step of AdamW, in place; `training.AdamW` has the formula.

    Parameters
    ----------
    arrays : four arrays of one shape and dtype, C-contiguous
        The gradient g, the weights w, and the running means m and v. All but g are changed.
    betas : (float, float)
        β₁ and β₂.
    eps : float
        ε.
    rate : float
        η.
    decay : float
        η λ.
    steps : int
        t, at least 1.

    Notes
    -----
    Each operation is rounded by itself, here and in the native kernel: both give the same bits.
    """
    (b1, b2), flat = betas, [a.reshape(-1) for a in arrays]
    for at in range(0, flat[0].size, CACHE_BLOCK):
        g, w, m, v = (a[at : at + CACHE_BLOCK] for a in flat)
        m *= b1
        m += (1 - b1) * g
        v *= b2
        part = np.square(g)
        part *= 1 - b2
        v += part
        np.sqrt(v, out=part)
        part *= 1 / math.sqrt(1 - b2**steps)
        part += eps
        np.divide(m, part, out=part)
        part *= rate / (1 - b1**steps)
        w *= 1 - decay
        w -= part
