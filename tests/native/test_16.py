"""Products with weights of 16 bits: every kernel beside the NumPy formula."""

import gc
import multiprocessing
import sys
import weakref

import numpy as np
import pytest

from numpy_erniem import ops
from numpy_erniem.activations import ACTIVATIONS
from numpy_erniem.backend.frozen import freeze
from numpy_erniem.backend.unsupported import Unsupported
from numpy_erniem.quantization.numbers import BFLOAT16, STORED_BFLOAT16, to_bfloat16, widen
from tests.conftest import native_is_built
from tests.native.conftest import COLUMNS, ROWS

if native_is_built():
    from numpy_erniem.backend import native, settings

DTYPES = {"bfloat16": BFLOAT16, "stored_bfloat16": STORED_BFLOAT16, "float16": np.dtype("f2")}
# One beside the numbers that a unit, a step and the vectors of a row hold, and longer rows.
DEPTHS = (1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 65, 257, 767, 769, 1543)


def narrow(weight, number):
    dtype = DTYPES[number]
    return weight.astype(dtype) if number == "float16" else to_bfloat16(weight, dtype)


def layer(rng, n, k, number):
    weight = rng.standard_normal((n, k), np.float32)
    return {"weight": narrow(weight, number), "bias": rng.standard_normal(n, np.float32)}


def frozen(w):
    return {name: freeze(array.copy()) for name, array in w.items()}


def check(got, x, w):
    """Compare with exact sums; the room is 1e-6 of the sum of the magnitudes."""
    assert not isinstance(got, Unsupported), got
    rounded = widen(to_bfloat16(x)) if w["weight"].dtype == BFLOAT16 else x
    left, right = rounded.astype(np.float64), widen(w["weight"]).astype(np.float64)
    room = np.abs(left) @ np.abs(right).T + np.abs(w["bias"])
    assert got.dtype == np.float32
    assert got.shape == (len(x), len(w["bias"]))
    assert (np.abs(got - (left @ right.T + w["bias"])) <= 1e-6 * room).all()


@pytest.mark.parametrize("k", DEPTHS)
def test_every_depth_and_width(kernel_16, rng, k):
    x = rng.standard_normal((5, k), np.float32)
    for n in COLUMNS:
        w = layer(rng, n, k, kernel_16[0])
        check(native.linear(x, w), x, w)


def test_every_number_of_rows(kernel_16, rng):
    w = layer(rng, 65, 130, kernel_16[0])
    x = rng.standard_normal((1000, 130), np.float32)
    for m in (*range(1, 40), *ROWS, 280, 281, 1000):
        check(native.linear(x[:m], w), x[:m], w)


def test_the_formula_in_numpy_is_as_close(rng):
    for number in DTYPES:
        w, x = layer(rng, 33, 257, number), rng.standard_normal((9, 257), np.float32)
        check(ops.linear.body(x, w), x, w)


def test_a_widened_weight_has_the_bits_of_float32(isa, rng):
    """Where the weight alone has 16 bits, also in another instruction set, and block by block."""
    for number in ("stored_bfloat16", "float16"):
        for m, n, k in ((1, 33, 64), (40, 70, 768), (150, 97, 1543)):
            w, x = layer(rng, n, k, number), rng.standard_normal((m, k), np.float32)
            want = native.linear(x, {**w, "weight": widen(w["weight"])}, "gelu")
            np.testing.assert_array_equal(native.linear(x, w, "gelu"), want)


def test_inputs_are_rounded_to_even(kernel_16):
    """1 + 2^-8 lies half-way between two numbers of bfloat16, and so does 1 + 3 · 2^-8."""
    w = {
        "weight": narrow(np.ones((1, 1), np.float32), kernel_16[0]),
        "bias": np.zeros(1, np.float32),
    }
    x = np.array([[1 + 2**-8], [1 + 3 * 2**-8], [-1 - 2**-8], [1 + 2**-8 + 2**-20]], np.float32)
    rounded = np.float32([[1], [1 + 2**-6], [-1], [1 + 2**-7]])
    want = rounded if kernel_16[0] == "bfloat16" else x
    np.testing.assert_array_equal(native.linear(x, w), want)


def test_what_is_not_finite_stays_in_its_row_and_column(kernel_16, rng):
    w, x = layer(rng, 40, 70, kernel_16[0]), rng.standard_normal((9, 70), np.float32)
    w["bias"][:] = 0
    x[1, 3], x[3, 69], x[5, 0] = np.nan, np.inf, -np.inf
    got, want = native.linear(x, w), ops.linear.body(x, w)
    assert np.isnan(got[1]).all()
    np.testing.assert_array_equal(np.isinf(got), np.isinf(want))
    np.testing.assert_array_equal(np.sign(got[3::2][:2]), np.sign(want[3::2][:2]))
    assert np.isfinite(got[::2]).all()

    wide = widen(w["weight"]).copy()
    wide[7, 5], wide[33, 0] = np.inf, np.nan
    w["weight"] = narrow(wide, kernel_16[0])
    got = native.linear(x[::2], w)
    assert np.isinf(got[:, 7]).all()
    assert np.isnan(got[:, 33]).all()
    assert np.isfinite(np.delete(got, (7, 33), axis=1)).all()


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_every_activation(kernel_16, rng, close, name):
    w, x = layer(rng, 45, 64, kernel_16[0]), rng.standard_normal((33, 64), np.float32) / 4
    close(native.linear(x, w, name), ops.linear.body(x, w, name), "primitive", name)


@pytest.mark.parametrize("number", DTYPES)
@pytest.mark.parametrize("shape", [(6,), (2, 6), (2, 3, 6), (2, 1, 3, 6)])
def test_any_number_of_axes(rng, close, number, shape):
    w, x = layer(rng, 5, 6, number), rng.standard_normal(shape, np.float32)
    close(native.linear(x, w), ops.linear.body(x, w), "primitive")


@pytest.mark.parametrize("number", DTYPES)
def test_any_layout(rng, number):
    w, x = layer(rng, 12, 10, number), rng.standard_normal((7, 10), np.float32)
    want = native.linear(x, w)
    for array in (np.repeat(x, 2, axis=1)[:, ::2], np.asfortranarray(x), x[::-1].copy()[::-1]):
        np.testing.assert_array_equal(native.linear(array, w), want)
    step = np.repeat(w["weight"], 2, axis=-1)[:, ::2]
    np.testing.assert_array_equal(native.linear(x, {**w, "weight": step}), want)
    odd = np.frombuffer(b"\0" + w["weight"].tobytes(), w["weight"].dtype, w["weight"].size, 1)
    np.testing.assert_array_equal(native.linear(x, {**w, "weight": odd.reshape(12, 10)}), want)


@pytest.mark.parametrize("k", [64, 300])
@pytest.mark.parametrize("m", [1, 8, 33, 150, 600])
def test_threads_and_several_weights_change_no_bit(kernel_16, rng, threads, m, k):
    x = rng.standard_normal((m, k), np.float32)
    ws = [layer(rng, 97, k, kernel_16[0]) for _ in "qkv"]
    want = [native.linear(x, w) for w in ws]
    for count in (1, 2, 3):
        threads(count)
        for got, right in zip(native.linears(x, ws), want, strict=True):
            np.testing.assert_array_equal(got, right, err_msg=str(count))


def test_a_row_has_the_same_bits_in_any_batch(kernel_16, rng):
    w, x = layer(rng, 512, 512, kernel_16[0]), rng.standard_normal((200, 512), np.float32)
    all_rows = native.linear(x, w, "gelu")
    for part in (slice(0, 1), slice(7, 20), slice(100, 200)):
        np.testing.assert_array_equal(native.linear(x[part], w, "gelu"), all_rows[part])


@pytest.mark.parametrize("number", DTYPES)
def test_every_kernel_reads_the_same_pack(rng, number):
    w, x = frozen(layer(rng, 70, 130, number)), rng.standard_normal((40, 130), np.float32)
    isas = settings.available_isas()
    check(native.linear(x, w), x, w)
    pack = w["weight"].base.kept.panels[1]
    try:
        for isa in isas:
            settings.choose_isa(isa)
            for name in settings.available_kernels(number):
                settings.choose_kernel(number, name)
                assert settings.kernels()[number] == name
                check(native.linear(x, w), x, w)
    finally:
        settings.choose_isa(isas[0])
    assert w["weight"].base.kept.panels[1] is pack


@pytest.mark.parametrize("number", DTYPES)
def test_a_pack_takes_half_of_float32_and_dies_with_its_weight(rng, number):
    w, x = frozen(layer(rng, 64, 64, number)), rng.standard_normal((4, 64), np.float32)
    native.linear(x, w)
    pack = weakref.ref(w["weight"].base.kept.panels[1])
    del w
    gc.collect()
    assert pack() is None


def test_weights_of_different_number_types_at_once(rng):
    x = rng.standard_normal((5, 30), np.float32)
    ws = [layer(rng, 20, 30, number) for number in DTYPES]
    for got, w in zip(native.linears(x, ws), ws, strict=True):
        check(got, x, w)


def test_both_kinds_of_bfloat16_differ(rng):
    """The same bits in a file mean another arithmetic: only one of them rounds its inputs."""
    w, x = layer(rng, 30, 64, "bfloat16"), rng.standard_normal((4, 64), np.float32)
    stored = {**w, "weight": w["weight"].view(STORED_BFLOAT16)}
    rounded = native.linear(x, w)
    assert not np.array_equal(rounded, native.linear(x, stored))
    check(native.linear(widen(to_bfloat16(x)), stored), x, w)


@pytest.mark.parametrize("number", DTYPES)
def test_what_is_unsupported(rng, number):
    w, x = layer(rng, 3, 4, number), rng.standard_normal((2, 4), np.float32)
    unsupported = [
        (x.astype(np.float64), {}),
        (x, {"bias": w["bias"][:2]}),
        (x, {"bias": w["bias"].astype(np.float64)}),
        (x[:, :3], {}),
        (x[:0], {}),
    ]
    for array, change in unsupported:
        assert isinstance(native.linear(array, {**w, **change}), Unsupported)


def _product_of_a_child(x, w, results):
    results.put(native.linear(x, w))


@pytest.mark.skipif(sys.platform != "linux", reason="fork")
def test_the_child_of_a_fork(kernel_16, rng, threads):
    threads(2)
    w, x = layer(rng, 97, 130, kernel_16[0]), rng.standard_normal((100, 130), np.float32)
    want, fork = native.linear(x, w), multiprocessing.get_context("fork")
    results = fork.Queue()
    child = fork.Process(target=_product_of_a_child, args=(x, w, results))
    child.start()
    np.testing.assert_array_equal(results.get(timeout=60), want)
    child.join(60)
    assert child.exitcode == 0
