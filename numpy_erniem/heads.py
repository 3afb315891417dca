"""The task heads: functions over the encoder's output and the head's own weights.

    pooled (B, D) ── classifier ── a class per text; a score per choice
    hidden (B, T, D) ── classifier ── a class per token
                     ├─ qa_outputs, or linear_start and linear_end ── where a span starts, ends
                     └─ lm_head ── a word per token

Shapes: B batch, C choices, T tokens, D hidden, K classes, V vocabulary. Dropout before a head is
for training and has no place here.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numpy_erniem.checks import as_array
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.losses import bce_with_logits, cross_entropy, mse
from numpy_erniem.ops import layer_norm, linear

Weights = Mapping[str, Any]
Spans = tuple[np.ndarray, np.ndarray]  # scores of start and end, each (B, T)

SPAN_LABELS = ("start_positions", "end_positions")
CHOICE_AXES = {
    "input_ids": ("batch", "choices", "tokens"),
    "inputs_embeds": ("batch", "choices", "tokens", "hidden_size"),
}


def class_scores(x: np.ndarray, w: Weights) -> np.ndarray:
    """One score per class, of each text or each token: (..., D) -> (..., K)."""
    return linear(x, w["classifier"])


def choice_scores(pooled: np.ndarray, w: Weights, choices: int) -> np.ndarray:
    """One score per choice of a text: (B·C, D) -> (B, C)."""
    return linear(pooled, w["classifier"]).reshape(-1, choices)  # (B·C, 1) -> (B, C)


def answer_scores(x: np.ndarray, w: Weights) -> Spans:
    """Scores of a token as start and as end of the answer: (B, T, D) -> two of (B, T)."""
    both = linear(x, w["qa_outputs"])  # (B, T, D) -> (B, T, 2)
    return both[..., 0], both[..., 1]


def extraction_scores(x: np.ndarray, w: Weights) -> Spans:
    """Log-odds that a span starts, and ends, at a token: (B, T, D) -> two of (B, T)."""
    return linear(x, w["linear_start"])[..., 0], linear(x, w["linear_end"])[..., 0]


def lm_logits(x: np.ndarray, w: Weights, words: np.ndarray, eps: float) -> np.ndarray:
    """One score per word of the vocabulary: norm(gelu(x Wᵀ + b)) Eᵀ + b', (B, T, D) -> (B, T, V).

    E is the word embedding (V, D) itself: the head has only a bias b' of its own.

    References
    ----------
    Devlin et al., "BERT", arXiv:1810.04805, appendix A; Press and Wolf, "Using the Output
    Embedding to Improve Language Models", arXiv:1608.05859.
    """
    x = layer_norm(linear(x, w["dense"], "gelu"), w["layer_norm"], eps)  # (B, T, D)
    return linear(x, {"weight": words, "bias": w["bias"]})  # (B, T, D)·(D, V) -> (B, T, V)


def problem_of(labels: np.ndarray, config: ErnieMConfig) -> str:
    """config.problem_type, or what the labels suggest; upstream's rule, but the config stays."""
    if config.problem_type is not None:
        return config.problem_type
    if config.num_labels == 1:
        return "regression"
    integers = labels.dtype.kind == "i"
    return "single_label_classification" if integers else "multi_label_classification"


def classification_loss(scores: np.ndarray, labels: Any, config: ErnieMConfig) -> np.floating:
    """The loss of scores (B, K) that fits the problem.

    ============================ ======================== ================================
    problem_type                 labels                   loss
    ============================ ======================== ================================
    regression                   (B, K), any number;      `mse`
                                 (B,) will do for K = 1
    single_label_classification  (B,), 0..K-1 or -100     `cross_entropy`
    multi_label_classification   (B, K), in 0..1          `bce_with_logits`
    ============================ ======================== ================================

    With problem_type None, one class means regression, integer labels mean one label per text,
    and others several.
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


def answer_loss(scores: Spans, starts: Any, ends: Any) -> np.floating:
    """Mean of the cross entropies of start and end, each over the T tokens of a text.

    starts and ends are (B,) or (B, 1) integers. A position of T or more lies in a part of the text
    that was cut off, and is left out; a negative one is an error (in upstream it counts as 0).
    """
    parts = []
    for of, positions, name in zip(scores, (starts, ends), SPAN_LABELS, strict=True):
        positions, T = as_array(name, positions, "i"), of.shape[1]
        if (positions < 0).any():
            raise ValueError(
                f"{name} holds {positions.min()}; positions count from 0, and one of {T} (the "
                "number of tokens) or more is left out of the loss"
            )
        parts.append(cross_entropy(of, np.minimum(positions, T), name, ignored=T))
    return (parts[0] + parts[1]) / 2


def extraction_loss(scores: Spans, starts: Any, ends: Any) -> np.floating:
    """Mean of the binary cross entropies of start and end; targets (B, T) or (B, T, 1) in 0..1."""
    parts = []
    for of, targets, name in zip(scores, (starts, ends), SPAN_LABELS, strict=True):
        targets = as_array(name, targets, "bif")
        if targets.shape == (*of.shape, 1):
            targets = targets[..., 0]
        parts.append(bce_with_logits(of, targets, name))
    return (parts[0] + parts[1]) / 2


def both_or_none(starts: Any, ends: Any) -> bool:
    """Whether there are labels of spans; ValueError if there is only half of them."""
    if (starts is None) != (ends is None):
        given, missing = SPAN_LABELS if ends is None else SPAN_LABELS[::-1]
        raise ValueError(f"{given} is given and {missing} is not; give both, or none for no loss")
    return starts is not None


def fold_choices(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Make every choice a text of its own: (B, C, ...) -> (B·C, ...).

    Parameters
    ----------
    arguments : dict
        Of a forward pass, where input_ids, attention_mask, position_ids and inputs_embeds have an
        axis of C choices after the batch.

    Returns
    -------
    arguments : dict
        The same, with B·C texts; a mask or positions of two axes or less stay as they are.
    choices : int
    """
    folded, given = dict(arguments), [n for n in CHOICE_AXES if arguments.get(n) is not None]
    if len(given) != 1:
        return folded, 1  # none or both: an error that `prepare_inputs` words
    (leader,) = given
    axes, value = CHOICE_AXES[leader], as_array(leader, arguments[leader], "if")
    if value.ndim != len(axes):
        raise ValueError(
            f"{leader} has shape {value.shape}, not ({', '.join(axes)}); n choices of one text "
            f"are (1, n, {', '.join(axes[2:])})"
        )
    B, C = value.shape[:2]
    for name in (leader, "attention_mask", "position_ids"):
        if arguments[name] is None:
            continue
        array = as_array(name, arguments[name], "bif")
        if array.ndim > 2:
            if array.shape[:2] not in ((B, C), (1, 1)):
                raise ValueError(f"{name} has shape {array.shape}, not ({B}, {C}, ...) as {leader}")
            array = array.reshape(-1, *array.shape[2:])  # (B, C, ...) -> (B·C, ...)
        folded[name] = array
    return folded, C
