"""The heads with their losses and gradients, for training.

`HEADS` has a function for each model class; `Head` says what such a function takes and returns.
Scores and losses are those of `numpy_erniem.heads` and `numpy_erniem.losses`.
Shapes: B batch, T tokens, D hidden, K classes, C choices, V vocabulary.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from numpy_erniem import heads
from numpy_erniem.checks import as_array
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.losses import cross_entropy
from numpy_erniem.models import (
    ErnieMForInformationExtraction,
    ErnieMForMaskedLM,
    ErnieMForMultipleChoice,
    ErnieMForQuestionAnswering,
    ErnieMForSequenceClassification,
    ErnieMForTokenClassification,
)
from numpy_erniem.models.schema import ENCODER
from numpy_erniem.training.gradient_tree import Gradients
from numpy_erniem.training.gradients import dropout, linear
from numpy_erniem.training.layers import pooler
from numpy_erniem.training.loss_gradients import (
    bce_grad,
    classification_grad,
    cross_entropy_grad,
)
from numpy_erniem.training.masked_lm import masked_lm_loss

Weights = Mapping[str, Any]
Random = np.random.Generator | None
HeadGradients = tuple[np.floating, np.ndarray, Gradients]  # loss, dx, gradients of the weights


class Head(Protocol):
    """A loss on the encoder's output, with its gradients."""

    def __call__(
        self,
        x: np.ndarray,
        w: Weights,
        config: ErnieMConfig,
        labels: Mapping[str, Any],
        rng: Random,
        threads: int,
    ) -> HeadGradients:
        """Compute the loss and its gradients.

        Parameters
        ----------
        x : (B, T, D) float array
            The encoder's output; (1, N, D) of a packed batch.
        w : dict
            All weights of the model.
        config : ErnieMConfig
        labels : dict
            The entries of the batch that are not arguments of the encoder, such as "labels"; and
            "starts" (n + 1,), where the texts of a packed batch start, or None.
        rng : Generator or None
            For dropout; None: no dropout.
        threads : int
            How many threads the head may use, at least 1.

        Returns
        -------
        loss : float of the dtype of x
        dx : (B, T, D) array
        gradients : dict
            Nested like w, of the weights that the head uses.
        """


def required_label(labels: Mapping[str, Any], name: str) -> Any:
    """A label of the batch; ValueError if the batch has none of that name."""
    if labels.get(name) is None:
        raise ValueError(f"the batch has no {name!r}, which the loss needs; add it to the batch")
    return labels[name]


def _sequence_classification(
    x: np.ndarray, w: Weights, config: ErnieMConfig, labels: Any, rng: Random, threads: int
) -> HeadGradients:
    """Pooler, dropout, classifier; then the loss that fits config.problem_type."""
    y = required_label(labels, "labels")

    def loss_and_grad(scores: np.ndarray) -> tuple[np.floating, np.ndarray]:  # scores (B, K)
        return heads.classification_loss(scores, y, config), classification_grad(scores, y, config)

    return pooled_head(x, w, config, loss_and_grad, rng, labels.get("starts"))


def _multiple_choice(
    x: np.ndarray, w: Weights, config: ErnieMConfig, labels: Any, rng: Random, threads: int
) -> HeadGradients:
    """Pooler, dropout, one score for each choice; then cross entropy over a text's choices."""
    y = as_array("labels", required_label(labels, "labels"), "i").reshape(-1)
    starts = labels.get("starts")
    if starts is not None and (len(starts) - 1) % len(y):
        raise ValueError(
            f"{len(starts) - 1} packed choices are no equal number for {len(y)} labels"
        )

    def loss_and_grad(scores: np.ndarray) -> tuple[np.floating, np.ndarray]:
        by_text = scores.reshape(len(y), -1)  # (B·C, 1) -> (B, C)
        return cross_entropy(by_text, y), cross_entropy_grad(by_text, y).reshape(scores.shape)

    return pooled_head(x, w, config, loss_and_grad, rng, starts)


def pooled_head(
    x: np.ndarray,
    w: Weights,
    config: ErnieMConfig,
    loss_and_grad: Callable,
    rng: Random,
    starts: np.ndarray | None = None,
) -> HeadGradients:
    """Pooler, dropout and classifier, with a loss of the scores.

    Parameters
    ----------
    x : (B, T, D) array
    w : dict
        All weights of the model.
    config : ErnieMConfig
    loss_and_grad : function
        From the scores (B, K) to the loss and its gradient (B, K).
    rng : Generator or None
        For dropout.
    starts : (n + 1,) integer array, optional
        Of a packed batch; then B = n.

    Returns
    -------
    loss, dx, gradients
        As of a `Head`.
    """
    pooled, pooler_back = pooler(x, w[ENCODER]["pooler"], starts)  # (B, T, D) -> (B, D)
    pooled, drop_back = dropout(pooled, classifier_dropout(config), rng)
    scores, classifier_back = linear(pooled, w["classifier"])  # (B, D) -> (B, K)
    loss, dscores = loss_and_grad(scores)
    dpooled, dclassifier = classifier_back(dscores)
    dx, dpooler = pooler_back(drop_back(dpooled))
    return loss, dx, {ENCODER: {"pooler": dpooler}, "classifier": dclassifier}


def _token_classification(
    x: np.ndarray, w: Weights, config: ErnieMConfig, labels: Any, rng: Random, threads: int
) -> HeadGradients:
    """Dropout, classifier; then cross entropy over the tokens that have a label."""
    dropped, drop_back = dropout(x, classifier_dropout(config), rng)
    scores, classifier_back = linear(dropped, w["classifier"])  # (B, T, D) -> (B, T, K)
    y = required_label(labels, "labels")
    loss = cross_entropy(scores, y)
    dx, dclassifier = classifier_back(cross_entropy_grad(scores, y))
    return loss, drop_back(dx), {"classifier": dclassifier}


def _question_answering(
    x: np.ndarray, w: Weights, config: ErnieMConfig, labels: Any, rng: Random, threads: int
) -> HeadGradients:
    """Two scores for each token; then the mean of the cross entropies of start and end."""
    both, back = linear(x, w["qa_outputs"])  # (B, T, D) -> (B, T, 2)
    starts, spans = labels.get("starts"), _spans(labels)
    rows = both if starts is None else _rows_of_texts(both, starts)  # (B, T, 2)
    T = rows.shape[1]
    if starts is not None:  # behind the last token of its text: does not count, as T
        spans = tuple(_no_further(s, np.diff(starts), T) for s in spans)
    loss = heads.answer_loss((rows[..., 0], rows[..., 1]), *spans)
    drows = np.empty_like(rows)
    for n, positions in enumerate(spans):
        at = np.minimum(np.asarray(positions).reshape(-1), T)  # T or more: does not count
        drows[..., n] = cross_entropy_grad(rows[..., n], at, ignored=T) / 2
    dboth = drows if starts is None else drows[_are_tokens(starts)][None]  # -> (1, N, 2)
    dx, doutputs = back(dboth)
    return loss, dx, {"qa_outputs": doutputs}


def _no_further(positions: Any, lengths: np.ndarray, T: int) -> np.ndarray:
    """Positions in packed texts of these lengths, (B,); T in place of those behind a text."""
    at = as_array("positions", positions, "i").reshape(-1)
    if at.shape != lengths.shape:
        raise ValueError(f"there are {len(at)} positions for {len(lengths)} packed texts")
    return np.where(at < lengths, at, T)


def _are_tokens(starts: np.ndarray) -> np.ndarray:
    """Which places of rows as long as the longest of packed texts hold a token: (B, T) bools."""
    lengths = np.diff(starts)
    return np.arange(lengths.max()) < lengths[:, None]


def _rows_of_texts(scores: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Scores of packed texts, a row for each, filled with the lowest: (1, N, 2) -> (B, T, 2)."""
    real = _are_tokens(starts)
    rows = np.full((*real.shape, 2), lowest(scores.dtype), scores.dtype)
    rows[real] = scores[0]
    return rows


def lowest(dtype: np.dtype) -> float:
    """A score that softmax turns into 0, and from which another can be subtracted."""
    return float(np.finfo(dtype).min / 2)


def _information_extraction(
    x: np.ndarray, w: Weights, config: ErnieMConfig, labels: Any, rng: Random, threads: int
) -> HeadGradients:
    """Log-odds of start and end of each token; then the mean of their binary cross entropies."""
    names = ("linear_start", "linear_end")
    scores, backs = zip(*(linear(x, w[name]) for name in names), strict=True)  # (B, T, 1)
    loss = heads.extraction_loss(tuple(s[..., 0] for s in scores), *_spans(labels))
    dx, gradients = np.zeros_like(x), {}
    for name, s, back, target in zip(names, scores, backs, _spans(labels), strict=True):
        ds = bce_grad(s, np.asarray(target).reshape(s.shape)) / 2
        part, gradients[name] = back(ds)
        dx += part
    return loss, dx, gradients


def _masked_lm(
    x: np.ndarray, w: Weights, config: ErnieMConfig, labels: Any, rng: Random, threads: int
) -> HeadGradients:
    """The scores of the vocabulary, for the tokens that have a label; then cross entropy."""
    table = w[ENCODER]["embeddings"]["word_embeddings"]["weight"]
    y = required_label(labels, "labels")
    loss, dx, dhead, dtable = masked_lm_loss(
        x, y, w["lm_head"], table, config.layer_norm_eps, threads
    )
    tied = {"embeddings": {"word_embeddings": {"weight": dtable}}}
    return loss, dx, {ENCODER: tied, "lm_head": dhead}


def classifier_dropout(config: ErnieMConfig) -> float:
    """The dropout rate before a classifier: its own, or that of the hidden layers."""
    rate = config.classifier_dropout
    return config.hidden_dropout_prob if rate is None else rate


def _spans(labels: Mapping[str, Any]) -> tuple[Any, Any]:
    """The labels of start and end."""
    return tuple(required_label(labels, name) for name in heads.SPAN_LABELS)


HEADS: dict[type, Head] = {
    ErnieMForSequenceClassification: _sequence_classification,
    ErnieMForMultipleChoice: _multiple_choice,
    ErnieMForTokenClassification: _token_classification,
    ErnieMForQuestionAnswering: _question_answering,
    ErnieMForInformationExtraction: _information_extraction,
    ErnieMForMaskedLM: _masked_lm,
}
