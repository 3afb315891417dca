"""Products with int8 weights: every kernel beside the NumPy formula, bit for bit."""

import gc
import weakref

import numpy as np
import pytest

from numpy_erniem import ops
from numpy_erniem.activations import ACTIVATIONS
from numpy_erniem.backend.frozen import freeze
from numpy_erniem.backend.unsupported import Unsupported
from numpy_erniem.quantization.formula import int8_linear, quantize_weight
from tests.conftest import native_is_built
from tests.native.conftest import COLUMNS, ROWS

if native_is_built():
    from numpy_erniem.backend import native, packing, settings
    from numpy_erniem.backend.native import ffi, lib

# One beside the numbers that a unit, a step and the vectors of a row hold, and longer rows.
DEPTHS = (1, 2, 3, 4, 5, 15, 17, 31, 63, 64, 65, 127, 129, 257, 768, 1543)


def layer(rng, n, k):
    weight, scale = quantize_weight(rng.standard_normal((n, k), np.float32))
    return {"weight": weight, "scale": scale, "bias": rng.standard_normal(n, np.float32)}


def frozen(w):
    return {name: freeze(array.copy()) for name, array in w.items()}


def formula(x, w):
    return int8_linear(x, w["weight"], w["scale"], w["bias"])


def same(got, want, name=""):
    assert not isinstance(got, Unsupported), got
    np.testing.assert_array_equal(got, want, err_msg=str(name))


@pytest.mark.parametrize("k", DEPTHS)
def test_every_depth_and_width(int8_kernel, rng, k):
    x = rng.standard_normal((5, k), np.float32)
    for n in COLUMNS:
        w = layer(rng, n, k)
        same(native.linear(x, w), formula(x, w), (n, k))


def test_every_number_of_rows(int8_kernel, rng):
    w = layer(rng, 65, 130)
    x = rng.standard_normal((1000, 130), np.float32)
    want = formula(x, w)
    for m in (*range(1, 40), *ROWS, 280, 281, 1000):
        same(native.linear(x[:m], w), want[:m], m)


@pytest.mark.parametrize("weight", [-127, 127])
@pytest.mark.parametrize("k", [2, 64, 3072])
def test_the_largest_sums_are_exact(int8_kernel, k, weight):
    """All inputs 255 or 0, all weights at the end of their range: where 16 bits would overflow."""
    w = {
        "weight": np.full((33, k), weight, np.int8),
        "scale": np.ones(33, np.float32),
        "bias": np.zeros(33, np.float32),
    }
    w["weight"][1::2, 1::2] *= -1
    for low, high in ((0, 255), (-255, 0), (-255, 255), (-1, 254)):
        x = np.full((17, k), high, np.float32)
        x[1] = low
        x[2, ::2] = low
        x[3, : k // 2] = low
        same(native.linear(x, w), formula(x, w), (low, high))


def test_the_longest_rows(int8_kernel):
    k = lib.ERNIEM_MOST_INT8
    w = {
        "weight": np.full((2, k), 127, np.int8),
        "scale": np.ones(2, np.float32),
        "bias": np.zeros(2, np.float32),
    }
    x = np.ones((3, k), np.float32)
    x[1] = -1
    x[2, 0] = -1
    same(native.linear(x, w), formula(x, w))
    longer = {**w, "weight": np.zeros((2, k + 1), np.int8)}
    assert "too long" in native.linear(np.ones((1, k + 1), np.float32), longer)


def test_rows_and_channels_of_zeros_give_exactly_the_bias(int8_kernel, rng):
    w, x = layer(rng, 40, 70), rng.standard_normal((9, 70), np.float32)
    x[4] = 0
    x[5] = -0.0
    x[6] = np.float32(1e-38)  # a step below the smallest normal number
    w["weight"][7] = 0
    got = native.linear(x, w)
    same(got, formula(x, w))
    for row in (4, 5, 6):
        np.testing.assert_array_equal(got[row], w["bias"])
    np.testing.assert_array_equal(got[:, 7], np.full(9, w["bias"][7]))


def test_rows_that_are_not_finite_are_nan_and_change_no_other(int8_kernel, rng):
    w = layer(rng, 40, 70)
    for at in (0, 1, 15, 16, 63, 64, 69):
        x = rng.standard_normal((9, 70), np.float32)
        x[1, at], x[3, at], x[5, at] = np.nan, np.inf, -np.inf
        x[7, at], x[7, (at + 1) % 70] = 3e38, -3e38  # they span more than float32 holds
        got = native.linear(x, w)
        same(got, formula(x, w), at)
        assert np.isnan(got[1::2]).all()
        assert np.isfinite(got[::2]).all()


@pytest.mark.parametrize("size", [1e-37, 1e-30, 1e-3, 1e3, 1e30, 1e36])
def test_numbers_of_every_size(int8_kernel, rng, size):
    x = rng.standard_normal((20, 100), np.float32) * np.float32(size)
    x[3] = np.abs(x[3])
    x[4] = -np.abs(x[4])
    x[5] *= np.float32(1e-3)
    w = layer(rng, 33, 100)
    with np.errstate(over="ignore"):
        same(native.linear(x, w), formula(x, w))


def test_ties_are_rounded_to_even(int8_kernel, rng):
    """Steps of exactly 1, and inputs that lie half-way between two of them."""
    x = rng.integers(-100, 155, (50, 66)).astype(np.float32) + np.float32(0.5)
    x[:, 0], x[:, 1] = -100, 155
    w = layer(rng, 32, 66)
    same(native.linear(x, w), formula(x, w))


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_every_activation(int8_kernel, rng, close, name):
    w, x = layer(rng, 45, 64), rng.standard_normal((33, 64), np.float32)
    got = native.linear(x, w, name)
    close(got, ops.linear.body(x, w, name), "primitive", name)
    if name in ("linear", "relu", "relu6"):
        same(got, ops.linear.body(x, w, name))


@pytest.mark.parametrize("shape", [(6,), (2, 6), (2, 3, 6), (2, 1, 3, 6)])
def test_any_number_of_axes(rng, shape):
    w, x = layer(rng, 5, 6), rng.standard_normal(shape, np.float32)
    same(native.linear(x, w), ops.linear.body(x, w))


def test_any_layout(rng):
    w, x = layer(rng, 12, 10), rng.standard_normal((7, 10), np.float32)
    want = formula(x, w)
    for array in (np.repeat(x, 2, axis=1)[:, ::2], np.asfortranarray(x), x[::-1].copy()[::-1]):
        same(native.linear(array, w), want)
    for name, array in w.items():
        step = np.repeat(array, 2, axis=-1)[..., ::2]
        same(native.linear(x, {**w, name: step}), want, name)
        shifted = np.frombuffer(b"\0" + array.tobytes(), array.dtype, array.size, 1)
        same(native.linear(x, {**w, name: shifted.reshape(array.shape)}), want, name)


@pytest.mark.parametrize("k", [64, 300])
@pytest.mark.parametrize("m", [1, 8, 33, 150, 600])
def test_threads_and_several_weights_change_no_bit(int8_kernel, rng, threads, m, k):
    x, ws = rng.standard_normal((m, k), np.float32), [layer(rng, 97, k) for _ in "qkv"]
    want = [formula(x, w) for w in ws]
    for count in (1, 2, 3):
        threads(count)
        for got, right in zip(native.linears(x, ws), want, strict=True):
            same(got, right, count)


def test_a_row_has_the_same_bits_in_any_batch(int8_kernel, rng):
    w, x = layer(rng, 512, 512), rng.standard_normal((200, 512), np.float32)
    all_rows = native.linear(x, w, "gelu")
    for part in (slice(0, 1), slice(7, 20), slice(100, 200)):
        same(native.linear(x[part], w, "gelu"), all_rows[part])


def test_every_kernel_reads_the_same_pack(rng):
    w, x = frozen(layer(rng, 70, 130)), rng.standard_normal((40, 130), np.float32)
    want, isas = formula(x, w), settings.available_isas()
    same(native.linear(x, w), want)
    pack = w["weight"].base.kept.panels[1]
    try:
        for isa in isas:
            settings.choose_isa(isa)
            for name in settings.available_kernels("int8"):
                settings.choose_kernel("int8", name)
                chosen = settings.kernels()
                assert (chosen["float32"], chosen["int8"]) == (isa, name)
                same(native.linear(x, w), want, (isa, name))
    finally:
        settings.choose_isa(isas[0])
    assert w["weight"].base.kept.panels[1] is pack


def test_a_kernel_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"no int8 kernel 'altivec' here; there are .*generic"):
        settings.choose_kernel("int8", "altivec")
    assert lib.erniem_kernel(99) == lib.erniem_kernel(-1) == ffi.NULL
    assert lib.erniem_available_kernel(99, 0) == ffi.NULL
    assert lib.erniem_choose_kernel(99, b"generic") == -1


def test_a_frozen_layer_is_packed_once_for_its_scale(rng, monkeypatch):
    count, pack = [], packing.pack
    monkeypatch.setattr(packing, "pack", lambda *w: count.append(w) or pack(*w))
    w, x = frozen(layer(rng, 20, 30)), rng.standard_normal((4, 30), np.float32)
    for _ in range(3):
        native.linear(x, w)
        native.linears(x, [w])
    assert len(count) == 1
    w["scale"] = freeze(2 * w["scale"])
    for _ in range(2):
        same(native.linear(x, w), formula(x, w))
    assert len(count) == 2
    w["scale"] = w["scale"].copy()  # it may change, and does
    for factor in (1, 2):
        w["scale"] *= factor
        same(native.linear(x, w), formula(x, w))
    assert len(count) == 4


def test_a_pack_dies_with_its_weight(rng):
    w, x = frozen(layer(rng, 20, 30)), rng.standard_normal((4, 30), np.float32)
    native.linear(x, w)
    pack = weakref.ref(w["weight"].base.kept.panels[1])
    del w
    gc.collect()
    assert pack() is None


def test_weights_of_different_number_types_at_once(rng, close):
    x, w = rng.standard_normal((5, 30), np.float32), layer(rng, 20, 30)
    plain = {"weight": rng.standard_normal((20, 30), np.float32), "bias": w["bias"]}
    got = native.linears(x, [w, plain, w])
    same(got[0], formula(x, w))
    same(got[2], formula(x, w))
    close(got[1], ops.linear.body(x, plain), "primitive")


def test_what_is_unsupported(rng):
    w, x = layer(rng, 3, 4), rng.standard_normal((2, 4), np.float32)
    unsupported = [
        (x.astype(np.float64), {}),
        (x, {"scale": w["scale"].astype(np.float64)}),
        (x, {"scale": w["scale"][:2]}),
        (x, {"scale": np.ones((3, 2), np.float32)}),
        (x, {"bias": w["bias"][:2]}),
        (x, {"weight": np.full((3, 4), -128, np.int8)}),
        (x, {"weight": w["weight"].view(np.uint8)}),
        (x[:, :3], {}),
        (x[:0], {}),
    ]
    for array, change in unsupported:
        assert isinstance(native.linear(array, {**w, **change}), Unsupported)
        assert isinstance(native.linears(array, 2 * [{**w, **change}]), Unsupported)


def test_the_reference_in_c_is_the_formula(rng):
    w, x = layer(rng, 9, 70), rng.standard_normal((6, 70), np.float32)
    x[1], x[2, 3], x[3, 4], x[4] = 0, np.nan, np.inf, 1e-39
    y = np.full((6, 9), np.nan, np.float32)
    floats = {name: ffi.from_buffer("float[]", w[name]) for name in ("scale", "bias")}
    status = lib.erniem_linear_int8_reference(
        *(6, 9, 70, ffi.from_buffer("float[]", x), ffi.from_buffer("int8_t[]", w["weight"])),
        *(floats["scale"], floats["bias"], 0, ffi.from_buffer("float[]", y)),
    )
    assert status == 0
    same(y, formula(x, w))


def test_multiply_adds_are_counted():
    assert lib.erniem_multiply_add_narrow(lib.ERNIEM_INT8, 1) > 0
    assert lib.erniem_multiply_add_narrow(99, 1) == 0
