"""Sentences that find their translations: the loss with in-batch negatives, and the score.

Shapes: B pairs, so 2·B texts, the sources first; T tokens, D hidden.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from numpy_erniem.config import ErnieMConfig
from numpy_erniem.losses import cross_entropy
from numpy_erniem.models.inputs import prepare_inputs
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.models.weights import PREFIX
from numpy_erniem.training.batches import pad
from numpy_erniem.training.heads import HeadGradients as Graded
from numpy_erniem.training.heads import required_label
from numpy_erniem.training.layers import encode
from numpy_erniem.training.loss_gradients import cross_entropy_grad

TEMPERATURE = 0.05
BATCH_TOKENS = 4096

Ids = Sequence[int]


def mean_pool(x: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, Callable]:
    """Mean of the real tokens, and its gradient: (N, T, D), (N, T) bools -> (N, D)."""
    share = real.astype(x.dtype)
    share /= share.sum(axis=1, keepdims=True)  # (N, T)
    y = np.matmul(share[:, None], x)[:, 0]  # (N,1,T)·(N,T,D) -> (N, D)
    return y, lambda dy: share[:, :, None] * dy[:, None, :]


def unit_rows(x: np.ndarray) -> tuple[np.ndarray, Callable]:
    """u = x / |x|, row by row; the gradient is (du - u (u · du)) / |x|."""
    length = np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(x.dtype).tiny)
    u = x / length
    return u, lambda du: (du - u * np.einsum("nd,nd->n", u, du)[:, None]) / length


def contrast(
    x: np.ndarray, w: Any, config: ErnieMConfig, labels: Mapping[str, Any], rng: Any, threads: int
) -> Graded:
    """Symmetric cross entropy over cosine similarities, the head of `erniem finetune retrieve`.

    Of a batch of B sources and then their B translations, each source has to find its translation
    among all B, and each translation its source: with S = a bᵀ / τ of unit vectors a, b, the loss
    is ½ (cross entropy of S + cross entropy of Sᵀ), the right one on the diagonal.

    Parameters
    ----------
    x : (2·B, T, D) array
    w, config, rng
        Not used: this head has no weights.
    labels : dict
        "real" (2·B, T), True for tokens that are no padding; "temperature" τ; "duplicates" (B, B)
        bools, optional: pairs whose source or target is the same text, which are no negatives.

    References
    ----------
    Feng et al., "Language-agnostic BERT Sentence Embedding", arXiv:2007.01852, section 2.
    """
    tau = labels.get("temperature", TEMPERATURE)
    pooled, pool_back = mean_pool(x, required_label(labels, "real"))
    u, unit_back = unit_rows(pooled)  # (2·B, D)
    a, b = np.split(u, 2)
    S, right = a @ b.T / tau, np.arange(len(a))  # (B, B)
    if labels.get("duplicates") is not None:
        S[labels["duplicates"]] = np.finfo(S.dtype).min / 2
    loss = (cross_entropy(S, right) + cross_entropy(S.T, right)) / 2
    dS = (cross_entropy_grad(S, right) + cross_entropy_grad(S.T, right).T) / (2 * tau)
    du = np.concatenate([dS @ b, dS.T @ a])
    return loss, pool_back(unit_back(du)), {}


def paired_batch(
    sources: Sequence[Ids], targets: Sequence[Ids], padding: int, temperature: float = TEMPERATURE
) -> dict[str, Any]:
    """The batch that `contrast` takes, from the ids of B sources and their B translations."""
    ids = pad([*sources, *targets], padding)
    same = [_equal(rows) for rows in (sources, targets)]
    duplicates = (same[0] | same[1]) & ~np.eye(len(sources), dtype=bool)
    real = ids != padding
    return {
        "input_ids": ids,
        "attention_mask": real,
        "real": real,
        "temperature": temperature,
        "duplicates": duplicates if duplicates.any() else None,
    }


def _equal(rows: Sequence[Ids]) -> np.ndarray:
    keys = {}
    numbers = np.array([keys.setdefault(tuple(row), len(keys)) for row in rows])
    return numbers[:, None] == numbers[None, :]


def embed(model: ErnieMPreTrainedModel, rows: Sequence[Ids]) -> np.ndarray:
    """Mean-pooled last hidden states of framed ids, of length 1: (N, D)."""
    padding, order = model.config.pad_token_id, np.argsort([len(r) for r in rows], kind="stable")
    vectors, at = np.empty((len(rows), model.config.hidden_size), model.dtype), 0
    while at < len(order):
        chosen = order[at : at + max(1, BATCH_TOKENS // len(rows[order[-1]]))]
        ids = pad([rows[n] for n in chosen], padding)
        inputs = prepare_inputs(model.config, model.dtype, ids)
        x, _ = encode(inputs, model.weights.get(PREFIX[:-1], model.weights), model.config)
        vectors[chosen] = unit_rows(mean_pool(x, ids != padding)[0])[0]
        at += len(chosen)
    return vectors


def precision_at_1(a: np.ndarray, b: np.ndarray) -> float:
    """Share of rows whose most similar row on the other side is their own, both directions.

    Examples
    --------
    >>> a = np.eye(3)
    >>> precision_at_1(a, a[[0, 2, 1]]), precision_at_1(a, a)
    (0.3333333333333333, 1.0)
    """
    S, right = a @ b.T, np.arange(len(a))
    return float(((S.argmax(axis=1) == right).mean() + (S.argmax(axis=0) == right).mean()) / 2)


def retrieval_scores(
    model: ErnieMPreTrainedModel, pairs: Sequence[tuple[str, Ids, Ids]]
) -> dict[str, float]:
    """P@1 of (language, source ids, target ids): the mean over languages, then each language."""
    scores = {}
    for language in dict.fromkeys(language for language, *_ in pairs):
        sources, targets = zip(*(p[1:] for p in pairs if p[0] == language), strict=True)
        scores[language or "all"] = precision_at_1(embed(model, sources), embed(model, targets))
    return {"P@1": sum(scores.values()) / len(scores)} | {f"P@1 {k}": v for k, v in scores.items()}
