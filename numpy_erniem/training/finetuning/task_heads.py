"""Losses of fine-tuning tasks that the model classes do not have: class weights, uneven choices.

They are heads for `value_and_grad`; the batch has further entries for them.
Shapes: B batch, T tokens, N tokens of all texts, D hidden, K classes, C choices.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numpy_erniem.config import ErnieMConfig
from numpy_erniem.losses import IGNORED, cross_entropy
from numpy_erniem.ops import softmax
from numpy_erniem.training.gradients import dropout, linear
from numpy_erniem.training.heads import (
    Head,
    HeadGradients,
    Random,
    Weights,
    classifier_dropout,
    lowest,
    pooled_head,
)
from numpy_erniem.training.loss_gradients import cross_entropy_grad


def weighted_cross_entropy(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.floating, np.ndarray]:
    """Cross entropy in which each row counts as much as its class weighs.

    Parameters
    ----------
    scores : (..., K) float array
    labels : (...) integer array
        Classes in 0..K-1, or -100 for rows that do not count.
    weights : (K,) array
        Above 0.

    Returns
    -------
    loss : float of the dtype of the scores
        Σ w_y · (log Σ_c exp(s_c) - s_y) / Σ w_y, over the rows that count; 0 without any.
    dscores : (..., K) array
        w_y (softmax(s) - one-hot(y)) / Σ w_y.

    References
    ----------
    `torch.nn.CrossEntropyLoss`, weight.
    """
    rows, y = scores.reshape(-1, scores.shape[-1]), labels.reshape(-1)
    counts = np.flatnonzero(y != IGNORED)
    ds = np.zeros_like(rows)
    if not len(counts):
        return scores.dtype.type(0), ds.reshape(scores.shape)
    rows, y = rows[counts], y[counts]  # (n, K), (n,)
    of_row = (weights[y] / weights[y].sum()).astype(rows.dtype)  # (n,)
    rows = rows - rows.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(rows).sum(axis=1, dtype=np.float64))
    n = np.arange(len(y))
    loss = (of_row * (log_sums - rows[n, y])).sum()
    gradient = softmax(rows)
    gradient[n, y] -= 1
    ds[counts] = gradient * of_row[:, None]
    return scores.dtype.type(loss), ds.reshape(scores.shape)


def weighted_classification(weights: np.ndarray) -> Head:
    """The head of a classifier of texts, with `weighted_cross_entropy`; weights (K,)."""

    def head(
        x: np.ndarray, w: Weights, config: ErnieMConfig, labels: Any, rng: Random, threads: int
    ) -> HeadGradients:
        y = labels["labels"]

        def loss_and_grad(scores: np.ndarray) -> tuple[np.floating, np.ndarray]:
            return weighted_cross_entropy(scores, y, weights)

        return pooled_head(x, w, config, loss_and_grad, rng, labels.get("starts"))

    return head


def weighted_tagging(weights: np.ndarray) -> Head:
    """The head of a classifier of tokens, with `weighted_cross_entropy`; weights (K,)."""

    def head(
        x: np.ndarray, w: Weights, config: ErnieMConfig, labels: Any, rng: Random, threads: int
    ) -> HeadGradients:
        dropped, drop_back = dropout(x, classifier_dropout(config), rng)
        scores, back = linear(dropped, w["classifier"])  # (B, T, D) -> (B, T, K)
        loss, dscores = weighted_cross_entropy(scores, labels["labels"], weights)
        dx, dclassifier = back(dscores)
        return loss, drop_back(dx), {"classifier": dclassifier}

    return head


def choice_head(
    x: np.ndarray,
    w: Weights,
    config: ErnieMConfig,
    labels: Mapping[str, Any],
    rng: Random,
    threads: int,
) -> HeadGradients:
    """Cross entropy over the choices of a prompt; not every prompt has all C of them.

    Parameters
    ----------
    x : (1, N, D) array
        Of all choices of B prompts, packed in this order.
    w, config, rng, threads
        As of a `Head`.
    labels : dict
        "labels" (B,), the right choices; "choices" (B,), how many there are; "starts".

    Returns
    -------
    loss, dx, gradients
    """
    y, counts = labels["labels"], labels["choices"]

    def loss_and_grad(scores: np.ndarray) -> tuple[np.floating, np.ndarray]:
        there = np.arange(counts.max()) < counts[:, None]  # (B, C)
        by_prompt = np.full(there.shape, lowest(scores.dtype), scores.dtype)
        by_prompt[there] = scores[:, 0]  # of as many choices as there are
        loss = cross_entropy(by_prompt, y)
        return loss, cross_entropy_grad(by_prompt, y)[there][:, None]

    return pooled_head(x, w, config, loss_and_grad, rng, labels["starts"])
