"""The contrastive loss of sentence vectors, with in-batch negatives.

Shapes: B pairs, so 2·B texts, the sources first; T tokens, D hidden; N tokens of a packed batch.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from numpy_erniem.config import ErnieMConfig
from numpy_erniem.losses import cross_entropy
from numpy_erniem.pipelines.pooling import mean_pool, normalize_rows
from numpy_erniem.training.heads import Head, HeadGradients
from numpy_erniem.training.loss_gradients import cross_entropy_grad

TEMPERATURE = 0.05

Ids = Sequence[int]


def contrastive_loss(
    x: np.ndarray,
    mask: np.ndarray,
    temperature: float = TEMPERATURE,
    duplicates: np.ndarray | None = None,
) -> tuple[np.floating, np.ndarray]:
    """Symmetric cross entropy over the cosine similarities of mean-pooled vectors.

    Each source has to find its translation among the B translations of the batch, and each
    translation its source: with S = a bᵀ / τ of the unit vectors a of the sources and b of the
    targets, the loss is ½ (cross entropy of S + cross entropy of Sᵀ), the right ones on the
    diagonal.

    Parameters
    ----------
    x : (2·B, T, D) float array
        Last hidden states of the B sources, then of their B translations.
    mask : (2·B, T) bool array
        True for the tokens that are not padding; [CLS] counts, whether it is hidden or not.
    temperature : float
        τ, above 0.
    duplicates : (B, B) bool array, optional
        Pairs (i, j) that are no negatives of each other; see `find_duplicates`.

    Returns
    -------
    loss : float of the dtype of x
    dx : (2·B, T, D) array

    References
    ----------
    Feng et al., "Language-agnostic BERT Sentence Embedding", arXiv:2007.01852, section 2.
    """
    pooled, pool_back = _mean_pool(x, mask)
    loss, dpooled = vectors_loss(pooled, temperature, duplicates)
    return loss, pool_back(dpooled)


def vectors_loss(
    vectors: np.ndarray, temperature: float = TEMPERATURE, duplicates: np.ndarray | None = None
) -> tuple[np.floating, np.ndarray]:
    """`contrastive_loss` of vectors that are pooled: (2·B, D) -> the loss, and dvectors (2·B, D).

    Parameters
    ----------
    vectors : (2·B, D) array
        Of any lengths.
    temperature, duplicates
        As of `contrastive_loss`.

    Returns
    -------
    loss : float of the dtype of the vectors
    dvectors : (2·B, D) array
    """
    u, unit_back = _unit_rows(vectors)  # (2·B, D)
    a, b = np.split(u, 2)
    S, right = a @ b.T / temperature, np.arange(len(a))  # (B, D)·(D, B) -> (B, B)
    if duplicates is not None:
        S[duplicates] = np.finfo(S.dtype).min / 2
    loss = (cross_entropy(S, right) + cross_entropy(S.T, right)) / 2
    dS = (cross_entropy_grad(S, right) + cross_entropy_grad(S.T, right).T) / (2 * temperature)
    du = np.concatenate([dS @ b, dS.T @ a])
    return loss, unit_back(du)


def contrastive_head(
    mask: np.ndarray | None = None,
    temperature: float = TEMPERATURE,
    duplicates: np.ndarray | None = None,
) -> Head:
    """`contrastive_loss` as a head for `value_and_grad`; it has no weights.

    Parameters
    ----------
    mask : (2·B, T) bool array, optional
        As of `contrastive_loss`; left out, the batch is packed.
    temperature, duplicates
        As there.

    Returns
    -------
    Head
    """

    def head(
        x: np.ndarray,
        w: Mapping[str, Any],
        config: ErnieMConfig,
        labels: Mapping[str, Any],
        rng: Any,
        threads: int,
    ) -> HeadGradients:
        if mask is not None:
            return (*contrastive_loss(x, mask, temperature, duplicates), {})
        vectors, back = mean_of_texts(x, labels["starts"])  # (1, N, D) -> (2·B, D)
        loss, dvectors = vectors_loss(vectors, temperature, duplicates)
        return loss, back(dvectors), {}

    return head


def find_duplicates(sources: Sequence[Ids], targets: Sequence[Ids]) -> np.ndarray | None:
    """Pairs with the same source or the same target: (B, B) bools, or None if there are none."""
    same = _equal(sources) | _equal(targets)
    np.fill_diagonal(same, False)
    return same if same.any() else None


def _equal(rows: Sequence[Ids]) -> np.ndarray:
    """Whether row i equals row j: (B, B)."""
    keys: dict[tuple[int, ...], int] = {}
    numbers = np.array([keys.setdefault(tuple(row), len(keys)) for row in rows])
    return numbers[:, None] == numbers[None, :]


def mean_of_texts(x: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, Callable]:
    """The mean over the tokens of each packed text with its gradient: (1, N, D) -> (n, D).

    Parameters
    ----------
    x : (1, N, D) float array
    starts : (n + 1,) integer array
        Where each text starts, then N.

    Returns
    -------
    y : (n, D) array
    backward : from dy (n, D) to dx (1, N, D)
    """
    lengths = np.diff(starts)
    shares = (1 / lengths).astype(x.dtype)[:, None]  # (n, 1)
    y = np.add.reduceat(x[0], starts[:-1], axis=0) * shares
    return y, lambda dy: np.repeat(dy * shares, lengths, axis=0)[None]


def _mean_pool(x: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, Callable]:
    """The mean over the real tokens with its gradient: (N, T, D) -> (N, D)."""
    share = mask / mask.sum(axis=1, keepdims=True)  # (N, T)
    share = share.astype(x.dtype)
    y = mean_pool(x, mask)
    return y, lambda dy: share[:, :, None] * dy[:, None, :]


def _unit_rows(x: np.ndarray) -> tuple[np.ndarray, Callable]:
    """u = x / |x|, row by row; the gradient is (du - u (u · du)) / |x|."""
    u = normalize_rows(x)
    length = np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(x.dtype).tiny)
    return u, lambda du: (du - u * np.einsum("nd,nd->n", u, du)[:, None]) / length
