"""The primitives of training, as NumPy formulas that a native kernel may replace; see `ops`.

Shapes: M, N and K are the sizes of a product, D hidden.
"""

import math

import numpy as np

from numpy_erniem.backend.dispatch import accelerated
from numpy_erniem.ops import CACHE_BLOCK


@accelerated
def linear_backward(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray, dx: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of y = x Wᵀ + b: dx = dy W, dW = dyᵀ x, db = Σ dy.

    Parameters
    ----------
    dy : (M, N) array
        The gradient of the loss by y.
    x : (M, K) array
    weight : (N, K) array
    dx : (M, K) array, optional
        Another gradient of x, to which this one is added in place.

    Returns
    -------
    dx : (M, K) array
    dweight : (N, K) array
    dbias : (N,) array
    """
    dx = dy @ weight if dx is None else np.add(dx, dy @ weight, out=dx)
    return dx, dy.T @ x, column_sums(dy)


def column_sums(x: np.ndarray) -> np.ndarray:
    """The sum over the rows, (M, N) -> (N,), as a product: BLAS is faster than np.sum."""
    return np.ones(len(x), x.dtype) @ x


@accelerated
def norm_backward(
    dy: np.ndarray, x: np.ndarray, residual: np.ndarray | None, gamma: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of `ops.add_norm`, with n = (v - mean) / σ and g = dy γ.

    dv = (g - mean(g) - n mean(g n)) / σ, dγ = Σ dy n and dβ = Σ dy.

    Parameters
    ----------
    dy : (..., D) array
        The gradient of the loss by the result.
    x : (..., D) array
    residual : (..., D) array or None
        v = x + residual; None counts as zeros.
    gamma : (D,) array
    eps : float
        Added to σ².

    Returns
    -------
    dv : (..., D) array
        The gradient of x, and of residual.
    dgamma : (D,) array
    dbeta : (D,) array
    """
    D = x.shape[-1]
    n = x.reshape(-1, D) if residual is None else (x + residual).reshape(-1, D)  # (M, D)
    mean = np.full(D, 1 / D, x.dtype)  # v @ mean is the mean of every row
    n = n - (n @ mean)[:, None]
    scale = 1 / np.sqrt(np.einsum("md,md->m", n, n) / D + eps)  # 1 / σ (M,)
    n *= scale[:, None]
    rows = dy.reshape(-1, D)
    dv, product = rows * gamma, rows * n  # (M, D)
    dgamma, dbeta = column_sums(product), column_sums(rows)
    n *= (product @ (gamma * mean))[:, None]
    dv -= n
    dv -= (rows @ (gamma * mean))[:, None]
    dv *= scale[:, None]
    return dv.reshape(x.shape), dgamma, dbeta


@accelerated
def scores_to_gradient(scores: np.ndarray, labels: np.ndarray, count: int) -> float:
    """Replace scores by the gradient of their cross entropy; return what they add to the loss.

    The loss is a mean over `count` rows. A row of scores s with the label y adds
    (log Σ exp(s) - s_y) / count to it, and its gradient is (softmax(s) - one-hot(y)) / count.

    Parameters
    ----------
    scores : (n, V) array
        Changed in place.
    labels : (n,) integer array
        In 0..V-1.
    count : int
        Rows of all scores, of which these may be a part.

    Returns
    -------
    float
    """
    n, V = scores.shape
    loss, ones = 0.0, np.ones(V, scores.dtype)
    step = max(1, CACHE_BLOCK // V)
    for at in range(0, n, step):
        block, right = scores[at : at + step], labels[at : at + step]
        each = np.arange(len(block))
        block -= block.max(axis=1, keepdims=True)
        loss -= float(block[each, right].sum(dtype=np.float64))
        np.exp(block, out=block)
        sums = block @ ones  # (n,)
        loss += float(np.log(sums).sum(dtype=np.float64))
        block *= (1 / (sums * count))[:, None]
        block[each, right] -= 1 / count
    return loss / count


@accelerated
def sum_of_squares(x: np.ndarray) -> float:
    """Σ x², added up in float64 in one order: BLAS has another for each number of threads.

    Parameters
    ----------
    x : array of any shape

    Returns
    -------
    float
    """
    flat, sum_ = x.reshape(-1), 0.0
    for at in range(0, flat.size, CACHE_BLOCK):
        block = flat[at : at + CACHE_BLOCK].astype(np.float64)
        sum_ += float(np.einsum("n,n->", block, block))
    return sum_


@accelerated
def adamw(
    arrays: tuple[np.ndarray, ...],
    betas: tuple[float, float],
    eps: float,
    rate: float,
    decay: float,
    steps: int,
    scale: float = 1,
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
    scale : float
        Multiplies g first.

    Notes
    -----
    Each operation is rounded by itself, here and in the native kernel: both give the same bits.
    A mean nearer to 0 than the smallest normal number becomes 0. Else the means of a row that is
    not looked up again stay below it for ever, and processors are very slow with such numbers.
    """
    (b1, b2), flat = betas, [a.reshape(-1) for a in arrays]
    smallest = np.finfo(flat[0].dtype).tiny
    for at in range(0, flat[0].size, CACHE_BLOCK):
        g, w, m, v = (a[at : at + CACHE_BLOCK] for a in flat)
        g = g * scale
        m *= b1
        m += (1 - b1) * g
        v *= b2
        part = np.square(g)
        part *= 1 - b2
        v += part
        for mean in (m, v):
            mean[np.abs(mean) < smallest] = 0
        np.sqrt(v, out=part)
        part *= 1 / math.sqrt(1 - b2**steps)
        part += eps
        np.divide(m, part, out=part)
        part *= rate / (1 - b1**steps)
        w *= 1 - decay
        w -= part
