"""The kernels of training beside their NumPy bodies."""

import numpy as np
import pytest

from numpy_erniem.activations import ACTIVATIONS
from numpy_erniem.backend.unsupported import Unsupported
from numpy_erniem.training import activation_gradients, primitives

SIZES = [(1, 1, 1), (7, 3, 5), (13, 33, 17), (141, 31, 97), (15, 769, 40), (1543, 14, 32)]


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
    want = [a.copy() for a in arrays]
    options = ((0.9, 0.999), 1e-8, 1e-3, decay, 3)
    primitives.adamw.body(tuple(want), *options)
    for count in (1, 3):
        threads(count)
        got = [a.copy() for a in arrays]
        assert native.adamw(tuple(got), *options) is None
        for mine, right in zip(got, want, strict=True):
            np.testing.assert_array_equal(mine, right)


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
