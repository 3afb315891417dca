"""Exact search among 1,000,000 vectors, in memory and in a file, beside the machine's limits."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.limits import fastest, memory_bandwidth, multiply_add_peak
from benchmarks.measuring import DifferentError
from benchmarks.workers import progress
from numpy_erniem import SearchIndex

VECTORS, WIDTH, TOP_K = 1_000_000, 384, 10
QUERIES = (1, 10, 100, 1000)
CHECKED = 100  # queries that are compared with a full sort
NEAR = 1e-5  # scores of rows that a sum in another order may exchange


def unit_rows(rng: np.random.Generator, n: int) -> np.ndarray:
    """Random vectors of length 1, (n, WIDTH)."""
    rows = rng.standard_normal((n, WIDTH), np.float32)
    rows /= np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
    return rows


def compare_with_full_sort(index: SearchIndex, queries: np.ndarray) -> tuple[np.ndarray, ...]:
    """Compare what is found with NumPy's product and its full sort, and return it.

    Raises
    ------
    DifferentError
        Another row is found, and its score is not equal to rounding.
    """
    indices, scores = index.search(queries, TOP_K)
    for n, every in enumerate(queries @ index.vectors.T):
        best = np.argsort(-every, kind="stable")[:TOP_K]
        right = indices[n] == best
        near = np.abs(every[indices[n]] - every[best]) <= NEAR
        if not (right | near).all() or not np.allclose(scores[n], every[best], atol=NEAR):
            raise DifferentError(f"query {n}: {indices[n]} instead of {best}; nothing was timed")
    return indices, scores


def search_rows(count: int = VECTORS) -> Iterator[dict[str, Any]]:
    """Time searches of 1 to 1000 queries; the limits are measured before and after each."""
    rng = np.random.default_rng(0)
    progress("making vectors")
    vectors, queries = unit_rows(rng, count), unit_rows(rng, max(QUERIES))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vectors.npy")
        np.save(path, vectors)
        places = {"memory": SearchIndex(vectors), "file": SearchIndex(path)}
        progress("comparing with a full sort")
        want = compare_with_full_sort(places["memory"], queries[:CHECKED])
        found = places["file"].search(queries[:CHECKED], TOP_K)
        if not all(map(np.array_equal, found, want)):
            raise DifferentError("the file gives other results than memory; nothing was timed")
        for place, index in places.items():
            for q in QUERIES:
                progress(f"{place}: {q} queries")
                some = queries[:q]
                peak, bandwidth = multiply_add_peak(), memory_bandwidth()
                seconds = fastest(lambda i=index, x=some: i.search(x, TOP_K), 3 if q > 100 else 6)
                peak, bandwidth = max(peak, multiply_add_peak()), max(bandwidth, memory_bandwidth())
                yield {
                    **{"place": place, "n": count, "d": WIDTH, "q": q, "k": TOP_K},
                    **{"seconds": seconds, "peak": peak, "bandwidth": bandwidth},
                }
