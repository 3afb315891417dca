"""Exact search: for each query the vectors with the largest dot products.

Shapes: Q queries and n vectors of D numbers. Of equal scores the lower index comes first.
"""

import numpy as np

from numpy_erniem.backend.dispatch import accelerated

Ranked = tuple[np.ndarray, np.ndarray]  # indices (Q, k) int64 and scores (Q, k), best first

SCORES_BLOCK = 1 << 21  # scores that are in memory at a time


@accelerated
def top_scores(queries: np.ndarray, vectors: np.ndarray, k: int) -> Ranked:
    """Find the k largest of the dot products q · v, for each query.

    Parameters
    ----------
    queries : (Q, D) array
    vectors : (n, D) array of the same dtype
        Every dot product must be a finite number.
    k : int
        1 to n.

    Returns
    -------
    indices : (Q, k) int64 array
        Rows of `vectors`, best first.
    scores : (Q, k) array
        Their dot products.
    """
    step = max(k, SCORES_BLOCK // max(1, len(queries)))
    best = None
    for start in range(0, len(vectors), step):
        scores = queries @ vectors[start : start + step].T  # (Q, D)·(D, b) -> (Q, b)
        columns = _largest(scores, k)
        found = columns + start, np.take_along_axis(scores, columns, axis=1)
        best = found if best is None else merge(best, found, k)
    return best


def merge(first: Ranked, second: Ranked, k: int) -> Ranked:
    """Join what was found in two parts of the vectors, and keep the k best.

    Parameters
    ----------
    first, second : tuple of (Q, ...) indices and (Q, ...) scores
        Best first. Every index in `first` is lower than every index in `second`.
    k : int
        At least 1; fewer are kept where there are fewer.

    Returns
    -------
    indices, scores : arrays
    """
    indices, scores = (np.concatenate(pair, axis=1) for pair in zip(first, second, strict=True))
    columns = _largest(scores, k)
    return np.take_along_axis(indices, columns, 1), np.take_along_axis(scores, columns, 1)


def _largest(scores: np.ndarray, k: int) -> np.ndarray:
    """Columns of the min(k, b) largest of (Q, b) scores, best first: (Q, k)."""
    Q, b = scores.shape
    columns = np.broadcast_to(np.arange(b), (Q, b))
    if k < b:
        last = np.partition(scores, b - k, axis=1)[:, b - k, None]  # the k-th largest, (Q, 1)
        above, equal = scores > last, scores == last
        missing = k - above.sum(axis=1, keepdims=True)
        chosen = above | (equal & (np.cumsum(equal, axis=1) <= missing))  # k of each row
        columns = columns[chosen].reshape(Q, k)
    order = np.argsort(-np.take_along_axis(scores, columns, 1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, 1)
