"""What a forward pass keeps for the backward pass."""

import tracemalloc

import numpy as np
import pytest

from numpy_erniem import use_backend
from numpy_erniem.training.activation_gradients import activate
from numpy_erniem.training.gradients import activated_linear, dropout, linear
from numpy_erniem.training.products import products_in

M, K, N = 1000, 256, 8


def layer(rng):
    return {"weight": rng.standard_normal((N, K), np.float32), "bias": np.zeros(N, np.float32)}


def kept_bytes(make_backward):
    """Bytes that stay allocated while the backward pass is kept, and the result is not."""
    tracemalloc.start()
    with use_backend("numpy"):
        backward = make_backward()[1]
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert callable(backward)
    return kept


@pytest.mark.parametrize("rate", [0.0, 0.5])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_map_after_an_activation_keeps_nothing_but_its_input(rate, precision, rng):
    z, w, generator = rng.standard_normal((M, K), np.float32), layer(rng), np.random.default_rng(1)
    with products_in(precision):
        kept = kept_bytes(lambda: activated_linear(z, w, "gelu", rate, generator))
    assert kept < 0.1 * z.nbytes


def test_dropout_keeps_no_mask(rng):
    x, generator = rng.standard_normal((M, K), np.float32), np.random.default_rng(1)
    assert kept_bytes(lambda: dropout(x, 0.5, generator)) < 0.1 * x.nbytes


def test_a_linear_map_does_not_keep_its_result(rng):
    x, wide = rng.standard_normal((M, N), np.float32), layer(rng)["weight"].T.copy()
    w = {"weight": wide, "bias": np.zeros(K, np.float32)}
    assert kept_bytes(lambda: linear(x, w)) < 0.1 * M * K * 4


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_a_map_after_an_activation_is_both_in_turn(rate, rng):
    z, w = rng.standard_normal((M, K)), {"weight": rng.standard_normal((N, K)), "bias": np.ones(N)}
    dy = rng.standard_normal((M, N))
    got, backward = activated_linear(z, w, "silu", rate, np.random.default_rng(1))
    dropped, drop_back = dropout(activate(z, "silu"), rate, np.random.default_rng(1))
    want, map_back = linear(dropped, w)
    np.testing.assert_array_equal(got, want)
    (dz, dw), (drows, wanted) = backward(dy), map_back(dy)
    np.testing.assert_array_equal(dw["weight"], wanted["weight"])
    np.testing.assert_array_equal(dw["bias"], wanted["bias"])
    sigmoid = 1 / (1 + np.exp(-z))
    derivative = sigmoid + z * sigmoid * (1 - sigmoid)
    np.testing.assert_allclose(dz, drop_back(drows) * derivative, rtol=1e-12, atol=1e-12)
