import math

import numpy as np
import pytest

from numpy_erniem import ops
from numpy_erniem.activations import ACTIVATIONS, gelu, upper_tail

GRID = np.linspace(-12, 12, 60_001).astype(np.float32)


def exact_gelu(x):
    return np.array([v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x.astype(np.float64)])


def test_gelu_errs_by_at_most_two_ulp_of_x():
    error = np.abs(gelu(GRID) - exact_gelu(GRID))
    assert (error <= 2 * np.spacing(np.maximum(np.abs(GRID), 1e-30).astype(np.float32))).all()
    assert error.max() <= 2.4e-7


def test_gelu_in_float64_is_exact():
    x = GRID[::50].astype(np.float64)
    np.testing.assert_allclose(gelu(x), exact_gelu(x), rtol=1e-14, atol=0)


def test_gelu_far_from_zero_is_x_or_nothing():
    x = np.float32([-np.inf, -1e30, -50, 50, 1e30, np.inf])
    y = gelu(x)
    assert np.abs(y[:3]).max() < 1e-8
    assert y[3:].tolist() == [50, np.float32(1e30), np.inf]


def test_gelu_of_nan_is_nan():
    assert np.isnan(gelu(np.float32([np.nan]))).all()


def test_upper_tail_halves_at_zero():
    for dtype in (np.float32, np.float64):
        assert upper_tail(np.zeros(1, dtype))[0] == pytest.approx(0.5, abs=1e-7)


# torch's float32 erf cancels below zero and errs by 1e-6 there; in float64 the formulas meet, up to
# the ten digits of √(2/π) in gelu_fast.
@pytest.mark.parametrize(("dtype", "atol"), [(np.float32, 1.2e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_equals_upstream(name, dtype, atol):
    torch = pytest.importorskip("torch")
    act2fn = pytest.importorskip("transformers.activations").ACT2FN
    x = GRID[::7].astype(dtype)
    got = ACTIVATIONS[name](x)
    assert got.dtype == dtype
    want = act2fn[name](torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(got, want, rtol=2e-6 if dtype == np.float32 else 1e-9, atol=atol)


def test_the_names_are_those_of_upstream():
    act2cls = pytest.importorskip("transformers.activations").ACT2CLS
    assert set(ACTIVATIONS) == set(act2cls)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_linear_applies_the_activation(name, backend, rng):
    x = rng.standard_normal((3, 5), np.float32)
    w = {"weight": rng.standard_normal((4, 5), np.float32), "bias": np.ones(4, np.float32)}
    plain = x @ w["weight"].T + w["bias"]
    got = ops.linear(x, w, name)
    np.testing.assert_allclose(got, ACTIVATIONS[name](plain), rtol=1e-5, atol=1e-6)


def test_activation_blocks_cover_every_row(rng, monkeypatch):
    monkeypatch.setattr(ops, "CACHE_BLOCK", 8)  # two rows of four at a time, the last one alone
    x = rng.standard_normal((5, 3), np.float32)
    w = {"weight": rng.standard_normal((4, 3), np.float32), "bias": np.zeros(4, np.float32)}
    want = gelu(x @ w["weight"].T)
    np.testing.assert_allclose(ops.linear.body(x, w, "gelu"), want, rtol=1e-6, atol=1e-7)
