"""The three losses of the task heads as formulas; each is a mean over the labels that count.

Scores and losses have the dtype of the model; sums are taken in float64. The letters of shapes
are explained in `config`.
"""

import numpy as np
from numpy.typing import ArrayLike

from numpy_erniem.checks import as_array, warn

IGNORED = -100  # a label that cross entropy leaves out, as in torch


def mse(scores: np.ndarray, targets: ArrayLike, name: str = "labels") -> np.floating:
    """Mean squared error: mean of (s - y)².

    Parameters
    ----------
    scores : array of floats
    targets : array-like of finite numbers, of the same shape
    name : str
        What an error message calls the targets.

    Returns
    -------
    number of the dtype of the scores

    Raises
    ------
    ValueError
        Targets of another shape or dtype, NaN or infinite.

    Examples
    --------
    >>> float(mse(np.float32([1, 2]), [1, 4]))
    2.0
    """
    y = _floats(targets, scores.shape, name)
    if not np.isfinite(y).all():
        raise ValueError(f"{name} must be finite numbers; there is {y[~np.isfinite(y)][0]}")
    return scores.dtype.type(np.mean(np.square(scores - y)))


def bce_with_logits(scores: np.ndarray, targets: ArrayLike, name: str = "labels") -> np.floating:
    """Binary cross entropy of p = σ(s): mean of -y log p - (1 - y) log(1 - p).

    Parameters
    ----------
    scores : array of floats
    targets : array-like of numbers in 0..1, of the same shape
        Integers and bools count as 0.0 and 1.0 (upstream wants floats).
    name : str
        What an error message calls the targets.

    Returns
    -------
    number of the dtype of the scores

    Raises
    ------
    ValueError
        Targets of another shape or dtype, or outside of 0..1.

    Notes
    -----
    Computed as `max(s, 0) - s y + log(1 + e^-|s|)`, which neither overflows nor cancels.

    Examples
    --------
    >>> round(float(bce_with_logits(np.float32([0, 0]), [0, 1])), 6)
    0.693147
    """
    y = _floats(targets, scores.shape, name)
    outside = ~((y >= 0) & (y <= 1))  # so NaN is outside, too
    if outside.any():
        where = tuple(int(i) for i in np.argwhere(outside)[0])
        raise ValueError(f"{name}{list(where)} is {y[where]:g}, not a probability in 0..1")
    s = scores.astype(np.float64)
    losses = np.maximum(s, 0) - s * y + np.log1p(np.exp(-np.abs(s)))
    return scores.dtype.type(losses.mean())


def cross_entropy(
    scores: np.ndarray, labels: ArrayLike, name: str = "labels", ignored: int = IGNORED
) -> np.floating:
    """Cross entropy of softmax(s): mean of log Σ_c exp(s_c) - s_label over labels that count.

    Parameters
    ----------
    scores : (..., K) array of floats
    labels : (...) or (..., 1) array-like of integers in 0..K-1
    name : str
        What an error message calls the labels.
    ignored : int
        Rows with this label do not count.

    Returns
    -------
    number of the dtype of the scores

    Raises
    ------
    ValueError
        Labels of another shape or dtype, or out of range.

    Warns
    -----
    UserWarning
        All labels are ignored; the loss is 0 then (in upstream NaN).

    Examples
    --------
    >>> scores = np.log(np.float32([[1, 3], [1, 1]]))
    >>> round(float(np.exp(-cross_entropy(scores, [1, -100]))), 6)
    0.75
    """
    y = as_array(name, labels, "i")
    if y.shape == (*scores.shape[:-1], 1):
        y = y[..., 0]
    if y.shape != scores.shape[:-1]:
        raise ValueError(f"{name} must have shape {scores.shape[:-1]}, not {y.shape}")
    counts = y != ignored
    K = scores.shape[-1]
    outside = counts & ((y < 0) | (y >= K))
    if outside.any():
        where = tuple(int(i) for i in np.argwhere(outside)[0])
        raise ValueError(f"{name}{list(where)} is {y[where]}, not in 0..{K - 1} or {ignored}")
    if not counts.any():
        warn(f"all {name} are {ignored}, the value that is ignored; the loss is 0")
        return scores.dtype.type(0)
    rows, y = scores[counts], y[counts]  # (..., K), (...) -> (n, K), (n,)
    rows -= rows.max(axis=-1, keepdims=True)  # the largest becomes 0, so exp cannot overflow
    right = rows[np.arange(len(y)), y]  # (n,)
    log_sums = np.log(np.exp(rows, out=rows).sum(axis=-1, dtype=np.float64))  # (n, K) -> (n,)
    return scores.dtype.type(np.mean(log_sums - right))


def _floats(targets: ArrayLike, shape: tuple[int, ...], name: str) -> np.ndarray:
    """The targets in float64, with exactly the shape of the scores."""
    y = as_array(name, targets, "bif").astype(np.float64)
    if y.shape != shape:
        raise ValueError(f"{name} must have shape {shape} like the scores, not {y.shape}")
    return y
