"""Exact search as a primitive: what a full sort finds, on both backends."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from numpy_erniem import ranking


def full_sort(queries, vectors, k):
    """Sort all scores, computed in float64; equal ones keep their order."""
    scores = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    indices = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return indices, np.take_along_axis(scores, indices, axis=1).astype(np.float32)


def whole(rng, *shape):
    """Small whole numbers: every score is exact, and many are equal."""
    return rng.integers(-2, 3, shape).astype(np.float32)


def same(got, want):
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


@given(st.integers(0, 9), st.integers(1, 40), st.integers(1, 4), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_search_is_a_full_sort(backend, q, n, d, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    k = data.draw(st.integers(1, n))
    queries, vectors = whole(rng, q, d), whole(rng, n, d)
    same(ranking.top_scores(queries, vectors, k), full_sort(queries, vectors, k))


def test_equal_scores_keep_the_lower_index(backend):
    indices, scores = ranking.top_scores(np.ones((2, 3), np.float32), np.ones((50, 3), "f4"), 7)
    assert indices.tolist() == [list(range(7))] * 2
    assert (scores == 3).all()


def test_zero_and_minus_zero_are_equal(backend):
    vectors = np.float32([[0.0], [-0.0], [0.0], [-1.0]])
    indices, _ = ranking.top_scores(np.float32([[1.0], [-1.0]]), vectors, 3)
    assert indices.tolist() == [[0, 1, 2], [3, 0, 1]]


def test_the_formula_works_in_blocks_of_any_size(rng, monkeypatch):
    queries, vectors = whole(rng, 3, 2), whole(rng, 61, 2)
    want = full_sort(queries, vectors, 5)
    for size in (1, 20, 45, 60 * 3, 61 * 3):
        monkeypatch.setattr(ranking, "SCORES_BLOCK", size)
        same(ranking.top_scores.body(queries, vectors, 5), want)


def test_the_formula_keeps_float64(rng):
    queries, vectors = rng.standard_normal((3, 8)), rng.standard_normal((20, 8))
    _, scores = ranking.top_scores(queries, vectors, 20)
    np.testing.assert_array_equal(scores, -np.sort(-(queries @ vectors.T), axis=1))


def test_parts_are_merged_to_the_result_of_the_whole(rng):
    queries, vectors = whole(rng, 3, 2), whole(rng, 31, 2)
    for cut, k in ((1, 4), (16, 5), (30, 31)):
        first = full_sort(queries, vectors[:cut], k)
        second = full_sort(queries, vectors[cut:], k)
        merged = ranking.merge(first, (second[0] + cut, second[1]), k)
        same(merged, full_sort(queries, vectors, k))
