"""Two linear maps with an activation between them: one call in bfloat16, the bits of two calls."""

import numpy as np
import pytest

from numpy_erniem import ops
from numpy_erniem.backend.dispatch import use_backend
from numpy_erniem.backend.frozen import freeze
from numpy_erniem.backend.unsupported import Unsupported
from numpy_erniem.quantization.numbers import BFLOAT16, STORED_BFLOAT16, to_bfloat16
from tests.conftest import native_is_built
from tests.native.conftest import kernels_of_16_bits

if native_is_built():
    from numpy_erniem.backend import native, settings

SIZES = [  # rows, K, F, N
    (1, 64, 96, 32),
    (5, 70, 33, 7),
    (40, 33, 100, 65),
    (131, 96, 256, 64),
    (700, 40, 1024, 24),  # so many results that AMX writes them past the caches
    (700, 40, 1030, 24),
]


@pytest.fixture(params=[n for kind, n in kernels_of_16_bits() if kind == "bfloat16"])
def kernel(request):
    """Run a test once per kernel of bfloat16."""
    settings.choose_kernel("bfloat16", request.param)
    yield request.param
    settings.choose_isa(settings.available_isas()[0])


def layer(rng, n, k, dtype=BFLOAT16):
    weight = to_bfloat16(rng.standard_normal((n, k), np.float32), dtype)
    return {"weight": freeze(weight), "bias": freeze(rng.standard_normal(n, np.float32))}


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_bits_are_those_of_two_calls(kernel, rng, threads, size):
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


def test_numbers_that_are_not_finite_stay_in_their_row(kernel, rng):
    first, second = layer(rng, 64, 32), layer(rng, 32, 64)
    x = rng.standard_normal((40, 32), np.float32)
    want = native.mlp(x, first, second, "gelu")
    x[7, 3] = np.nan
    found = native.mlp(x, first, second, "gelu")
    assert np.isnan(found[7]).all()
    others = np.arange(40) != 7
    np.testing.assert_array_equal(found[others], want[others])


@pytest.mark.parametrize("dtypes", [(BFLOAT16, STORED_BFLOAT16), (STORED_BFLOAT16, BFLOAT16)])
def test_other_weights_are_two_calls(rng, dtypes):
    first, second = layer(rng, 96, 64, dtypes[0]), layer(rng, 32, 96, dtypes[1])
    x = rng.standard_normal((5, 64), np.float32)
    want = native.linear(native.linear(x, first, "gelu"), second)
    np.testing.assert_array_equal(native.mlp(x, first, second, "gelu"), want)


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
