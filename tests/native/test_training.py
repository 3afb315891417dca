"""The other kernels of training beside their NumPy bodies."""

import numpy as np
import pytest

from numpy_erniem import backend_report, reset_backend_report, use_backend
from numpy_erniem.activations import ACTIVATIONS
from numpy_erniem.backend.unsupported import Unsupported
from numpy_erniem.training import (
    activation_gradients,
    primitives,
    value_and_grad,
)
from tests.models.conftest import B, D, T, V
from tests.training.conftest import make


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
    assert {"float32_linear", "linear_backward"} <= calls.keys()
    assert {"norm_backward", "attention_backward"} <= calls.keys()
    assert all(where.keys() == {"native"} for where in calls.values()), calls
