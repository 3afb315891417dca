"""The gradients of the losses of `numpy_erniem.losses` by the scores s."""

from typing import Any

import numpy as np

from numpy_erniem import heads
from numpy_erniem.activations import sigmoid
from numpy_erniem.checks import as_array
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.losses import IGNORED
from numpy_erniem.ops import softmax


def mse_grad(scores: np.ndarray, targets: Any) -> np.ndarray:
    """Gradient of the mean of (s - y)²: 2 (s - y) / n, for n scores."""
    return ((scores - targets) * (2 / scores.size)).astype(scores.dtype)


def bce_grad(scores: np.ndarray, targets: Any) -> np.ndarray:
    """Gradient of the mean binary cross entropy: (σ(s) - y) / n, for n scores."""
    return ((sigmoid(scores) - targets) / scores.size).astype(scores.dtype)


def cross_entropy_grad(scores: np.ndarray, labels: Any, ignored: int = IGNORED) -> np.ndarray:
    """Gradient of the mean cross entropy: (softmax(s) - one-hot(y)) / n, for n rows that count.

    Parameters
    ----------
    scores : (..., C) float array
    labels : (...) integer array, classes in 0..C-1
    ignored : int
        Rows with this label do not count; their gradient is 0.

    Returns
    -------
    (..., C) array
    """
    rows, labels = scores.reshape(-1, scores.shape[-1]), np.asarray(labels).reshape(-1)
    ds, counts = np.zeros_like(rows), np.flatnonzero(labels != ignored)
    if len(counts):
        ds[counts] = softmax(rows[counts])
        ds[counts, labels[counts]] -= 1
        ds /= len(counts)
    return ds.reshape(scores.shape)


def classification_grad(scores: np.ndarray, labels: Any, config: ErnieMConfig) -> np.ndarray:
    """Gradient of `heads.classification_loss`.

    Parameters
    ----------
    scores : (B, K) float array
    labels : array-like
        (B,) classes, or (B, K) targets, as the problem type of the config wants it.
    config : ErnieMConfig

    Returns
    -------
    (B, K) array
    """
    labels = as_array("labels", labels, "bif")
    problem = heads.problem_of(labels, config)
    if problem == "single_label_classification":
        return cross_entropy_grad(scores, labels)
    if problem == "multi_label_classification":
        return bce_grad(scores, labels)
    return mse_grad(scores, labels.reshape(scores.shape))
