"""Strassen's algorithm: right at every edge, careful with what must not be added, only if asked."""

import numpy as np
import pytest

from numpy_erniem import ops
from tests.native.test_linear import both, operands

LARGE = (150, 545, 770)  # a size for which it can be used on every instruction set
GELU = 1


@pytest.fixture(autouse=True)
def asked_for(kernels, strassen):
    """Ask for it, as a user does, in every test of this file."""
    strassen(kernels.lib.ERNIEM_STRASSEN_LARGE)


@pytest.fixture
def product(kernels, unset, strassen):
    """Strassen's product of operands of any size, and that of the loops."""
    strassen(kernels.lib.ERNIEM_STRASSEN_ALWAYS)
    return lambda operands, activation=0: both(kernels, unset, *operands, activation)


@pytest.mark.parametrize("n", [1, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97, 128])
def test_every_width(isa, product, rng, close, n):
    for m, k in ((2, 2), (29, 36)):
        close(*product(operands(rng, m, n, k), GELU), "primitive", f"({m}, {n}, {k})")


@pytest.mark.parametrize("k", [1, 2, 3, 31, 34, 766, 767, 768, 769, 770, 800, 1536, 1537, 1600])
def test_every_depth(isa, product, rng, close, k):
    close(*product(operands(rng, 31, 70, k), GELU), "primitive", f"(31, 70, {k})")


def test_every_number_of_rows(isa, product, rng, close):
    for m in (*range(2, 62), 511, 512, 513, 514, 1023, 1024, 1025, 1537):
        close(*product(operands(rng, m, 67, 38)), "primitive", f"({m}, 67, 38)")


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 300])
def test_however_many_threads_share_the_tasks(product, rng, close, threads, count):
    threads(count)
    close(*product(operands(rng, 700, 200, 80)), "primitive", f"{count}")


def test_threads_change_nothing_where_some_rows_differ_in_size(isa, product, rng, threads):
    x, w, bias = operands(rng, 700, 200, 80)
    x[[5, 130, 131, 301, 699]] *= np.float32(1e-3)
    x[400] = np.inf
    results = []
    for count in (1, 2, 3, 7, 64):
        threads(count)
        with np.errstate(invalid="ignore"):
            results.append(product((x, w, bias))[0])
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_only_a_known_choice_can_be_set(kernels, strassen):
    lib = kernels.lib
    before = lib.erniem_get_strassen()
    for wrong in (-1, 3):
        assert strassen(wrong) == lib.ERNIEM_BAD_SIZE
        assert lib.erniem_get_strassen() == before


def test_it_is_used_for_large_products_alone(isa, kernels, rng, strassen, close):
    from numpy_erniem.backend import native

    def both(m, n, k):
        x, w, bias = operands(rng, m, n, k)
        results = []
        for which in (kernels.lib.ERNIEM_STRASSEN_LARGE, kernels.lib.ERNIEM_STRASSEN_OFF):
            strassen(which)
            single = native.linear(x, {"weight": w, "bias": bias}, "gelu")
            results.append([single, *native.linears(x, 2 * [{"weight": w, "bias": bias}])])
        for a, b in zip(*results, strict=True):
            close(a, b, "primitive")
        return [np.array_equal(a, b) for a, b in zip(*results, strict=True)]

    assert both(*LARGE) == [False, False, False]
    assert both(95, 520, 520) == both(96, 511, 520) == both(96, 520, 511) == 3 * [True]


def test_with_numbers_of_one_size_the_error_is_about_twice(isa, kernels, rng, strassen):
    from numpy_erniem.backend import native

    x, w, bias = operands(rng, *LARGE)
    exact = x.astype(np.float64) @ w.astype(np.float64).T + bias
    errors = []
    for which in (kernels.lib.ERNIEM_STRASSEN_LARGE, kernels.lib.ERNIEM_STRASSEN_OFF):
        strassen(which)
        errors.append(
            np.sqrt(np.mean((native.linear(x, {"weight": w, "bias": bias}) - exact) ** 2))
        )
    assert 1.2 * errors[1] < errors[0] < 3 * errors[1]


def relative_errors(x, w):
    """Errors of the native kernel, relative to the sizes of the row and column they stand in."""
    from numpy_erniem.backend import native

    got = native.linear(x, {"weight": w, "bias": np.zeros(len(w), np.float32)})
    exact = x.astype(np.float64) @ w.astype(np.float64).T
    sizes = [np.linalg.norm(a.astype(np.float64), axis=1) for a in (x, w)]
    return np.abs(got - exact) / np.outer(*sizes)


def test_a_small_row_beside_a_large_one_is_not_drowned(isa, rng):
    x, w, _ = operands(rng, *LARGE)
    x[60:101:3] *= np.float32(1e-6)
    assert relative_errors(x, w).max() < 1e-6


def test_a_small_panel_beside_a_large_one_is_not_drowned(isa, rng):
    x, w, _ = operands(rng, *LARGE)
    panel = {"avx512": 32, "avx2": 16, "neon": 16, "generic": 8}[isa]
    w[4 * panel : 5 * panel] *= np.float32(1e-6)
    w[7 * panel : 8 * panel] *= np.float32(1e-6)
    assert relative_errors(x, w).max() < 1e-6


def test_a_small_column_beside_a_large_one_is_not_drowned(isa, rng):
    x, w, _ = operands(rng, *LARGE)
    w[[5, 64, 75, 130]] *= np.float32(1e-6)
    assert relative_errors(x, w).max() < 1e-6


def test_columns_of_nothing_give_exactly_the_bias(isa, rng):
    from numpy_erniem.backend import native

    x, w, bias = operands(rng, *LARGE)
    w[[7, 300]] = 0
    got = native.linear(x, {"weight": w, "bias": bias})
    np.testing.assert_array_equal(got[:, [7, 300]], np.tile(bias[[7, 300]], (len(x), 1)))


def test_rows_of_nothing_give_exactly_the_bias(isa, rng, close):
    from numpy_erniem.backend import native

    x, w, bias = operands(rng, *LARGE)
    x[:40] = x[47] = x[80:100] = 0  # so the first tile adds up nothing for the others
    rows = [*range(40), 47, *range(80, 100)]
    got = native.linear(x, {"weight": w, "bias": bias})
    np.testing.assert_array_equal(got[rows], np.tile(bias, (len(rows), 1)))
    close(got, ops.linear.body(x, {"weight": w, "bias": bias}), "primitive")


def test_infinity_and_nan_go_where_numpy_lets_them_go(isa, rng):
    from numpy_erniem.backend import native

    x, w, bias = operands(rng, *LARGE)
    x[3, 5], x[70, 0], x[111, 769] = np.nan, np.inf, -np.inf
    w[2, 9], w[300, 400], bias[38] = np.inf, np.nan, np.nan
    with np.errstate(invalid="ignore"):
        want = ops.linear.body(x, {"weight": w, "bias": bias})
    got = native.linear(x, {"weight": w, "bias": bias})
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(np.isinf(got), np.isinf(want))


def test_sums_that_would_overflow_are_not_made(isa, close):
    from numpy_erniem.backend import native

    m, n, k = LARGE
    x, w = np.zeros((m, k), np.float32), np.zeros((n, k), np.float32)
    x[:, [0, 384]], w[:, [0, 384]] = 1e19, 1.5e19  # halves of a block: 2e19 * 3e19 is infinite
    got = native.linear(x, {"weight": w, "bias": np.zeros(n, np.float32)})
    close(got / np.float32(3e38), np.ones((m, n), np.float32), "primitive")


def test_denormal_numbers_are_kept(isa):
    from numpy_erniem.backend import native

    w = {"weight": np.eye(520, dtype=np.float32), "bias": np.zeros(520, np.float32)}
    x = np.full((130, 520), np.float32(1e-40))
    np.testing.assert_array_equal(native.linear(x, w), x)
