"""The heads with their gradients: what a model's loss is, and how it changes with the weights.

Each head is a function (x, w, config, labels, rng) -> (loss, dx, gradients): x (B, T, D) is the
encoder's output, w the model's weights, labels what else is in the batch, by name, rng the
generator of the dropout, or None. Values come from `numpy_erniem.heads` and `losses`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from numpy_erniem import heads
from numpy_erniem.activations import sigmoid
from numpy_erniem.checks import as_array
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.losses import IGNORED, cross_entropy
from numpy_erniem.models import (
    ErnieMForInformationExtraction,
    ErnieMForMaskedLM,
    ErnieMForMultipleChoice,
    ErnieMForQuestionAnswering,
    ErnieMForSequenceClassification,
    ErnieMForTokenClassification,
)
from numpy_erniem.models.weights import PREFIX
from numpy_erniem.ops import softmax
from numpy_erniem.training.gradient_tree import Gradients
from numpy_erniem.training.gradients import dropout, linear
from numpy_erniem.training.layers import pooler
from numpy_erniem.training.masked_lm import word_loss

Weights = Mapping[str, Any]
Graded = tuple[np.floating, np.ndarray, Gradients]  # loss, dx, gradients of the weights
Head = Callable[..., Graded]
ENCODER = PREFIX[:-1]


def mse_slope(scores: np.ndarray, targets: Any) -> np.ndarray:
    """Gradient of mean (s - y)² by s: 2 (s - y) / n."""
    return ((scores - targets) * (2 / scores.size)).astype(scores.dtype)


def bce_slope(scores: np.ndarray, targets: Any) -> np.ndarray:
    """Gradient of the mean binary cross entropy by s: (σ(s) - y) / n."""
    return ((sigmoid(scores) - targets) / scores.size).astype(scores.dtype)


def cross_entropy_slope(scores: np.ndarray, labels: Any, ignored: int = IGNORED) -> np.ndarray:
    """Gradient of the mean cross entropy by s: (softmax(s) - one-hot(y)) / n of rows that count."""
    rows, labels = scores.reshape(-1, scores.shape[-1]), np.asarray(labels).reshape(-1)
    ds, counts = np.zeros_like(rows), np.flatnonzero(labels != ignored)
    if len(counts):
        ds[counts] = softmax(rows[counts])
        ds[counts, labels[counts]] -= 1
        ds /= len(counts)
    return ds.reshape(scores.shape)


def classification_slope(scores: np.ndarray, labels: Any, config: ErnieMConfig) -> np.ndarray:
    """Gradient of `heads.classification_loss` by the scores (B, K)."""
    labels = as_array("labels", labels, "bif")
    problem = heads.problem_of(labels, config)
    if problem == "single_label_classification":
        return cross_entropy_slope(scores, labels)
    if problem == "multi_label_classification":
        return bce_slope(scores, labels)
    return mse_slope(scores, labels.reshape(scores.shape))


def sequence_classification(
    x: np.ndarray, w: Weights, config: ErnieMConfig, labels: Any, rng: Any
) -> Graded:
    """pooled -> dropout -> classifier -> the loss that fits the problem."""

    def grade(scores: np.ndarray) -> tuple[np.floating, np.ndarray]:
        y = label(labels, "labels")
        return heads.classification_loss(scores, y, config), classification_slope(scores, y, config)

    return _pooled(x, w, config, grade, rng)


def multiple_choice(
    x: np.ndarray, w: Weights, config: ErnieMConfig, labels: Any, rng: Any
) -> Graded:
    """pooled -> dropout -> a score per choice -> cross entropy over the choices of a text."""

    def grade(scores: np.ndarray) -> tuple[np.floating, np.ndarray]:
        y = as_array("labels", label(labels, "labels"), "i").reshape(-1)
        by_text = scores.reshape(len(y), -1)  # (B·C, 1) -> (B, C)
        return cross_entropy(by_text, y), cross_entropy_slope(by_text, y).reshape(scores.shape)

    return _pooled(x, w, config, grade, rng)


def _pooled(x: np.ndarray, w: Weights, config: ErnieMConfig, grade: Callable, rng: Any) -> Graded:
    pooled, pooler_back = pooler(x, w[ENCODER]["pooler"])
    pooled, drop_back = dropout(pooled, classifier_rate(config), rng)
    scores, classifier_back = linear(pooled, w["classifier"])
    loss, dscores = grade(scores)
    dpooled, dclassifier = classifier_back(dscores)
    dx, dpooler = pooler_back(drop_back(dpooled))
    return loss, dx, {ENCODER: {"pooler": dpooler}, "classifier": dclassifier}


def token_classification(
    x: np.ndarray, w: Weights, config: ErnieMConfig, labels: Any, rng: Any
) -> Graded:
    """Dropout -> classifier -> cross entropy over the tokens that have a label."""
    dropped, drop_back = dropout(x, classifier_rate(config), rng)
    scores, classifier_back = linear(dropped, w["classifier"])  # (B, T, D) -> (B, T, K)
    y = label(labels, "labels")
    loss = cross_entropy(scores, y)
    dx, dclassifier = classifier_back(cross_entropy_slope(scores, y))
    return loss, drop_back(dx), {"classifier": dclassifier}


def question_answering(
    x: np.ndarray, w: Weights, config: ErnieMConfig, labels: Any, rng: Any
) -> Graded:
    """Two scores a token -> mean of the cross entropies of start and end over the tokens."""
    both, back = linear(x, w["qa_outputs"])  # (B, T, D) -> (B, T, 2)
    T = x.shape[1]
    loss = heads.answer_loss((both[..., 0], both[..., 1]), *_spans(labels))
    dboth = np.empty_like(both)
    for n, where in enumerate(_spans(labels)):
        at = np.minimum(np.asarray(where).reshape(-1), T)  # beyond the text: left out
        dboth[..., n] = cross_entropy_slope(both[..., n], at, ignored=T) / 2
    dx, doutputs = back(dboth)
    return loss, dx, {"qa_outputs": doutputs}


def information_extraction(
    x: np.ndarray, w: Weights, config: ErnieMConfig, labels: Any, rng: Any
) -> Graded:
    """Log-odds of start and end -> mean of their binary cross entropies."""
    names = ("linear_start", "linear_end")
    scores, backs = zip(*(linear(x, w[name]) for name in names), strict=True)  # (B, T, 1)
    loss = heads.extraction_loss(tuple(s[..., 0] for s in scores), *_spans(labels))
    dx, gradients = np.zeros_like(x), {}
    for name, s, back, target in zip(names, scores, backs, _spans(labels), strict=True):
        ds = bce_slope(s, np.asarray(target).reshape(s.shape)) / 2
        part, gradients[name] = back(ds)
        dx += part
    return loss, dx, gradients


def masked_lm(x: np.ndarray, w: Weights, config: ErnieMConfig, labels: Any, rng: Any) -> Graded:
    """The words of the tokens that have a label; only their scores are computed."""
    words = w[ENCODER]["embeddings"]["word_embeddings"]["weight"]
    y, eps, threads = label(labels, "labels"), config.layer_norm_eps, labels.get("threads", 1)
    loss, dx, dhead, dwords = word_loss(x, y, w["lm_head"], words, eps, threads)
    tied = {"embeddings": {"word_embeddings": {"weight": dwords}}}
    return loss, dx, {ENCODER: tied, "lm_head": dhead}


def label(labels: Mapping[str, Any], name: str) -> Any:
    """A label argument; ValueError where the batch has none of that name."""
    if labels.get(name) is None:
        raise ValueError(f"the batch has no {name!r}, without which there is no loss")
    return labels[name]


def classifier_rate(config: ErnieMConfig) -> float:
    """Dropout before a classifier: its own rate, or that of the hidden layers."""
    rate = config.classifier_dropout
    return config.hidden_dropout_prob if rate is None else rate


def _spans(labels: Mapping[str, Any]) -> tuple[Any, Any]:
    return tuple(label(labels, name) for name in heads.SPAN_LABELS)


HEADS: dict[type, Head] = {
    ErnieMForSequenceClassification: sequence_classification,
    ErnieMForMultipleChoice: multiple_choice,
    ErnieMForTokenClassification: token_classification,
    ErnieMForQuestionAnswering: question_answering,
    ErnieMForInformationExtraction: information_extraction,
    ErnieMForMaskedLM: masked_lm,
}
