"""Losses of the fine-tuning tasks that no padding changes, and weights of the classes.

They are heads for `value_and_grad`; the batch has further entries for them.
Shapes: B batch, T tokens, D hidden, K classes, C choices.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numpy_erniem.config import ErnieMConfig
from numpy_erniem.heads import SPAN_LABELS
from numpy_erniem.losses import IGNORED, bce_with_logits, cross_entropy
from numpy_erniem.ops import softmax
from numpy_erniem.training.gradients import dropout, linear
from numpy_erniem.training.heads import (
    Head,
    HeadGradients,
    Random,
    Weights,
    classifier_dropout,
    pooled_head,
)
from numpy_erniem.training.loss_gradients import bce_grad, cross_entropy_grad


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
    of_row = weights[y] / weights[y].sum()  # (n,)
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
        return pooled_head(x, w, config, lambda s: weighted_cross_entropy(s, y, weights), rng)

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
    x : (B·C, T, D) array
    w, config, rng, threads
        As of a `Head`.
    labels : dict
        "labels" (B,), the right choices; "choices" (B,), how many there are.

    Returns
    -------
    loss, dx, gradients
    """
    y, counts = labels["labels"], labels["choices"]

    def loss_and_grad(scores: np.ndarray) -> tuple[np.floating, np.ndarray]:
        by_prompt = scores.reshape(len(y), -1).copy()  # (B·C, 1) -> (B, C)
        by_prompt[np.arange(by_prompt.shape[1]) >= counts[:, None]] = lowest(scores.dtype)
        loss = cross_entropy(by_prompt, y)
        return loss, cross_entropy_grad(by_prompt, y).reshape(scores.shape)

    return pooled_head(x, w, config, loss_and_grad, rng)


def lowest(dtype: np.dtype) -> float:
    """A score that softmax turns into 0, and from which another can be subtracted."""
    return float(np.finfo(dtype).min / 2)


def answer_head(
    x: np.ndarray,
    w: Weights,
    config: ErnieMConfig,
    labels: Mapping[str, Any],
    rng: Random,
    threads: int,
) -> HeadGradients:
    """The mean of the cross entropies of start and end over the tokens that count.

    Parameters
    ----------
    x : (B, T, D) array
    w, config, rng, threads
        As of a `Head`.
    labels : dict
        "start_positions" and "end_positions" (B,); "counted" (B, T), False for padding.

    Returns
    -------
    loss, dx, gradients
    """
    both, back = linear(x, w["qa_outputs"])  # (B, T, D) -> (B, T, 2)
    dboth, losses = np.empty_like(both), []
    for n, name in enumerate(SPAN_LABELS):
        scores = np.where(labels["counted"], both[..., n], lowest(x.dtype)).astype(x.dtype)
        losses.append(cross_entropy(scores, labels[name], name))
        dboth[..., n] = cross_entropy_grad(scores, labels[name]) / 2
    dx, doutputs = back(dboth)
    return (losses[0] + losses[1]) / 2, dx, {"qa_outputs": doutputs}


def extraction_head(
    x: np.ndarray,
    w: Weights,
    config: ErnieMConfig,
    labels: Mapping[str, Any],
    rng: Random,
    threads: int,
) -> HeadGradients:
    """The mean of the binary cross entropies of start and end over the tokens that count.

    Parameters
    ----------
    x : (B, T, D) array
    w, config, rng, threads
        As of a `Head`.
    labels : dict
        "start_positions" and "end_positions" (B, T), 1 where a span starts or ends; "counted"
        (B, T), False for tokens that take no part.

    Returns
    -------
    loss, dx, gradients
    """
    counted, losses = labels["counted"], []
    dx, gradients = np.zeros_like(x), {}
    for layer, name in zip(("linear_start", "linear_end"), SPAN_LABELS, strict=True):
        scores, back = linear(x, w[layer])  # (B, T, D) -> (B, T, 1)
        s, y = scores[..., 0][counted], np.asarray(labels[name])[counted]  # (n,)
        losses.append(bce_with_logits(s, y, name))
        dscores = np.zeros_like(scores)
        dscores[counted, 0] = bce_grad(s, y) / 2
        part, gradients[layer] = back(dscores)
        dx += part
    return (losses[0] + losses[1]) / 2, dx, gradients
