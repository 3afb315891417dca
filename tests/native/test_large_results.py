"""Products with more results than a cache holds: the same bits as those of a few rows at a time."""

import numpy as np
import pytest

from numpy_erniem.backend.frozen import freeze
from numpy_erniem.quantization.formula import quantize_weight
from numpy_erniem.quantization.numbers import BFLOAT16, STORED_BFLOAT16, to_bfloat16
from tests.conftest import native_is_built
from tests.native.conftest import float32_kernels, int8_kernels, kernels_of_16_bits

if native_is_built():
    from numpy_erniem.backend import native, packing, settings

M, K = 900, 70  # 1.8 MB of 512 results a row: kernels of AMX write them past the caches


KERNELS = [*(("int8", n) for n in int8_kernels()), *kernels_of_16_bits()]


@pytest.fixture(params=[*(("float32", n) for n in float32_kernels()), *KERNELS], ids="-".join)
def number(request):
    """Run a test once per kernel, with the name of its number type."""
    number, name = request.param
    if number == "float32":
        settings.choose_isa(name)
    else:
        settings.choose_kernel(number, name)
    yield number
    settings.choose_isa(settings.available_isas()[0])


@pytest.fixture
def x(rng):
    return rng.standard_normal((M, K), np.float32)


def layer(rng, n, number):
    weight, bias = (rng.standard_normal(shape, np.float32) for shape in ((n, K), n))
    w = {"weight": weight}
    if number == "int8":
        w = dict(zip(("weight", "scale"), quantize_weight(weight), strict=True))
    elif number == "float16":
        w = {"weight": weight.astype(np.float16)}
    elif number != "float32":
        dtype = BFLOAT16 if number == "bfloat16" else STORED_BFLOAT16
        w = {"weight": to_bfloat16(weight, dtype)}
    return {name: freeze(array.copy()) for name, array in (w | {"bias": bias}).items()}


@pytest.mark.parametrize("name", [None, "gelu"])
@pytest.mark.parametrize("n", [512, 520])
def test_rows_have_the_bits_of_a_few_rows_at_a_time(number, rng, x, threads, n, name):
    w = layer(rng, n, number)
    want = np.concatenate([native.linear(x[m : m + 100], w, name) for m in range(0, M, 100)])
    for count in (1, 2):
        threads(count)
        np.testing.assert_array_equal(native.linear(x, w, name), want)


def test_results_need_not_begin_at_a_cache_line(number, rng, x, kernels):
    w, place = layer(rng, 512, number), np.empty(M * 512 + 1, np.float32)[1:]
    _, _, pack, bias, *_ = packing.layer_arguments(w, native._linear_arguments)
    status = kernels.lib.erniem_linear(M, kernels.of(x), pack, bias, 0, 0, kernels.of(place))
    assert status == 0
    np.testing.assert_array_equal(place.reshape(M, 512), native.linear(x, w))
