"""The arithmetic of narrow weights, beside plain loops in double precision."""

import numpy as np
import pytest

from numpy_erniem import ops
from numpy_erniem.backend.dispatch import use_backend
from numpy_erniem.backend.frozen import freeze
from numpy_erniem.quantization.formula import (
    MOST_INPUTS,
    int8_linear,
    quantize_rows,
    quantize_weight,
)
from numpy_erniem.quantization.numbers import (
    BFLOAT16,
    STORED_BFLOAT16,
    bits_of,
    take_rows,
    to_bfloat16,
    widen,
)

M, N, K = 5, 37, 1030  # K is more than two blocks of an exact sum
f32 = np.float32


@pytest.fixture
def x(rng):
    return rng.standard_normal((M, K), f32)


@pytest.fixture
def layer(rng):
    weight, scale = quantize_weight(rng.standard_normal((N, K), f32))
    return {"weight": weight, "scale": scale, "bias": rng.standard_normal(N, f32)}


def row_by_hand(row, layer):
    """A row of the result by the docstring, number by number, with Python's integers."""
    low, high = f32(min(0, *row)), f32(max(0, *row))
    step = f32(f32(high - low) / f32(255))
    zero = int(np.clip(np.rint(f32(-low / step)), 0, 255))
    inverse = f32(f32(1) / step)
    q = [int(np.clip(np.rint(f32(v * inverse)) + zero, 0, 255)) for v in row]
    y = []
    rows = zip(layer["weight"].tolist(), layer["scale"], layer["bias"], strict=True)
    for weight, scale, bias in rows:
        total = sum(a * b for a, b in zip(q, weight, strict=True)) - zero * sum(weight)
        y.append(f32(f32(f32(total) * f32(step * scale)) + bias))
    return np.array(y)


def test_int8_is_the_docstring_to_the_last_bit(x, layer):
    y = int8_linear(x, **layer)
    assert y.dtype == f32
    np.testing.assert_array_equal(y, [row_by_hand(row, layer) for row in x])


def test_int8_is_near_the_product_of_the_widened_numbers(x, layer):
    want = x @ widen(layer["weight"], layer["scale"]).T + layer["bias"]
    error = np.abs(int8_linear(x, **layer) - want)
    assert error.max() < 0.015 * np.abs(want).max()


def test_the_largest_sums_are_exact(layer):
    x = np.ones((1, K), f32)
    weight = np.full((1, K), 127, np.int8)
    y = int8_linear(x, weight, np.ones(1, f32), np.zeros(1, f32))
    step = f32(1) / f32(255)
    assert y[0, 0] == f32(255 * 127 * K) * step
    assert 255 * 127 * MOST_INPUTS < 2**31


def test_a_row_does_not_depend_on_its_batch(x, layer):
    alone = np.concatenate([int8_linear(row[None], **layer) for row in x])
    np.testing.assert_array_equal(int8_linear(x, **layer), alone)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, f32(3e38)])
def test_a_row_that_is_not_finite_gives_nan_and_no_other_does(x, layer, value):
    x[2, 3] = value
    x[2, 4] = -value
    bad = np.isnan(int8_linear(x, **layer))
    assert bad[2].all()
    assert not bad[[0, 1, 3, 4]].any()


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-45, -3e-38])
def test_a_row_of_zeros_or_of_next_to_nothing_gives_exactly_the_bias(layer, value):
    y = int8_linear(np.full((1, K), value, f32), **layer)
    np.testing.assert_array_equal(y[0], layer["bias"])


def test_rows_of_one_sign_and_zero_itself_are_exact():
    x = f32([[0, 255, 17], [0, -255, -17], [5, 5, 5], [-128, 127, 0]])
    q, zero, step = quantize_rows(x)
    np.testing.assert_array_equal(zero, [0, 255, 0, 128])
    np.testing.assert_allclose((q - zero[:, None]) * step[:, None], x, rtol=1e-6)


def test_halves_are_rounded_to_even():
    q, _, _ = quantize_rows(f32([[0.5, 1.5, 2.5, 255]]))
    assert q.tolist() == [[0, 2, 2, 255]]


def test_weights_use_the_whole_range_of_each_row_and_never_minus_128(rng):
    weight = rng.standard_normal((N, K), f32) * np.logspace(-30, 30, N, dtype=f32)[:, None]
    q, scale = quantize_weight(weight)
    assert (np.abs(q).max(axis=1) == 127).all()
    assert q.min() == -127
    assert (np.abs(widen(q, scale) - weight) <= 0.5001 * scale[:, None]).all()


def test_a_channel_of_zeros_gives_exactly_the_bias(x):
    weight, scale = quantize_weight(np.zeros((2, K), f32))
    assert scale.tolist() == [1, 1]
    y = int8_linear(x, weight, scale, f32([0.25, -3]))
    np.testing.assert_array_equal(y, np.tile(f32([0.25, -3]), (M, 1)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_refused(value):
    with pytest.raises(ValueError, match="NaN or infinity, which int8 cannot"):
        quantize_weight(f32([[1, value]]))


def test_bfloat16_rounds_as_torch_does(torch, rng):
    values = np.concatenate([rng.standard_normal(999, f32), f32([0, 1e-40, 3.4e38, np.inf])])
    want = torch.from_numpy(values).bfloat16().float().numpy()
    np.testing.assert_array_equal(widen(to_bfloat16(values)), want)


def test_bfloat16_keeps_nan_shape_and_numbers_that_it_holds():
    values = f32([[1, -2.5], [np.nan, 0]])
    np.testing.assert_array_equal(widen(to_bfloat16(values)), values)
    quiet = np.uint32(0x7F800001).view(f32)  # would round to infinity
    assert np.isnan(widen(to_bfloat16(quiet)))
    assert to_bfloat16(quiet).shape == ()


def test_a_linear_map_in_bfloat16_rounds_its_inputs(x, rng, close):
    weight = rng.standard_normal((N, K), f32) / 32
    w = {"weight": to_bfloat16(weight), "bias": np.zeros(N, f32)}
    want = widen(to_bfloat16(x)).astype(np.float64) @ widen(w["weight"]).astype(np.float64).T
    close(ops.linear.body(x, w), want.astype(f32), "primitive")


@pytest.mark.parametrize("kind", ["float16", "stored bfloat16"])
def test_stored_weights_give_the_numbers_of_widened_ones(x, rng, kind, backend, close):
    weight = rng.standard_normal((N, K), f32) / 32
    half = weight.astype(np.float16) if kind == "float16" else to_bfloat16(weight, STORED_BFLOAT16)
    bias = rng.standard_normal(N, f32)
    narrow, wide = ({"weight": freeze(v), "bias": freeze(bias)} for v in (half, widen(half)))
    for activation in (None, "gelu"):
        want = ops.linear(x, wide, activation)
        np.testing.assert_array_equal(ops.linear(x, narrow, activation), want)


def test_a_long_weight_is_widened_some_rows_at_a_time(rng, close):
    x, weight = rng.standard_normal((3, 8), f32), rng.standard_normal((9001, 8), f32)
    half = weight.astype(np.float16)
    w = {"weight": half, "bias": np.ones(9001, f32)}
    close(ops.linear.body(x, w), x @ half.astype(f32).T + 1, "primitive")
    q, scale = quantize_weight(weight)
    long = int8_linear(x, q, scale, np.ones(9001, f32))
    np.testing.assert_array_equal(long[:, -9:], int8_linear(x, q[-9:], scale[-9:], np.ones(9, f32)))


def test_linear_applies_the_activation_after_the_formula(x, layer):
    want = ops.ACTIVATIONS["tanh"](int8_linear(x, **layer))
    with use_backend("numpy"):
        np.testing.assert_array_equal(ops.linear(x, layer, "tanh"), want)
        (first, second) = ops.linears(x[None], [layer, layer])
    assert first.shape == (1, M, N)
    np.testing.assert_array_equal(first[0], int8_linear(x, **layer))
    np.testing.assert_array_equal(second, first)


@pytest.mark.parametrize("kind", ["int8", "float16", "bfloat16", "stored"])
def test_embedding_widens_the_rows_it_takes(rng, kind, backend, close):
    table = rng.standard_normal((99, 12), f32)
    ids = np.array([[0, 5, 98], [5, 7, 1]])
    w = {
        "position_embeddings": {"weight": rng.standard_normal((9, 12), f32)},
        "layer_norm": {"weight": np.ones(12, f32), "bias": np.zeros(12, f32)},
    }
    narrow = {"weight": table.astype(np.float16)}
    if kind == "int8":
        narrow = dict(zip(("weight", "scale"), quantize_weight(table), strict=True))
    elif kind != "float16":
        narrow = {"weight": to_bfloat16(table, BFLOAT16 if kind == "bfloat16" else STORED_BFLOAT16)}
    narrow = {name: freeze(value) for name, value in narrow.items()}
    wide = {"weight": freeze(widen(narrow["weight"], narrow.get("scale")))}
    rows = np.array([[2, 3, 4]])
    want = ops.embed(ids, rows, w | {"word_embeddings": wide}, 1e-5)
    got = ops.embed(ids, rows, w | {"word_embeddings": narrow}, 1e-5)
    close(got, want, "primitive")
    np.testing.assert_array_equal(take_rows(narrow, ids), wide["weight"][ids])


def test_the_bits_of_bfloat16_are_a_view():
    array = to_bfloat16(f32([1]))
    assert np.may_share_memory(bits_of(array), array)
    assert bits_of(array).tolist() == [0x3F80]
