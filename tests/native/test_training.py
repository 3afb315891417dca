"""The kernels of training beside their NumPy bodies."""

import numpy as np
import pytest

from numpy_erniem import backend_report, ops, reset_backend_report, use_backend
from numpy_erniem.activations import ACTIVATIONS
from numpy_erniem.backend.unsupported import Unsupported
from numpy_erniem.quantization.numbers import BFLOAT16, rounded, to_bfloat16
from numpy_erniem.training import (
    activation_gradients,
    attention_gradients,
    primitives,
    value_and_grad,
)
from numpy_erniem.training.dropout import Dropped, drop
from numpy_erniem.training.products import PRODUCTS
from tests.conftest import native_is_built
from tests.models.conftest import B, D, T, V
from tests.training.conftest import make

SIZES = [
    *((1, 1, 1), (7, 3, 5), (13, 33, 17), (141, 31, 97), (15, 769, 40), (1543, 14, 32)),
    (300, 200, 130),  # blocks of rows for each thread
    (450, 512, 100),  # rows of dy that are copied, though they are short
]


@pytest.fixture
def native():
    from numpy_erniem.backend import native_training

    return native_training


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


def kernels_of(number):
    """The kernels of a number type that this processor has."""
    if not native_is_built():
        return ["none"]
    from numpy_erniem.backend import settings

    return settings.available_kernels(number)


def chosen_kernel(number, name):
    from numpy_erniem.backend import settings

    settings.choose_kernel(number, name)
    yield name
    settings.choose_isa(settings.available_isas()[0])


@pytest.fixture(params=kernels_of("bfloat16"))
def bfloat16_kernel(request):
    yield from chosen_kernel("bfloat16", request.param)


@pytest.fixture(params=kernels_of("trained_float32"))
def float32_kernel(request):
    yield from chosen_kernel("trained_float32", request.param)


def float32_products(dy, x, w, bias):
    """The output of the map and the three gradients, by the kernels in use."""
    from numpy_erniem.backend import native

    y = native.float32_linear(x, {"weight": w, "bias": bias})
    return y, *native.KERNELS["linear_backward"](dy, x, w)


def exact(dy, x, w, bias):
    """What `float32_products` gives, in float64."""
    return x @ w.T + bias, *primitives.linear_backward.body(dy, x, w)


# k, n and m beyond the 1,024 that a tile of AMX adds up at a time
DEEP_SIZES = [*SIZES, (70, 65, 1025), (2100, 3, 33), (40, 2080, 5)]


@pytest.mark.parametrize(("m", "n", "k"), DEEP_SIZES)
def test_float32_products_are_as_near_as_sums_of_float32(float32_kernel, rng, m, n, k):
    dy, x, w = (rng.standard_normal(s, np.float32) for s in ((m, n), (m, k), (n, k)))
    bias = rng.standard_normal(n, np.float32)
    got = float32_products(dy, x, w, bias)
    numbers = [a.astype(np.float64) for a in (dy, x, w, bias)]
    for mine, right, size in zip(got, exact(*numbers), exact(*map(np.abs, numbers)), strict=True):
        assert mine.dtype == np.float32
        assert np.sqrt(np.mean((mine - right) ** 2)) < 1.2e-7 * np.sqrt(np.mean(size**2))  # 2^-23


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e15])
def test_float32_products_keep_every_digit_of_a_number(float32_kernel, scale):
    """Each row has one number, and the product with a power of 2 is exact."""
    numbers = np.float32([1, 1 / 3, -2 / 3, 1.0000001, 16777215, 0.1, -1e-3]) * np.float32(scale)
    x, half, bias = np.diag(numbers), np.eye(7, dtype=np.float32) / 2, np.zeros(7, np.float32)
    for dy, left, right in ((x, half, half), (half, x, half), (half, half, x)):
        got = float32_products(dy, left, right, bias)
        for mine, product in zip(got, (left @ right.T, dy @ right, dy.T @ left), strict=False):
            np.testing.assert_array_equal(mine, product)


@pytest.mark.parametrize(("m", "n", "k"), [(13, 33, 17), (290, 100, 70), (70, 65, 1100)])
def test_float32_products_have_the_same_bits_for_any_number_of_threads(
    float32_kernel, threads, rng, m, n, k
):
    dy, x, w = (rng.standard_normal(s, np.float32) for s in ((m, n), (m, k), (n, k)))
    results = []
    for count in (1, 2, 3):
        threads(count)
        results.append(float32_products(dy, x, w, np.zeros(n, np.float32)))
    for more in results[1:]:
        for mine, right in zip(more, results[0], strict=True):
            np.testing.assert_array_equal(mine, right)


def test_float32_products_with_infinity_are_those_of_the_formula(float32_kernel, rng):
    """1 and 2 have fewer digits than a number may have: times infinity, not times 0 and NaN."""
    dy, x, w = (np.ones(s, np.float32) for s in ((9, 1100), (9, 35), (1100, 35)))
    dy[3, 7], dy[4, 1090], x[5, 2], w[8, 20], w[1090, 9] = np.nan, np.inf, -np.inf, np.inf, 2
    bias = np.zeros(1100, np.float32)
    with np.errstate(invalid="ignore"):
        want = x @ w.T, *primitives.linear_backward.body(dy, x, w)
    for mine, right in zip(float32_products(dy, x, w, bias), want, strict=True):
        np.testing.assert_array_equal(mine, right)


LOW_SIZES = [*SIZES, (70, 65, 4097), (8200, 3, 33), (40, 9000, 5)]


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


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("size", [1, 33, 10_007])
def test_activations_and_their_gradients_equal_the_formulas(isa, native, rng, name, size):
    z = (4 * rng.standard_normal(size)).astype(np.float32)
    dy = rng.standard_normal(size, np.float32)
    y = activation_gradients.activate.body(z, name)
    np.testing.assert_allclose(native.activate(z, name), y, rtol=1e-6, atol=1e-5)
    want = activation_gradients.activation_backward.body(dy, z, y, name)
    got = native.activation_backward(dy, z, y, name)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients_of_activations_at_the_ends(isa, native, name):
    z = np.float32([0, -0.0, 1e-30, -1e-30, 12, -12, 50, -50, 1e4, -1e4])
    with np.errstate(all="ignore"):
        y = activation_gradients.activate.body(z, name)
        want = activation_gradients.activation_backward.body(np.ones_like(z), z, y, name)
    got = native.activation_backward(np.ones_like(z), z, y, name)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["gelu", "gelu_10", "gelu_new", "silu", "tanh", "mish"])
def test_nan_stays_in_the_gradients_of_smooth_activations(isa, native, name):
    z = np.full(21, np.nan, np.float32)
    with np.errstate(invalid="ignore"):
        y = activation_gradients.activate.body(z, name)
        for run in (native.activation_backward, activation_gradients.activation_backward.body):
            assert np.isnan(run(np.ones_like(z), z, y, name)).all()


def test_an_unknown_activation_is_declined(native, rng):
    z = rng.standard_normal(5, np.float32)
    assert isinstance(native.activate(z, "none of these"), Unsupported)
    assert isinstance(native.activation_backward(z, z, z, "none of these"), Unsupported)
    assert isinstance(native.activate(z.astype(np.float64), "gelu"), Unsupported)


@pytest.mark.parametrize("size", [1, 15, 16, 33, 100_003])
@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_adamw_has_the_bits_of_its_formula(isa, threads, native, rng, size, decay):
    arrays = [rng.standard_normal(size, np.float32) for _ in range(4)]
    arrays[3] = np.square(arrays[3])
    for array, tiny in ((arrays[0], 0), (arrays[2], -1.2e-38), (arrays[3], 1.2e-38)):
        array[::5] = tiny
    want = [a.copy() for a in arrays]
    options = ((0.9, 0.97), 1e-8, 1e-3, decay, 3, 0.3)
    primitives.adamw.body(tuple(want), *options)
    for count in (1, 3):
        threads(count)
        got = [a.copy() for a in arrays]
        assert native.adamw(tuple(got), *options) is None
        for mine, right in zip(got, want, strict=True):
            np.testing.assert_array_equal(mine, right)


@pytest.mark.parametrize("size", [0, 1, 7, 8192, 8193, 100_003])
def test_sums_of_squares_have_one_order(isa, threads, native, rng, size):
    x = rng.standard_normal(size, np.float32)
    right = float((x.astype(np.float64) ** 2).sum())
    assert primitives.sum_of_squares.body(x) == pytest.approx(right, rel=1e-12)
    found = set()
    for count in (1, 2, 3):
        threads(count)
        found.add(native.sum_of_squares(x))
    assert len(found) == 1
    assert found.pop() == pytest.approx(right, rel=1e-12)


def test_what_sums_of_squares_pass_on_and_decline(native):
    assert np.isnan(native.sum_of_squares(np.float32([1, np.nan])))
    assert native.sum_of_squares(np.float32([1, np.inf])) == np.inf
    assert native.sum_of_squares(np.float32([3e38, 3e38])) == pytest.approx(2 * 9e76)
    assert isinstance(native.sum_of_squares(np.ones(3)), Unsupported)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_means_become_0_below_the_smallest_normal_number(native, dtype):
    """Rows that are looked up once have means that shrink with every step."""
    tiny = np.finfo(dtype).tiny
    m = np.array([1.05, -1.05, 0.5, 2, np.nan, 0], dtype) * tiny
    v = np.array([1.05, 1.05, 0.5, 2, np.nan, 0], dtype) * tiny
    zeros, w, options = np.zeros_like(m), np.ones_like(m), ((0.9, 0.9), 1e-8, 1e-3, 0, 3)
    for run in (primitives.adamw, primitives.adamw.body):
        first, second = m.copy(), v.copy()
        run((zeros, w.copy(), first, second), *options)
        np.testing.assert_array_equal(first, [0, 0, 0, m[3] * dtype(0.9), np.nan, 0])
        np.testing.assert_array_equal(second, [0, 0, 0, v[3] * dtype(0.9), np.nan, 0])


@pytest.mark.parametrize("d", [1, 7, 16, 33, 97, 768])
@pytest.mark.parametrize("with_residual", [False, True])
def test_norm_backward_equals_the_formula_in_float64(isa, native, rng, d, with_residual):
    dy, x, residual = rng.standard_normal((3, 3, 67, d), np.float32)
    arguments = (dy, x, residual if with_residual else None, rng.standard_normal(d, np.float32))
    wide = [None if a is None else a.astype(np.float64) for a in arguments]
    want = primitives.norm_backward.body(*wide, 1e-3)
    for mine, right in zip(native.norm_backward(*arguments, 1e-3), want, strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, right, rtol=1e-4, atol=1e-4)


def test_norm_backward_has_the_same_bits_for_any_number_of_threads(native, threads, rng):
    dy, x = rng.standard_normal((2, 1000, 37), np.float32)
    gamma, results = rng.standard_normal(37, np.float32), []
    for count in (1, 2, 3):
        threads(count)
        results.append(native.norm_backward(dy, x, None, gamma, 1e-5))
    for more in results[1:]:
        for mine, right in zip(more, results[0], strict=True):
            np.testing.assert_array_equal(mine, right)


def test_norm_backward_keeps_nan_in_its_row(isa, native, rng):
    dy, x = rng.standard_normal((2, 4, 40), np.float32)
    x[2, 39] = np.nan
    dv, _, dbeta = native.norm_backward(dy, x, None, np.ones(40, np.float32), 1e-5)
    np.testing.assert_array_equal(np.isnan(dv).any(axis=1), [False, False, True, False])
    assert np.isfinite(dbeta).all()


def test_what_norm_backward_declines(native, rng):
    dy, x = rng.standard_normal((2, 4, 6), np.float32)
    gamma = np.ones(6, np.float32)
    for wrong in (
        (dy.astype(np.float64), x, None, gamma),
        (dy[:3], x, None, gamma),
        (dy, x, x[:1], gamma),
        (dy, x, x.astype(np.float64), gamma),
        (dy, x, None, gamma[:5]),
        (dy[:0], x[:0], None, gamma),
    ):
        assert isinstance(native.norm_backward(*wrong, 1e-5), Unsupported)


@pytest.mark.parametrize(("n", "V"), [(1, 1), (3, 7), (9, 16), (70, 1003)])
def test_scores_to_gradient_equals_the_formula_in_float64(isa, native, rng, n, V):
    scores, labels = 5 * rng.standard_normal((n, V), np.float32), rng.integers(0, V, n)
    wide, narrow = scores.astype(np.float64), scores.copy()
    want = primitives.scores_to_gradient.body(wide, labels, n + 2)
    assert native.scores_to_gradient(scores, labels, n + 2) == pytest.approx(want, rel=1e-6)
    np.testing.assert_allclose(scores, wide, rtol=0, atol=1e-6)
    assert primitives.scores_to_gradient.body(narrow, labels, n + 2) == pytest.approx(
        want, rel=1e-5
    )


def test_a_label_that_is_hardly_likely_has_its_loss(isa, native):
    scores = np.float32([[0, -300, 2], [88, 1, 1]])
    assert native.scores_to_gradient(scores, np.array([1, 0]), 1) == pytest.approx(302.12693)


def test_scores_to_gradient_passes_nan_on(isa, native, rng):
    scores = rng.standard_normal((3, 40), np.float32)
    scores[1, 5] = np.nan
    assert np.isnan(native.scores_to_gradient(scores, np.array([0, 1, 2]), 3))
    assert np.isnan(scores).all(axis=1).tolist() == [False, True, False]


def test_what_scores_to_gradient_declines(native, rng):
    scores, labels = rng.standard_normal((3, 8), np.float32), np.array([0, 1, 2])
    for wrong in (
        (scores.astype(np.float64), labels, 3),
        (scores[:0], labels[:0], 3),
        (scores, labels[:2], 3),
        (scores, labels.astype(np.float32), 3),
        (scores[:, ::2], labels, 3),
        (scores, np.array([0, 1, 8]), 3),
        (scores, np.array([0, -1, 2]), 3),
        (scores, labels, 0),
    ):
        assert isinstance(native.scores_to_gradient(*wrong), Unsupported)


def heads(rng, B, H, n, d):
    """An array (B, H, n, d) over memory (B, n, H, d), as of the linear maps of a layer."""
    return rng.standard_normal((B, n, H, d), np.float32).swapaxes(1, 2)


def attention_arguments(rng, T, S, d, kind):
    B, H = 2, 3
    q, k, v = heads(rng, B, H, T, d), heads(rng, B, H, S, d), heads(rng, B, H, S, d)
    dc = rng.standard_normal((B, T, H, d), np.float32)
    options = {}
    if kind == "keys":
        options["mask"] = np.arange(S) < np.array([S, max(1, S // 2)])[:, None, None, None]
    if kind == "queries":
        options["mask"] = rng.random((B, 1, T, S)) < 0.6  # some queries may see nothing
    if kind == "heads":
        options["head_mask"] = rng.standard_normal((1, H, 1, 1), np.float32)
    context = ops.attention.body(q, k, v, **options)[0]
    return (dc, context, q, k, v), options


KINDS = ["plain", "keys", "queries", "heads"]
LENGTHS = [(1, 1, 1), (7, 5, 4), (33, 33, 16), (57, 70, 33), (130, 130, 64)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("T", "S", "d"), LENGTHS)
def test_attention_backward_equals_the_formula_in_float64(isa, native, rng, T, S, d, kind):
    arrays, options = attention_arguments(rng, T, S, d, kind)
    wide = [a.astype(np.float64) for a in arrays]
    *want, _ = attention_gradients.attention_backward.body(*wide, **options)
    *got, distances = native.attention_backward(*arrays, **options)
    assert distances == {}
    for mine, right in zip(got, want, strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, right, rtol=1e-5, atol=1e-6 + 2e-5 * np.abs(right).max())


@pytest.mark.parametrize("kind", KINDS)
def test_attention_backward_has_the_same_bits_for_any_number_of_threads(native, threads, rng, kind):
    arrays, options = attention_arguments(rng, 61, 61, 16, kind)
    results = []
    for count in (1, 2, 3):
        threads(count)
        results.append(native.attention_backward(*arrays, **options)[:3])
    for more in results[1:]:
        for mine, right in zip(more, results[0], strict=True):
            np.testing.assert_array_equal(mine, right)


def test_nan_in_a_head_stays_in_its_gradients(isa, native, rng):
    arrays, _ = attention_arguments(rng, 9, 9, 4, "plain")
    arrays[4][1, 2, 3, 0] = np.nan
    for gradient in native.attention_backward(*arrays)[:2]:  # dv does not depend on v
        assert np.isnan(gradient).any(axis=(2, 3)).tolist() == [[False] * 3, [False, False, True]]


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 3, 64), (7, 130), (20_001, 1), (2, 9000)])
@pytest.mark.parametrize("rate", [1e-3, 0.1, 0.5, 0.999])
def test_dropout_has_the_bits_of_its_formula(isa, threads, native, rng, shape, rate):
    x, dropped = rng.standard_normal(shape, np.float32), Dropped(rate, int(rng.integers(1 << 62)))
    want = drop.body(x, dropped)
    for count in (1, 3):
        threads(count)
        np.testing.assert_array_equal(native.drop(x, dropped), want)


def test_what_dropout_declines(native, rng):
    x, dropped = rng.standard_normal((4, 6), np.float32), Dropped(0.1, 3)
    assert isinstance(native.drop(x.astype(np.float64), dropped), Unsupported)
    assert isinstance(native.drop(x[:0], dropped), Unsupported)
    assert isinstance(native.drop(x[:, :0], dropped), Unsupported)
    assert isinstance(native.drop(np.float32(3), dropped), Unsupported)
    q = rng.standard_normal((1, 2, 3, 4), np.float32)
    assert isinstance(native.attention_dropped(q, q, q[..., :3], dropped=dropped), Unsupported)
    assert isinstance(native.attention_dropped(q, q.astype("d"), q, dropped=dropped), Unsupported)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("T", "S", "d"), [(1, 1, 1), (9, 13, 5), (70, 65, 33)])
def test_attention_with_dropout_equals_the_formula_in_float64(
    isa, threads, native, rng, kind, T, S, d
):
    (dc, _, *qkv), options = attention_arguments(rng, T, S, d, kind)
    options = {**options, "dropped": Dropped(0.3, int(rng.integers(1 << 62)))}
    wide = [a.astype(np.float64) for a in qkv]
    want = attention_gradients.attention_dropped.body(*wide, **options)
    wanted = attention_gradients.attention_backward.body(
        dc.astype(np.float64), want, *wide, **options
    )
    results = []
    for count in (1, 3):
        threads(count)
        got = native.attention_dropped(*qkv, **options)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)
        results.append((got, *native.attention_backward(dc, got, *qkv, **options)[:3]))
    for mine, right in zip(results[0][1:], wanted, strict=False):
        np.testing.assert_allclose(mine, right, rtol=0, atol=2e-5 * max(T, S) ** 0.5)
    for mine, right in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, right)


MIXTURES = [(1,), (5, 1, 4), (33, 70, 2, 61)]


def packed_arguments(rng, lengths, d, kind):
    """q, k, v and dc of a packed batch, and options."""
    starts, H = np.cumsum([0, *lengths]), 3
    N, options = int(starts[-1]), {"starts": starts}
    qkv = [heads(rng, 1, H, N, d) for _ in range(3)]
    dc = rng.standard_normal((1, N, H, d), np.float32)
    if kind == "keys":
        options["mask"] = rng.random((1, 1, 1, N)) < 0.7
    if kind == "queries":
        options["mask"] = rng.random((1, H, N, max(lengths))) < 0.6
    if kind == "heads":
        options["head_mask"] = rng.standard_normal((1, H, 1, 1), np.float32)
    return qkv, dc, options


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("lengths", "d"), [*zip(MIXTURES, (4, 16, 33), strict=True)])
def test_attention_of_packed_texts_equals_the_formula(
    isa, threads, native, rng, kind, lengths, d, rate
):
    qkv, dc, options = packed_arguments(rng, lengths, d, kind)
    wide, results = [a.astype(np.float64) for a in qkv], []
    if rate:
        options["dropped"] = Dropped(rate, int(rng.integers(1 << 62)))
        want = attention_gradients.attention_dropped.body(*wide, **options)
    else:
        want = ops.attention.body(*wide, **options)[0]
    *wanted, _ = attention_gradients.attention_backward.body(
        dc.astype(np.float64), want, *wide, **options
    )
    for count in (1, 3):
        threads(count)
        context = want.astype(np.float32)
        if rate:
            context = native.attention_dropped(*qkv, **options)
            np.testing.assert_allclose(context, want, rtol=0, atol=1e-5)
        results.append((context, *native.attention_backward(dc, context, *qkv, **options)[:3]))
    for mine, right in zip(results[0][1:], wanted, strict=True):
        np.testing.assert_allclose(mine, right, rtol=0, atol=2e-5 * max(lengths) ** 0.5)
    for mine, right in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, right)


@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_text_has_the_bits_that_it_has_alone(native, rng, kind):
    lengths, options_of = (13, 1, 40), attention_gradients.texts_of
    qkv, dc, options = packed_arguments(rng, lengths, 16, kind)
    context = ops.attention.body(*qkv, **options)[0]
    together = native.attention_backward(dc, context, *qkv, **options)[:3]
    starts = options.pop("starts")
    for text, own, mine in options_of(tuple(qkv), starts, options):
        alone = native.attention_backward(dc[:, text], context[:, text], *own, **mine)[:3]
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_array_equal(a[:, :, text], b)


def test_what_packed_attention_declines(native, rng):
    (q, k, v), dc, _ = packed_arguments(rng, (4, 5), 4, "plain")
    dropped = Dropped(0.1, 3)
    for options in (
        {"starts": np.array([0, 4, 8])},
        {"starts": np.array([1, 4, 9])},
        {"starts": np.array([0, 4, 4, 9])},
        {"starts": np.array([0, 12, 9])},
        {"starts": np.array([9])},
        {"starts": np.array([0.0, 9.0])},
        {"starts": np.array([0, 4, 9]), "mask": np.ones((1, 1, 9, 9), bool)},
        {"starts": np.array([0, 4, 9]), "mask": np.ones((1, 1, 1, 5), bool)},
    ):
        assert isinstance(
            native.attention_dropped(q, k, v, dropped=dropped, **options), Unsupported
        )
        assert isinstance(native.attention_backward(dc, dc, q, k, v, **options), Unsupported)
    later = dropped._replace(first=3)
    assert isinstance(native.attention_dropped(q, k, v, dropped=later), Unsupported)


def test_dropout_of_later_rows_is_a_part_of_that_of_all(native, rng):
    x, dropped = rng.standard_normal((9, 70), np.float32), Dropped(0.4, 5)
    later = dropped._replace(first=4)
    np.testing.assert_array_equal(native.drop(x[4:], later), native.drop(x, dropped)[4:])
    np.testing.assert_array_equal(drop.body(x[4:], later), native.drop(x[4:], later))


def test_what_attention_backward_declines(native, rng):
    (dc, context, q, k, v), _ = attention_arguments(rng, 5, 5, 4, "plain")
    table = rng.standard_normal((9, 4), np.float32)
    for wrong, options in (
        ((dc.astype(np.float64), context, q, k, v), {}),
        ((dc[:, :4], context, q, k, v), {}),
        ((dc, context, q, k[:, :, :4], v), {}),
        ((dc[:0], context[:0], q[:0], k[:0], v[:0]), {}),
        ((dc, context, q, k, v), {"query_distance": table}),
        ((dc, context, q, k, v), {"mask": np.ones((2, 3, 5, 1), bool)}),
        ((dc, context, q, k, v), {"head_mask": np.ones((2, 3, 5, 5), np.float32)}),
    ):
        assert isinstance(native.attention_backward(*wrong, **options), Unsupported)


def test_what_adamw_declines(native, rng):
    arrays = [rng.standard_normal((4, 6), np.float32) for _ in range(4)]
    options = ((0.9, 0.999), 1e-8, 1e-3, 0.0, 3)
    for n in range(4):
        for change in (lambda a: a.astype(np.float64), lambda a: a[:3]):
            wrong = [change(a) if i == n else a for i, a in enumerate(arrays)]
            assert isinstance(native.adamw(tuple(wrong), *options), Unsupported)
    for n in range(1, 4):
        wrong = [np.asfortranarray(a) if i == n else a for i, a in enumerate(arrays)]
        assert isinstance(native.adamw(tuple(wrong), *options), Unsupported)


@pytest.mark.parametrize("vectors", [False, True])
def test_a_padded_batch_leaves_no_primitive_to_numpy(rng, vectors):
    model = make("ErnieMForTokenClassification")
    ids = rng.integers(2, V, (B, T))
    x = rng.standard_normal((B, T, D), np.float32)
    batch = {"inputs_embeds": x} if vectors else {"input_ids": ids}
    mask = np.arange(T) < np.array([[T], [4]])
    batch |= {"attention_mask": mask, "labels": rng.integers(0, 2, (B, T))}
    reset_backend_report()
    with use_backend("native"):
        value_and_grad(model, batch)
    calls = backend_report()["calls"]
    assert {"norm_backward", "linear_backward", "attention_backward"} <= calls.keys()
    assert all(where.keys() == {"native"} for where in calls.values()), calls
