"""Two linear maps with an activation between them: one call, the bits of two calls."""

import numpy as np
import pytest

from numpy_erniem import ops
from numpy_erniem.backend.dispatch import use_backend
from numpy_erniem.backend.frozen import freeze
from numpy_erniem.backend.independent_rows import independent_rows
from numpy_erniem.backend.unsupported import Unsupported
from numpy_erniem.quantization.numbers import BFLOAT16, to_bfloat16
from tests.conftest import native_is_built
from tests.native.conftest import float32_kernels, int8_kernels, isas, kernels_of_16_bits
from tests.native.test_norm import layer as any_layer
from tests.native.test_norm import norm_weights

if native_is_built():
    from numpy_erniem.backend import native, settings

SIZES = [  # rows, K, F, N
    (1, 64, 96, 32),
    (5, 70, 33, 7),
    (40, 33, 100, 65),
    (131, 96, 256, 64),
    (900, 40, 1024, 24),  # so many results that AMX writes them past the caches
    (700, 40, 1030, 24),
]


def layer(rng, n, k, dtype=BFLOAT16):
    weight = to_bfloat16(rng.standard_normal((n, k), np.float32), dtype)
    return {"weight": freeze(weight), "bias": freeze(rng.standard_normal(n, np.float32))}


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_bits_are_those_of_two_calls(bfloat16_kernel, rng, threads, size):
    m, k, f, n = size
    first, second = layer(rng, f, k), layer(rng, n, f)
    x = rng.standard_normal((m, k), np.float32)
    want = native.linear(native.linear(x, first, "gelu"), second)
    for count in (1, 2):
        threads(count)
        np.testing.assert_array_equal(native.mlp(x, first, second, "gelu"), want)


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu_new"])
def test_the_activation_is_the_one_asked_for(rng, name):
    first, second = layer(rng, 96, 64), layer(rng, 32, 96)
    x = rng.standard_normal((2, 3, 64), np.float32)
    want = native.linear(native.linear(x, first, name), second)
    np.testing.assert_array_equal(native.mlp(x, first, second, name), want)


def test_it_is_close_to_the_formula(rng):
    first, second = layer(rng, 96, 64), layer(rng, 32, 96)
    x = rng.standard_normal((20, 64), np.float32)
    with use_backend("numpy"):
        want = ops.mlp(x, first, second, "gelu")
    # A number of the wide array may be rounded to the neighbour of the formula's.
    np.testing.assert_allclose(native.mlp(x, first, second, "gelu"), want, rtol=0, atol=0.2)


def test_numbers_that_are_not_finite_stay_in_their_row(bfloat16_kernel, rng):
    first, second = layer(rng, 64, 32), layer(rng, 32, 64)
    x = rng.standard_normal((40, 32), np.float32)
    want = native.mlp(x, first, second, "gelu")
    x[7, 3] = np.nan
    found = native.mlp(x, first, second, "gelu")
    assert np.isnan(found[7]).all()
    others = np.arange(40) != 7
    np.testing.assert_array_equal(found[others], want[others])


@pytest.mark.parametrize(
    "numbers",
    [
        ("bfloat16", "stored_bfloat16"),
        ("stored_bfloat16", "bfloat16"),
        ("int8", "float32"),
        ("float32", "int8"),
    ],
)
def test_weights_of_two_number_types(rng, numbers):
    first, second = any_layer(rng, 96, 64, numbers[0]), any_layer(rng, 32, 96, numbers[1])
    x = rng.standard_normal((5, 64), np.float32)
    want = native.linear(native.linear(x, first, "gelu"), second)
    np.testing.assert_array_equal(native.mlp(x, first, second, "gelu"), want)


@pytest.mark.parametrize(
    "size",
    [
        (200, 40, 1600, 50),  # three parts of the wide array, the last one not whole
        (97, 800, 768, 33),  # two parts of a row of x, which is copied
        (130, 512, 30, 7),  # copied too; one part that is not whole
        (64, 33, 770, 1),
    ],
    ids=str,
)
def test_many_rows_of_float32_pass_both_maps_at_once(float32_kernel, rng, threads, size):
    """With 7 threads there are too few rows for that: the bits stay the same."""
    m, k, f, n = size
    first, second = any_layer(rng, f, k, "float32"), any_layer(rng, n, f, "float32")
    x = rng.standard_normal((m, k), np.float32)
    norm = rng.standard_normal((m, n), np.float32), norm_weights(rng, n), 1e-3
    plain = native.linear(native.linear(x, first, "gelu"), second)
    normed = ops.add_norm.body(plain, *norm)
    for count in (1, 2, 7):
        threads(count)
        np.testing.assert_array_equal(native.mlp(x, first, second, "gelu"), plain)
        found = native.mlp(x, first, second, "gelu", norm)
        np.testing.assert_allclose(found, normed, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(native.mlp(x[:5], first, second, "gelu"), plain[:5])


@pytest.mark.parametrize("kernel", [("int8", n) for n in int8_kernels()] + kernels_of_16_bits())
@pytest.mark.parametrize(
    "size", [(400, 40, 1600, 50), (161, 70, 4100, 33), (64, 33, 100, 1)], ids=str
)
def test_many_rows_of_other_number_types_pass_both_maps_at_once(rng, threads, kernel, size):
    m, k, f, n = size
    first, second = any_layer(rng, f, k, kernel[0]), any_layer(rng, n, f, kernel[0])
    x = rng.standard_normal((m, k), np.float32)
    norm = rng.standard_normal((m, n), np.float32), norm_weights(rng, n), 1e-3
    settings.choose_kernel(*kernel)
    try:
        plain = native.linear(native.linear(x, first, "gelu"), second)
        normed = native.add_norm(plain, *norm)
        for count in (1, 2, 7):
            threads(count)
            np.testing.assert_array_equal(native.mlp(x, first, second, "gelu"), plain)
            np.testing.assert_array_equal(native.mlp(x, first, second, "gelu", norm), normed)
        np.testing.assert_array_equal(native.mlp(x[:5], first, second, "gelu"), plain[:5])
    finally:
        settings.choose_isa(isas()[0])


def test_strassens_algorithm_is_used_unless_rows_are_independent(rng, strassen):
    first, second = any_layer(rng, 520, 520, "float32"), any_layer(rng, 516, 520, "float32")
    x = rng.standard_normal((200, 520), np.float32)
    without = native.mlp(x, first, second, "relu")
    strassen(native.lib.ERNIEM_STRASSEN_LARGE)
    want = native.linear(native.linear(x, first, "relu"), second)
    assert (want != without).any()
    np.testing.assert_array_equal(native.mlp(x, first, second, "relu"), want)
    with independent_rows():
        np.testing.assert_array_equal(native.mlp(x, first, second, "relu"), without)


@pytest.mark.skipif(len(float32_kernels()) < 2, reason="one kernel of float32 alone")
def test_weights_are_packed_again_for_another_kernel(rng):
    first, second = any_layer(rng, 96, 64, "float32"), any_layer(rng, 32, 96, "float32")
    x = rng.standard_normal((200, 64), np.float32)  # enough for both maps in one pass
    names = float32_kernels()
    try:
        for name in (*names, names[0], names[-1]):
            settings.choose_isa(name)
            found = native.mlp(x, first, second, "relu")
            want = native.linear(native.linear(x, first, "relu"), second)
            np.testing.assert_array_equal(found, want)
    finally:
        settings.choose_isa(isas()[0])


def test_what_the_kernel_does_not_take_is_left_to_numpy(rng):
    first, second = layer(rng, 96, 64), layer(rng, 32, 96)
    x = rng.standard_normal((5, 64), np.float32)
    for arguments in (
        (x.astype(np.float64), first, second, "gelu"),
        (x, second, second, "gelu"),
        (x, first, first, "gelu"),
        (x[:, :60], first, second, "gelu"),
        (x[:0], first, second, "gelu"),
        (x, first, second, "an unknown one"),
    ):
        assert type(native.mlp(*arguments)) is Unsupported
