"""The native search beside plain loops, and what its result does not depend on."""

import numpy as np
import pytest

from numpy_erniem.backend.unsupported import Unsupported


def whole(rng, *shape):
    """Small whole numbers: every sum of products is exact, and many are equal."""
    return rng.integers(-2, 3, shape).astype(np.float32)


def both(kernels, unset, vectors, queries, k):
    """(indices, scores) of the kernel and of its reference; unwritten indices are -1."""
    lib, of = kernels.lib, kernels.of
    (n, d), q = vectors.shape, len(queries)
    results = [(np.full((q, k), -1, np.int64), unset(q, k)) for _ in range(2)]
    (got, got_scores), (want, want_scores) = results
    ints = kernels.ints
    packed = kernels.pack_queries(queries)
    assert lib.erniem_top_scores(n, d, of(vectors), packed, k, ints(got), of(got_scores)) == 0
    assert (
        lib.erniem_top_scores_reference(
            n, d, of(vectors), q, of(queries), k, ints(want), of(want_scores)
        )
        == 0
    )
    return results


@pytest.mark.parametrize("n", [1, 2, 13, 14, 15, 223, 224, 225, 700])
@pytest.mark.parametrize("d", [1, 17, 512, 768, 769])
def test_the_kernel_finds_what_the_loops_find(isa, kernels, unset, rng, n, d):
    for q in (1, 3, 16, 17, 33):
        for k in {1, min(3, n), n}:
            got, want = both(kernels, unset, whole(rng, n, d), whole(rng, q, d), k)
            np.testing.assert_array_equal(got[1], want[1], f"{q} queries, {k} best")
            np.testing.assert_array_equal(got[0], want[0], f"{q} queries, {k} best")


def test_scores_have_the_error_of_float32_sums(isa, kernels, unset, rng):
    vectors = rng.standard_normal((300, 384), np.float32)
    queries = rng.standard_normal((5, 384), np.float32)
    got, want = both(kernels, unset, vectors, queries, 300)
    size = np.abs(queries) @ np.abs(vectors).T
    assert np.abs(got[1] - want[1]).max() <= 1e-6 * size.max()


def test_a_score_has_the_same_bits_alone_and_in_any_company(isa, rng):
    from numpy_erniem.backend import native

    vectors = rng.standard_normal((257, 800), np.float32)
    queries = rng.standard_normal((41, 800), np.float32)
    indices, scores = native.top_scores(queries, vectors, 257)
    every = np.empty((41, 257), np.float32)
    np.put_along_axis(every, indices, scores, axis=1)
    for q in (0, 16, 40):
        alone, its_scores = native.top_scores(queries[q : q + 1], vectors, 257)
        np.testing.assert_array_equal(alone[0], indices[q])
        np.testing.assert_array_equal(its_scores[0], scores[q])
    for n in (0, 13, 256):
        _, one = native.top_scores(queries, vectors[n : n + 1], 1)
        np.testing.assert_array_equal(one[:, 0], every[:, n])


def test_the_result_does_not_depend_on_threads(rng, threads):
    from numpy_erniem.backend import native

    vectors, queries = whole(rng, 5000, 7), whole(rng, 20, 7)
    threads(1)
    want = native.top_scores(queries, vectors, 50)
    for count in (2, 3, 8):
        threads(count)
        for got, expected in zip(native.top_scores(queries, vectors, 50), want, strict=True):
            np.testing.assert_array_equal(got, expected)


def test_impossible_sizes_are_refused_before_anything_is_touched(kernels):
    lib, null, bad = kernels.lib, kernels.null, kernels.lib.ERNIEM_BAD_SIZE
    packed = kernels.pack_queries(np.ones((2, 3), np.float32))
    for n, d, k in [
        *((5, 3, 0), (5, 3, -1), (5, 3, 6), (0, 3, 1), (-1, 3, 1)),
        *((5, 4, 1), (5, 0, 1), (1 << 62, 3, 1), (1 << 38, 3, 1 << 38)),
    ]:
        assert lib.erniem_top_scores(n, d, null, packed, k, null, null) == bad, (n, d, k)
    for q in (-1, 1 << 40):
        assert lib.erniem_top_scores_reference(1 << 30, 3, null, q, null, 9, null, null) == bad


def test_a_pack_for_another_instruction_set_is_refused(kernels):
    from numpy_erniem.backend import settings

    isas = settings.available_isas()
    if len(isas) < 2:
        pytest.skip("this processor has one instruction set alone")
    packed, null = kernels.pack_queries(np.ones((2, 3), np.float32)), kernels.null
    settings.choose_isa(isas[-1])
    try:
        status = kernels.lib.erniem_top_scores(5, 3, null, packed, 1, null, null)
    finally:
        settings.choose_isa(isas[0])
    assert status == kernels.lib.ERNIEM_WRONG_ISA


def test_numbers_that_are_not_finite_harm_nothing_but_their_order(isa, rng):
    from numpy_erniem.backend import native

    vectors, queries = whole(rng, 300, 5), whole(rng, 4, 5)
    vectors[::3] = np.nan
    vectors[1::7] = np.inf
    indices, _ = native.top_scores(queries, vectors, 300)
    np.testing.assert_array_equal(np.sort(indices), np.tile(np.arange(300), (4, 1)))


def test_what_search_declines(rng):
    from numpy_erniem.backend import native

    vectors, queries = whole(rng, 6, 5), whole(rng, 4, 5)
    for arguments in [
        *((queries.astype(np.float64), vectors, 2), (queries, vectors.astype(np.float16), 2)),
        *((queries[:, :4], vectors, 2), (queries[:0], vectors, 2), (queries[0], vectors, 2)),
        *((queries, vectors, 0), (queries, vectors, 7), (queries, vectors[:, ::2], 2)),
        (queries[:, :3], vectors[:, ::2], 2),
    ]:
        assert isinstance(native.top_scores(*arguments), Unsupported)
