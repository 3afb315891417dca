"""Derivatives of activations against differences, and near the points where they are delicate."""

import numpy as np
import pytest

from numpy_erniem.activations import ACTIVATIONS
from numpy_erniem.training.activation_gradients import DERIVATIVES, activate, activation_backward


def test_every_activation_has_a_derivative():
    assert DERIVATIVES.keys() == ACTIVATIONS.keys()


@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_by_differences(name):
    x = np.linspace(-9.03, 9.04, 311)  # misses the kinks at 0 and 6
    act, step = ACTIVATIONS[name], 1e-6
    want = (act(x + step) - act(x - step)) / (2 * step)
    np.testing.assert_allclose(DERIVATIVES[name](x, act(x)), want, rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", DERIVATIVES)
def test_float32_stays_and_is_close_to_float64(name):
    x = np.linspace(-9.03, 9.04, 311).astype(np.float32)
    act = ACTIVATIONS[name]
    derivative = DERIVATIVES[name](x, act(x))
    wide = x.astype(np.float64)
    assert derivative.dtype == np.float32
    np.testing.assert_allclose(derivative, DERIVATIVES[name](wide, act(wide)), rtol=0, atol=2e-6)


def test_gelu_near_zero():
    x = np.float32([0, 1e-30, -1e-30, 1e-12, -1e-12])
    np.testing.assert_allclose(DERIVATIVES["gelu"](x, ACTIVATIONS["gelu"](x)), 0.5, rtol=1e-6)


def test_blocks_are_put_together(rng, monkeypatch):
    monkeypatch.setattr("numpy_erniem.training.activation_gradients.CACHE_BLOCK", 10)
    x, dy = rng.standard_normal((2, 3, 4, 7), np.float32)
    y = activate.body(x, "tanh")
    np.testing.assert_array_equal(y, np.tanh(x))
    np.testing.assert_allclose(
        activation_backward.body(dy, x, y, "tanh"), dy * (1 - y * y), rtol=1e-6
    )
