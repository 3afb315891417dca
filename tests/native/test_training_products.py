"""The kernels of linear maps in training, beside their NumPy bodies."""

import numpy as np
import pytest

from numpy_erniem.backend.unsupported import Unsupported
from numpy_erniem.quantization.numbers import BFLOAT16, rounded, to_bfloat16
from numpy_erniem.training import (
    primitives,
)
from numpy_erniem.training.products import PRODUCTS
from tests.native.conftest import chosen_kernel, kernels_of

SIZES = [
    *((1, 1, 1), (7, 3, 5), (13, 33, 17), (141, 31, 97), (15, 769, 40), (1543, 14, 32)),
    (300, 200, 130),  # blocks of rows for each thread
    (450, 512, 100),  # rows of dy that are copied, though they are short
]
STREAMED = 544, 512, 544  # all results are so many that AMX writes them past the caches


@pytest.mark.parametrize(("m", "n", "k"), SIZES)
def test_linear_backward_equals_the_formula_in_float64(isa, native, rng, m, n, k):
    dy, x, w = (rng.standard_normal(s, np.float32) for s in ((m, n), (m, k), (n, k)))
    got = native.linear_backward(dy, x, w)
    want = primitives.linear_backward.body(*(a.astype(np.float64) for a in (dy, x, w)))
    for mine, right, terms in zip(got, want, (n, m, m), strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, right, rtol=0, atol=4e-6 * terms**0.5)


@pytest.mark.parametrize(("m", "n", "k"), SIZES)
def test_linear_backward_has_the_same_bits_for_any_number_of_threads(native, threads, rng, m, n, k):
    dy, x, w = (rng.standard_normal(s, np.float32) for s in ((m, n), (m, k), (n, k)))
    threads(1)
    want = native.linear_backward(dy, x, w)
    for count in (2, 3):
        threads(count)
        for mine, right in zip(native.linear_backward(dy, x, w), want, strict=True):
            np.testing.assert_array_equal(mine, right)


def test_linear_backward_reads_any_layout(native, rng):
    dy, x, w = (rng.standard_normal(s, np.float32) for s in ((9, 4), (9, 6), (4, 6)))
    want = native.linear_backward(dy, x, w)
    turned = (np.asfortranarray(a) for a in (dy, x, w))
    for mine, right in zip(native.linear_backward(*turned), want, strict=True):
        np.testing.assert_array_equal(mine, right)


def test_linear_backward_passes_nan_on_where_the_formula_does(isa, native, rng):
    dy, x, w = (rng.standard_normal(s, np.float32) for s in ((9, 40), (9, 35), (40, 35)))
    dy[3, 7], x[5, 2] = np.nan, np.inf
    want = primitives.linear_backward.body(dy, x, w)
    for mine, right in zip(native.linear_backward(dy, x, w), want, strict=True):
        np.testing.assert_array_equal(np.isnan(mine), np.isnan(right))


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@pytest.mark.parametrize(("m", "n", "k"), [(7, 3, 5), (70, 65, 100), (300, 1000, 1030)])
def test_a_gradient_of_x_is_added_to_another_in_place(isa, native, rng, kind, m, n, k):
    backward = PRODUCTS[kind].backward
    dy, x, w = (rng.standard_normal(s, np.float32) for s in ((m, n), (m, k), (n, k)))
    before = rng.standard_normal((m, k), np.float32)
    kernel = getattr(native, backward.__name__)
    for run, atol in ((backward.body, 0), (kernel, 1e-5 * n**0.5)):
        dx = before.copy()
        got = run(dy, x, w, dx)
        assert got[0] is dx
        alone = run(dy, x, w)
        np.testing.assert_allclose(dx, before + alone[0], rtol=0, atol=atol)
        for mine, right in zip(got[1:], alone[1:], strict=True):
            np.testing.assert_array_equal(mine, right)


def test_a_gradient_that_cannot_be_added_to_in_place_is_declined(native, rng):
    dy, x, w = (rng.standard_normal(s, np.float32) for s in ((9, 4), (9, 6), (4, 6)))
    dx = np.zeros_like(x)
    dx.flags.writeable = False
    for wrong in (
        dx,
        np.zeros((9, 5), np.float32),
        np.zeros((6, 9), np.float32).T,
        x.astype(float),
    ):
        assert isinstance(native.linear_backward(dy, x, w, wrong), Unsupported)


def test_what_linear_backward_declines(native, rng):
    dy, x, w = (rng.standard_normal(s, np.float32) for s in ((9, 4), (9, 6), (4, 6)))
    for wrong in (
        (dy.astype(np.float64), x, w),
        (dy[:0], x[:0], w),
        (dy[:8], x, w),
        (dy, x, w[:3]),
        (dy, x[:, :5], w),
        (dy[0], x, w),
    ):
        assert isinstance(native.linear_backward(*wrong), Unsupported)


@pytest.fixture(params=kernels_of("trained_float32"))
def trained_kernel(request):
    yield from chosen_kernel("trained_float32", request.param)


def float32_products(dy, x, w, bias):
    """The output of the map and the three gradients, by the kernels in use."""
    from numpy_erniem.backend import native

    y = native.float32_linear(x, {"weight": w, "bias": bias})
    return y, *native.KERNELS["linear_backward"](dy, x, w)


def exact(dy, x, w, bias):
    """What `float32_products` gives, in float64."""
    return x @ w.T + bias, *primitives.linear_backward.body(dy, x, w)


DEEP_SIZES = [
    *(*SIZES, (70, 65, 1025), (2100, 3, 33), (40, 2080, 5)),  # beyond the depth of a tile of AMX
    *((3, 5000, 700), (5000, 3, 700)),  # panels of 21 MB, which do not exist all at a time
    STREAMED,
]


@pytest.mark.parametrize(("m", "n", "k"), DEEP_SIZES)
def test_float32_products_are_as_near_as_sums_of_float32(trained_kernel, rng, m, n, k):
    dy, x, w = (rng.standard_normal(s, np.float32) for s in ((m, n), (m, k), (n, k)))
    bias = rng.standard_normal(n, np.float32)
    got = float32_products(dy, x, w, bias)
    numbers = [a.astype(np.float64) for a in (dy, x, w, bias)]
    for mine, right, size in zip(got, exact(*numbers), exact(*map(np.abs, numbers)), strict=True):
        assert mine.dtype == np.float32
        assert np.sqrt(np.mean((mine - right) ** 2)) < 1.2e-7 * np.sqrt(np.mean(size**2))  # 2^-23


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e15])
def test_float32_products_keep_every_digit_of_a_number(trained_kernel, scale):
    """Each row has one number, and the product with a power of 2 is exact."""
    numbers = np.float32([1, 1 / 3, -2 / 3, 1.0000001, 16777215, 0.1, -1e-3]) * np.float32(scale)
    x, half, bias = np.diag(numbers), np.eye(7, dtype=np.float32) / 2, np.zeros(7, np.float32)
    for dy, left, right in ((x, half, half), (half, x, half), (half, half, x)):
        got = float32_products(dy, left, right, bias)
        for mine, product in zip(got, (left @ right.T, dy @ right, dy.T @ left), strict=False):
            np.testing.assert_array_equal(mine, product)


@pytest.mark.parametrize(("m", "n", "k"), [(13, 33, 17), (290, 100, 70), (70, 65, 1100)])
def test_float32_products_have_the_same_bits_for_any_number_of_threads(
    trained_kernel, threads, rng, m, n, k
):
    dy, x, w = (rng.standard_normal(s, np.float32) for s in ((m, n), (m, k), (n, k)))
    results = []
    for count in (1, 2, 3):
        threads(count)
        results.append(float32_products(dy, x, w, np.zeros(n, np.float32)))
    for more in results[1:]:
        for mine, right in zip(more, results[0], strict=True):
            np.testing.assert_array_equal(mine, right)


def test_float32_products_with_infinity_are_those_of_the_formula(trained_kernel, rng):
    """1 and 2 have fewer digits than a number may have: times infinity, not times 0 and NaN."""
    dy, x, w = (np.ones(s, np.float32) for s in ((9, 1100), (9, 35), (1100, 35)))
    dy[3, 7], dy[4, 1090], x[5, 2], w[8, 20], w[1090, 9] = np.nan, np.inf, -np.inf, np.inf, 2
    bias = np.zeros(1100, np.float32)
    with np.errstate(invalid="ignore"):
        want = x @ w.T, *primitives.linear_backward.body(dy, x, w)
    for mine, right in zip(float32_products(dy, x, w, bias), want, strict=True):
        np.testing.assert_array_equal(mine, right)


LOW_SIZES = [*SIZES, (70, 65, 4097), (8200, 3, 33), (40, 9000, 5), STREAMED]


def rounded_product(dy, x, weight, bias):
    """The three gradients and the output in float64, of inputs rounded to bfloat16."""
    low = [rounded(a, BFLOAT16).astype(np.float64) for a in (dy, x, weight)]
    return (low[0] @ low[2], low[0].T @ low[1], dy.sum(axis=0, dtype=np.float64)), (
        low[1] @ low[2].T + bias
    )


@pytest.mark.parametrize(("m", "n", "k"), LOW_SIZES)
def test_bfloat16_products_equal_the_formula(bfloat16_kernel, native, rng, m, n, k):
    dy, x, w = (rng.standard_normal(s, np.float32) for s in ((m, n), (m, k), (n, k)))
    bias = rng.standard_normal(n, np.float32)
    wanted, want = rounded_product(dy, x, w, bias)
    y = native.bfloat16_linear(x, {"weight": w, "bias": bias})
    np.testing.assert_allclose(y, want, rtol=0, atol=1e-5 * k**0.5)
    got = native.bfloat16_linear_backward(dy, x, w)
    for mine, right, terms in zip(got, wanted, (n, m, m), strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, right, rtol=0, atol=1e-5 * terms**0.5)


@pytest.mark.parametrize(("m", "n", "k"), [(7, 3, 5), (70, 65, 100), (40, 30, 33)])
def test_bfloat16_products_on_every_instruction_set(isa, native, rng, m, n, k):
    dy, x, w = (rng.standard_normal(s, np.float32) for s in ((m, n), (m, k), (n, k)))
    bias = rng.standard_normal(n, np.float32)
    wanted, want = rounded_product(dy, x, w, bias)
    y = native.bfloat16_linear(x, {"weight": w, "bias": bias})
    np.testing.assert_allclose(y, want, rtol=0, atol=1e-4)
    for mine, right in zip(native.bfloat16_linear_backward(dy, x, w), wanted, strict=True):
        np.testing.assert_allclose(mine, right, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("m", "n", "k"), [(13, 33, 17), (290, 100, 70), (70, 65, 4097)])
def test_bfloat16_products_have_the_same_bits_for_any_number_of_threads(
    native, threads, rng, m, n, k
):
    dy, x, w = (rng.standard_normal(s, np.float32) for s in ((m, n), (m, k), (n, k)))
    layer, results = {"weight": w, "bias": np.zeros(n, np.float32)}, []
    for count in (1, 2, 3):
        threads(count)
        y = native.bfloat16_linear(x, layer)
        results.append((y, *native.bfloat16_linear_backward(dy, x, w)))
    for more in results[1:]:
        for mine, right in zip(more, results[0], strict=True):
            np.testing.assert_array_equal(mine, right)


def test_bfloat16_linear_has_the_bits_of_a_bfloat16_weight(bfloat16_kernel, native, rng):
    from numpy_erniem.backend.native import linear

    x, w = rng.standard_normal((45, 130), np.float32), rng.standard_normal((67, 130), np.float32)
    bias = rng.standard_normal(67, np.float32)
    want = linear(x, {"weight": to_bfloat16(w), "bias": bias})
    np.testing.assert_array_equal(native.bfloat16_linear(x, {"weight": w, "bias": bias}), want)


def test_bfloat16_products_round_ties_and_keep_nan_and_infinity(bfloat16_kernel, native):
    x = np.float32([[1.00390625, 1.01171875, 3.4e38, np.nan, np.inf]]).T  # (5, 1)
    one = np.ones((1, 1), np.float32)
    y = native.bfloat16_linear(x, {"weight": one, "bias": np.zeros(1, np.float32)})
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(y, rounded(x, BFLOAT16))
    weight = native.bfloat16_linear(one, {"weight": x, "bias": np.zeros(5, np.float32)})
    np.testing.assert_array_equal(weight[0], rounded(x, BFLOAT16)[:, 0])


def test_what_bfloat16_products_decline(native, rng):
    dy, x, w = (rng.standard_normal(s, np.float32) for s in ((9, 4), (9, 6), (4, 6)))
    bias = np.zeros(4, np.float32)
    for wrong in (
        (x.astype(np.float64), w, bias),
        (x, w.astype(np.float64), bias),
        (x[:0], w, bias),
        (x[:, :5], w, bias),
        (x, w[0], bias),
        (x, w, bias[:3]),
    ):
        given = {"weight": wrong[1], "bias": wrong[2]}
        assert isinstance(native.bfloat16_linear(wrong[0], given), Unsupported)
    assert isinstance(native.bfloat16_linear_backward(dy, x, w[:3]), Unsupported)
    assert isinstance(native.bfloat16_linear_backward(dy.astype(float), x, w), Unsupported)
