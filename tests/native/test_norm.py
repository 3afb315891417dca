"""Linear maps with the layer norm that follows: one call, the bits of two calls."""

import numpy as np
import pytest

from numpy_erniem import ops
from numpy_erniem.activations import ACTIVATIONS
from numpy_erniem.backend.frozen import freeze
from numpy_erniem.backend.unsupported import Unsupported
from numpy_erniem.quantization.formula import quantize_weight
from numpy_erniem.quantization.numbers import BFLOAT16, STORED_BFLOAT16, to_bfloat16
from tests.conftest import native_is_built
from tests.native.conftest import float32_kernels

if native_is_built():
    from numpy_erniem.backend import native, settings

# One row, few rows, a block of rows, several blocks, and one beside each.
ROWS = (1, 2, 5, 31, 32, 33, 140, 141, 280, 281, 700, 2000)
NUMBERS = ("float32", "int8", "bfloat16", "stored_bfloat16", "float16")
EPS = 1e-5


def layer(rng, n, k, number="float32"):
    weight, bias = rng.standard_normal((n, k), np.float32), rng.standard_normal(n, np.float32)
    w = {"weight": weight, "bias": bias}
    if number == "int8":
        w["weight"], w["scale"] = quantize_weight(weight)
    elif number == "float16":
        w["weight"] = weight.astype(np.float16)
    elif number != "float32":
        w["weight"] = to_bfloat16(
            weight, {"bfloat16": BFLOAT16, "stored_bfloat16": STORED_BFLOAT16}[number]
        )
    return {name: freeze(array) for name, array in w.items()}


def norm_weights(rng, n):
    return {name: rng.standard_normal(n, np.float32) for name in ("weight", "bias")}


def two_calls(x, w, norm, activation=None):
    return native.add_norm(native.linear(x, w, activation), *norm)


def same(got, want, name=""):
    assert not isinstance(got, Unsupported), got
    np.testing.assert_array_equal(got, want, err_msg=str(name))


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("n", [32, 384, 768, 1024])
def test_bits_are_those_of_two_calls(rng, threads, number, n):
    w, norm = layer(rng, n, 40, number), norm_weights(rng, n)
    x = rng.standard_normal((ROWS[-1], 40), np.float32)
    residual = rng.standard_normal((ROWS[-1], n), np.float32)
    threads(1)
    want = two_calls(x, w, (residual, norm, EPS))
    for count in (1, 2, 3):
        threads(count)
        for m in ROWS:
            got = native.linear(x[:m], w, norm=(residual[:m], norm, EPS))
            same(got, want[:m], (count, m))


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("n", [7, 64])
def test_bits_of_mlp_are_those_of_three_calls(rng, threads, number, n):
    first, second = layer(rng, 96, 40, number), layer(rng, n, 96, number)
    norm = norm_weights(rng, n)
    x = rng.standard_normal((700, 40), np.float32)
    residual = rng.standard_normal((700, n), np.float32)
    threads(1)
    want = two_calls(native.linear(x, first, "gelu"), second, (residual, norm, EPS))
    for count in (1, 2, 3):
        threads(count)
        for m in (1, 5, 33, 300, 700):
            got = native.mlp(x[:m], first, second, "gelu", (residual[:m], norm, EPS))
            same(got, want[:m], (count, m))


@pytest.mark.parametrize("number", ["float32", "int8", "bfloat16"])
def test_a_weight_larger_than_a_cache(rng, threads, number):
    """On AMX, rows are normed after the product, whose results were written past the caches."""
    w, norm = layer(rng, 1024, 3300, number), norm_weights(rng, 1024)
    x = rng.standard_normal((400, 3300), np.float32)
    residual = rng.standard_normal((400, 1024), np.float32)
    want = two_calls(x, w, (residual, norm, EPS))
    for count in (1, 2):
        threads(count)
        same(native.linear(x, w, norm=(residual, norm, EPS)), want, count)


@pytest.mark.parametrize("number", ["float32", "int8", "bfloat16"])
def test_on_every_instruction_set(isa, rng, threads, number):
    w, norm = layer(rng, 97, 70, number), norm_weights(rng, 97)
    x = rng.standard_normal((400, 70), np.float32)
    residual = rng.standard_normal((400, 97), np.float32)
    for kernel in settings.available_kernels(number):
        settings.choose_kernel(number, kernel)
        threads(1)
        want = two_calls(x, w, (residual, norm, EPS))
        for count in (1, 3):
            threads(count)
            for m in (1, 33, 400):
                got = native.linear(x[:m], w, norm=(residual[:m], norm, EPS))
                same(got, want[:m], (kernel, count, m))


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("number", ["float32", "int8", "bfloat16"])
def test_the_activation_comes_before_the_norm(rng, name, number):
    first, second = layer(rng, 64, 64, number), layer(rng, 64, 64, number)
    x = rng.standard_normal((2, 20, 64), np.float32)
    norm = x, norm_weights(rng, 64), EPS
    same(native.linear(x, first, name, norm), two_calls(x, first, norm, name))
    want = two_calls(native.linear(x, first, name), second, norm)
    same(native.mlp(x, first, second, name, norm), want)


@pytest.mark.parametrize("number", NUMBERS)
def test_without_a_residual(rng, number):
    w, norm = layer(rng, 33, 40, number), (None, norm_weights(rng, 33), EPS)
    x = rng.standard_normal((50, 40), np.float32)
    same(native.linear(x, w, norm=norm), two_calls(x, w, norm))
    again = layer(rng, 33, 33, number)
    want = two_calls(native.linear(x, w, "relu"), again, norm)
    same(native.mlp(x, w, again, "relu", norm), want)


def test_eps_is_the_one_given(rng):
    w, weights = layer(rng, 32, 40), norm_weights(rng, 32)
    x = rng.standard_normal((9, 40), np.float32)
    got = native.linear(x, w, norm=(None, weights, 3.0))
    same(got, two_calls(x, w, (None, weights, 3.0)))
    assert np.abs(got - native.linear(x, w, norm=(None, weights, EPS))).max() > 0.01


@pytest.mark.parametrize("m", [2, 33, 300])
def test_after_strassen_too(rng, strassen, m):
    w, norm = layer(rng, 96, 130), norm_weights(rng, 96)
    x = rng.standard_normal((m, 130), np.float32)
    residual = rng.standard_normal((m, 96), np.float32)
    classical = native.linear(x, w, norm=(residual, norm, EPS))
    assert strassen(2) == 0  # for every product
    got = native.linear(x, w, norm=(residual, norm, EPS))
    same(got, two_calls(x, w, (residual, norm, EPS)))
    assert (got != classical).any()


@pytest.mark.parametrize("number", ["float32", "int8", "bfloat16"])
def test_numbers_that_are_not_finite_stay_in_their_row(rng, number):
    w, norm = layer(rng, 64, 40, number), norm_weights(rng, 64)
    x = rng.standard_normal((40, 40), np.float32)
    residual = rng.standard_normal((40, 64), np.float32)
    want = native.linear(x, w, norm=(residual, norm, EPS))
    x[7, 3], residual[9, 5] = np.nan, np.inf
    got = native.linear(x, w, norm=(residual, norm, EPS))
    assert np.isnan(got[[7, 9]]).all()
    others = ~np.isin(np.arange(40), [7, 9])
    same(got[others], want[others])


def test_any_layout_of_the_residual(rng):
    w, norm = layer(rng, 32, 40), norm_weights(rng, 32)
    x, residual = rng.standard_normal((9, 40), np.float32), rng.standard_normal((32, 9), np.float32)
    want = two_calls(x, w, (residual.T.copy(), norm, EPS))
    same(native.linear(x, w, norm=(residual.T, norm, EPS)), want)


def test_another_kernel_packs_again(rng):
    w, norm = layer(rng, 32, 40), norm_weights(rng, 32)
    x = rng.standard_normal((9, 40), np.float32)
    try:
        for name in float32_kernels():
            settings.choose_isa(name)
            same(native.linear(x, w, norm=(None, norm, EPS)), two_calls(x, w, (None, norm, EPS)))
    finally:
        settings.choose_isa(settings.available_isas()[0])


@pytest.mark.parametrize("number", ["float32", "bfloat16"])
def test_what_the_kernels_do_not_take_is_left_to_the_dispatch(rng, close, number):
    first, second = layer(rng, 32, 40, number), layer(rng, 32, 32, number)
    weights, x = norm_weights(rng, 32), rng.standard_normal((6, 40), np.float32)
    residual = rng.standard_normal((6, 32), np.float32)
    wide = {name: array.astype(np.float64) for name, array in weights.items()}
    for norm in (
        (residual[:1], weights, EPS),
        (residual.astype(np.float64), weights, EPS),
        (residual, wide, EPS),
    ):
        assert type(native.linear(x, first, norm=norm)) is Unsupported
        assert type(native.mlp(x, first, second, "relu", norm)) is Unsupported
        want = ops.add_norm.body(native.linear(x, first), *norm)
        close(ops.linear(x, first, norm=norm), want, "primitive")
        want = ops.add_norm.body(native.mlp(x, first, second, "relu"), *norm)
        close(ops.mlp(x, first, second, "relu", norm), want, "primitive")
    for wrong in (norm_weights(rng, 31), norm_weights(rng, 33)):  # C would read beside them
        assert type(native.linear(x, first, norm=(residual, wrong, EPS))) is Unsupported
        assert type(native.mlp(x, first, second, "relu", (None, wrong, EPS))) is Unsupported
        with pytest.raises(ValueError, match="broadcast"):
            ops.linear(x, first, norm=(residual, wrong, EPS))
