"""The task heads: functions over the encoder's output and the head's own weights.

    pooled (B, D) ── classifier ── a class per text; a score per choice
    hidden (B, T, D) ── classifier ── a class per token
                     ├─ qa_outputs, or linear_start and linear_end ── where a span starts, ends
                     └─ lm_head ── a token per position

The letters of shapes are explained in `config`. Dropout before a head is for training and is not
done here.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numpy_erniem.checks import as_array
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.losses import bce_with_logits, cross_entropy, mse
from numpy_erniem.ops import layer_norm, linear

Weights = Mapping[str, Any]
Spans = tuple[np.ndarray, np.ndarray]  # scores of start and end, each (B, T)

SPAN_LABELS = ("start_positions", "end_positions")


def class_scores(x: np.ndarray, w: Weights) -> np.ndarray:
    """One score per class, of each text or each token: (..., D) -> (..., K).

    Parameters
    ----------
    x : (B, D) pooled or (B, T, D) hidden array
    w : dict with "classifier", a linear map (K, D)

    Returns
    -------
    (B, K) or (B, T, K) array
    """
    return linear(x, w["classifier"])


def choice_scores(pooled: np.ndarray, w: Weights, choices: int) -> np.ndarray:
    """One score per choice of a text: (B·C, D) -> (B, C).

    Parameters
    ----------
    pooled : (B·C, D) array
        The choices of the first text, then those of the second, ...
    w : dict with "classifier", a linear map (1, D)
    choices : int
        C.

    Returns
    -------
    (B, C) array
    """
    return linear(pooled, w["classifier"]).reshape(-1, choices)  # (B·C, 1) -> (B, C)


def answer_scores(x: np.ndarray, w: Weights) -> Spans:
    """Scores of a token as start and as end of the answer.

    Parameters
    ----------
    x : (B, T, D) array
    w : dict with "qa_outputs", a linear map (2, D)

    Returns
    -------
    start, end : (B, T) arrays
    """
    both = linear(x, w["qa_outputs"])  # (B, T, D) -> (B, T, 2)
    return both[..., 0], both[..., 1]


def extraction_scores(x: np.ndarray, w: Weights) -> Spans:
    """Log-odds that a span starts, and ends, at a token.

    Parameters
    ----------
    x : (B, T, D) array
    w : dict with "linear_start" and "linear_end", linear maps (1, D)

    Returns
    -------
    start, end : (B, T) arrays
    """
    return linear(x, w["linear_start"])[..., 0], linear(x, w["linear_end"])[..., 0]


def lm_logits(x: np.ndarray, w: Weights, token_table: Weights, eps: float) -> np.ndarray:
    """One score per token of the vocabulary: norm(gelu(x Wᵀ + b)) Eᵀ + b'.

    Parameters
    ----------
    x : (..., D) array
    w : dict with "dense", a linear map (D, D), "layer_norm", and "bias" b' (V,)
    token_table : dict with "weight" (V, D), and "scale" (V,) where that is int8
        E, the token embeddings of the encoder.
    eps : float
        Added to the variance in layer norm.

    Returns
    -------
    (..., V) array

    References
    ----------
    Devlin et al., "BERT", arXiv:1810.04805, appendix A; Press and Wolf, "Using the Output
    Embedding to Improve Language Models", arXiv:1608.05859.
    """
    x = layer_norm(linear(x, w["dense"], "gelu"), w["layer_norm"], eps)  # (..., D)
    return linear(x, {**token_table, "bias": w["bias"]})  # (..., D)·(D, V) -> (..., V)


def problem_of(labels: np.ndarray, config: ErnieMConfig) -> str:
    """The problem type: config.problem_type, or what the labels suggest.

    Upstream has the same rule, but writes its guess into the config.
    """
    if config.problem_type is not None:
        return config.problem_type
    if config.num_labels == 1:
        return "regression"
    integers = labels.dtype.kind == "i"
    return "single_label_classification" if integers else "multi_label_classification"


def classification_loss(scores: np.ndarray, labels: ArrayLike, config: ErnieMConfig) -> np.floating:
    """The loss of scores (B, K) that fits the problem.

    ============================ ======================== ==================
    problem_type                 labels                   loss
    ============================ ======================== ==================
    regression                   (B, K), any number;      `mse`
                                 or (B,) for K = 1
    single_label_classification  (B,), 0..K-1 or -100     `cross_entropy`
    multi_label_classification   (B, K), in 0..1          `bce_with_logits`
    ============================ ======================== ==================

    Parameters
    ----------
    scores : (B, K) array
    labels : array-like
        As in the table.
    config : ErnieMConfig
        With problem_type None, one class means regression, integer labels mean one label per
        text, and other labels mean several per text.

    Returns
    -------
    number of the dtype of the scores

    Raises
    ------
    ValueError
        Labels that do not fit the problem, which the message names.
    """
    labels = as_array("labels", labels, "bif")
    problem = problem_of(labels, config)
    try:
        if problem == "single_label_classification":
            return cross_entropy(scores, labels)
        if problem == "multi_label_classification":
            return bce_with_logits(scores, labels)
        if scores.shape[1] == 1 and labels.ndim <= 1:
            scores = scores[:, 0]  # (B, 1) -> (B,)
        return mse(scores, labels)
    except ValueError as error:
        told = "from the config" if config.problem_type else "by num_labels and the labels' dtype"
        raise ValueError(f"{error} (problem_type {problem!r}, {told})") from None


def answer_loss(scores: Spans, starts: ArrayLike, ends: ArrayLike) -> np.floating:
    """Mean of the cross entropies of start and end, each over the T tokens of a text.

    Parameters
    ----------
    scores : two (B, T) arrays
        Of `answer_scores`.
    starts, ends : (B,) or (B, 1) integers
        Tokens where the answer starts and ends, from 0. T or more means that the answer was cut
        off; the text is then left out of the loss.

    Returns
    -------
    number of the dtype of the scores

    Raises
    ------
    ValueError
        Another shape or dtype, or a negative position (which upstream takes for 0).
    """
    losses = []
    for of, values, name in zip(scores, (starts, ends), SPAN_LABELS, strict=True):
        positions, T = as_array(name, values, "i"), of.shape[1]
        if (positions < 0).any():
            raise ValueError(
                f"{name} holds {positions.min()}; positions count from 0, and one of {T} (the "
                "number of tokens) or more is left out of the loss"
            )
        losses.append(cross_entropy(of, np.minimum(positions, T), name, ignored=T))
    return (losses[0] + losses[1]) / 2


def extraction_loss(scores: Spans, starts: ArrayLike, ends: ArrayLike) -> np.floating:
    """Mean of the binary cross entropies of start and end.

    Parameters
    ----------
    scores : two (B, T) arrays
        Of `extraction_scores`.
    starts, ends : (B, T) or (B, T, 1) numbers in 0..1
        Whether, or with what probability, a span starts and ends at each token.

    Returns
    -------
    number of the dtype of the scores

    Raises
    ------
    ValueError
        Another shape or dtype, or a number outside of 0..1.
    """
    losses = []
    for of, values, name in zip(scores, (starts, ends), SPAN_LABELS, strict=True):
        targets = as_array(name, values, "bif")
        if targets.shape == (*of.shape, 1):
            targets = targets[..., 0]
        losses.append(bce_with_logits(of, targets, name))
    return (losses[0] + losses[1]) / 2


def has_span_labels(starts: Any, ends: Any) -> bool:
    """Whether both labels of spans are given; ValueError if only one of them is."""
    if (starts is None) != (ends is None):
        given, missing = SPAN_LABELS if ends is None else SPAN_LABELS[::-1]
        raise ValueError(f"{given} is given and {missing} is not; give both, or none for no loss")
    return starts is not None
