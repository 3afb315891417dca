"""act(x Wᵀ + b): the packed kernel beside the triple loop, then the native kernel beside NumPy."""

import numpy as np
import pytest

from numpy_erniem import ops
from numpy_erniem.activations import ACTIVATIONS
from numpy_erniem.backend.unsupported import Unsupported
from tests.native.conftest import COLUMNS, DEPTHS, ROWS, float32_kernels

GELU = 1


def both(kernels, unset, x, w, bias, activation=0):
    """Result of the kernel, and of the loops it must equal."""
    lib, of = kernels.lib, kernels.of
    (m, k), n = x.shape, len(w)
    got, want = unset(m, n), unset(m, n)
    shift = kernels.null if bias is None else of(bias)
    assert lib.erniem_linear(m, of(x), kernels.pack(w), shift, activation, 0, of(got)) == 0
    assert lib.erniem_linear_reference(m, n, k, of(x), of(w), shift, activation, of(want)) == 0
    return got, want


def operands(rng, m, n, k):
    scale = 1 / np.sqrt(max(1, k))
    return (
        rng.standard_normal((m, k), np.float32),
        rng.standard_normal((n, k), np.float32) * np.float32(scale),
        rng.standard_normal(n, np.float32),
    )


@pytest.mark.parametrize("k", DEPTHS)
def test_every_depth_and_width(float32_kernel, kernels, unset, rng, close, k):
    for n in COLUMNS:
        close(*both(kernels, unset, *operands(rng, 5, n, k), GELU), "primitive", f"(5, {n}, {k})")


@pytest.mark.parametrize("n", [31, 64])
def test_every_number_of_rows(float32_kernel, kernels, unset, rng, close, n):
    for m in (*range(1, 31), *ROWS):
        close(*both(kernels, unset, *operands(rng, m, n, 37)), "primitive", f"({m}, {n}, 37)")


@pytest.mark.parametrize("m", [1, 20, 150])
@pytest.mark.parametrize("k", [48, 512, 800])
def test_several_weights_at_once_give_what_each_gives_alone(float32_kernel, rng, threads, m, k):
    from numpy_erniem.backend import native

    x = rng.standard_normal((m, k), np.float32)
    ws = [dict(zip(("weight", "bias"), operands(rng, 1, 97, k)[1:], strict=True)) for _ in "qkv"]
    want = [native.linear(x, w) for w in ws]
    for count in (1, 2, 3):
        threads(count)
        got = native.linears(x, ws)
        assert len(got) == 3
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)


def test_several_weights_of_different_shapes_are_unsupported(rng):
    from numpy_erniem.backend import native

    x = rng.standard_normal((2, 8), np.float32)
    ws = [{"weight": np.ones((n, 8), np.float32), "bias": np.ones(n, np.float32)} for n in (4, 5)]
    assert isinstance(native.linears(x, ws), Unsupported)
    assert [y.shape for y in ops.linears(x, ws)] == [(2, 4), (2, 5)]
    assert isinstance(native.linears(x.astype(np.float64), ws), Unsupported)
    longer = {"weight": np.ones((4, 9), np.float32), "bias": np.ones(4, np.float32)}
    assert isinstance(native.linears(x, [ws[0], longer]), Unsupported)
    assert isinstance(native.linears(x[:, :7], ws[:1]), Unsupported)
    assert isinstance(native.linears(x[:0], ws[:1]), Unsupported)
    assert isinstance(native.linears(x, []), Unsupported)
    assert ops.linears(x, []) == []


def test_sizes_of_nothing(float32_kernel, kernels, unset, rng, close):
    for m, n, k in ((0, 3, 4), (3, 0, 4), (0, 0, 0), (3, 4, 0)):
        close(*both(kernels, unset, *operands(rng, m, n, k)), "primitive", f"({m}, {n}, {k})")


@pytest.mark.parametrize("which", ["ERNIEM_STRASSEN_OFF", "ERNIEM_STRASSEN_ALWAYS"])
def test_the_bias_may_be_left_out(float32_kernel, kernels, unset, rng, close, strassen, which):
    strassen(getattr(kernels.lib, which))
    x, w, bias = operands(rng, 34, 66, 900)
    without, want = both(kernels, unset, x, w, None)
    close(without, want, "primitive")
    assert np.abs(without - both(kernels, unset, x, w, bias)[0]).max() > 0.1


def test_impossible_sizes_are_refused_before_anything_is_touched(kernels):
    lib, null, bad = kernels.lib, kernels.null, kernels.lib.ERNIEM_BAD_SIZE
    packed = kernels.pack(np.ones((3, 4), np.float32))
    for m in (-1, 1 << 40, 1 << 62):
        assert lib.erniem_linear(m, null, packed, null, 0, 0, null) == bad
    for n, k in ((-1, 1), (1, -1), (1 << 62, 1 << 62), (1 << 40, 1)):
        assert kernels.no_pack(n, k) == (bad, False)
    for activation in (-1, 14):
        assert lib.erniem_linear(1, null, packed, null, activation, 0, null) == bad
    for count in (0, -1, 1 << 62):
        assert lib.erniem_linears(count, 1, null, [packed], [null], 0, 0, [null]) == bad


def test_weights_of_different_shapes_are_refused(kernels):
    lib, null = kernels.lib, kernels.null
    shapes = ((3, 4), (5, 4), (3, 5))
    first, *others = (kernels.pack(np.ones(shape, np.float32)) for shape in shapes)
    for other in others:
        status = lib.erniem_linears(2, 1, null, [first, other], 2 * [null], 0, 0, 2 * [null])
        assert status == lib.ERNIEM_BAD_SIZE


@pytest.mark.skipif(len(float32_kernels()) < 2, reason="one kernel of float32 alone")
def test_a_pack_for_another_kernel_is_refused(kernels, unset, rng):
    from numpy_erniem.backend import settings

    x, w, bias = operands(rng, 5, 40, 70)
    lib, of, y = kernels.lib, kernels.of, unset(5, 40)
    packs = []
    try:
        for name in float32_kernels():
            settings.choose_isa(name)
            packs.append(kernels.pack(w))
            for other in packs[:-1]:
                status = lib.erniem_linear(5, of(x), other, of(bias), 0, 0, of(y))
                assert status == lib.ERNIEM_WRONG_ISA
                several = [packs[-1], other], 2 * [of(bias)], 0, 0, 2 * [of(y)]
                assert lib.erniem_linears(2, 5, of(x), *several) == lib.ERNIEM_WRONG_ISA
            assert np.isnan(y).all()
    finally:
        settings.choose_isa(settings.available_isas()[0])


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_every_activation_equals_the_formula(float32_kernel, rng, close, name):
    from numpy_erniem.backend import native

    x, w, bias = operands(rng, 9, 45, 64)
    weights = {"weight": w, "bias": bias}
    close(native.linear(x, weights, name), ops.linear.body(x, weights, name), "primitive", name)


def test_infinity_and_nan_go_where_numpy_lets_them_go(float32_kernel, rng):
    from numpy_erniem.backend import native

    x, w, bias = operands(rng, 20, 40, 70)
    least_nan = np.uint32(0x7F800001).view(np.float32)  # its first 16 bits are those of infinity
    x[3, 5], x[7, 0], x[11, 69], x[13, 1] = np.nan, np.inf, -np.inf, least_nan
    w[2, 9], w[4, 1], bias[38] = np.inf, least_nan, np.nan
    w[6], x[9] = 1, 2  # with fewer digits than a number may have
    with np.errstate(invalid="ignore"):
        want = ops.linear.body(x, {"weight": w, "bias": bias})
    got = native.linear(x, {"weight": w, "bias": bias})
    finite = np.isfinite(want)
    np.testing.assert_array_equal(np.isfinite(got), finite)
    np.testing.assert_array_equal(got[~finite], want[~finite])


@pytest.mark.parametrize(("m", "n", "k"), [(200, 70, 1543), (7, 40, 3072)])
def test_sums_are_as_near_as_float32_allows(float32_kernel, rng, m, n, k):
    from numpy_erniem.backend import native

    x, w, bias = operands(rng, m, n, k)
    exact = x.astype(np.float64) @ w.T.astype(np.float64) + bias
    size = np.abs(x).astype(np.float64) @ np.abs(w).T.astype(np.float64)
    error = native.linear(x, {"weight": w, "bias": bias}) - exact
    assert np.sqrt(np.mean(error**2)) < 1.2e-7 * np.sqrt(np.mean(size**2))  # 2^-23


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e15])
def test_every_digit_of_a_number_counts(float32_kernel, scale):
    """Each row has one number, and the product with a power of 2 is exact."""
    from numpy_erniem.backend import native

    numbers = np.float32([1, 1 / 3, -2 / 3, 1.0000001, 16777215, 0.1, -1e-3]) * np.float32(scale)
    diagonal, half = np.diag(numbers), np.eye(7, dtype=np.float32) / 2
    for x, weight in ((diagonal, half), (half, diagonal)):
        y = native.linear(x, {"weight": weight, "bias": np.zeros(7, np.float32)})
        np.testing.assert_array_equal(y, diagonal / 2)


@pytest.mark.parametrize("power", [-103, -104, -112, -120, -126])
def test_a_small_number_loses_less_than_two_to_the_minus_125(float32_kernel, power):
    """By AMX, where thirds below 2^-126 count as 0; down to 2^-103 it loses nothing."""
    from numpy_erniem.backend import native

    x = np.diag(np.float32([1, 4 / 3, -1.7, 1.0000001]) * np.float32(2.0**power))
    y = native.linear(x, {"weight": np.eye(4, dtype=np.float32), "bias": np.zeros(4, np.float32)})
    may_lose = float32_kernel == "amx" and power < -103
    assert np.abs(y.astype(np.float64) - x).max() <= (2.0**-125 if may_lose else 0)


def test_denormal_numbers_are_kept(isa):
    from numpy_erniem.backend import native

    tiny = np.float32(1e-40)
    w = {"weight": np.eye(33, dtype=np.float32), "bias": np.zeros(33, np.float32)}
    x = np.full((15, 33), tiny)
    np.testing.assert_array_equal(native.linear(x, w), x)


@pytest.mark.parametrize("shape", [(6,), (2, 6), (2, 3, 6), (2, 1, 3, 6)])
def test_any_number_of_axes(rng, close, shape):
    from numpy_erniem.backend import native

    x = rng.standard_normal(shape, np.float32)
    _, w, bias = operands(rng, 1, 5, 6)
    weights = {"weight": w, "bias": bias}
    close(native.linear(x, weights), ops.linear.body(x, weights), "primitive")


def layouts(x):
    """The same numbers, lying otherwise."""
    yield "every second column", np.repeat(x, 2, axis=1)[:, ::2]
    yield "column by column", np.asfortranarray(x)
    yield "backwards", x[::-1].copy()[::-1]
    read_only = x.copy()
    read_only.setflags(write=False)
    yield "read-only", read_only
    shifted = np.frombuffer(b"\0" + x.tobytes(), np.float32, x.size, 1).reshape(x.shape)
    assert not shifted.flags.aligned
    yield "misaligned", shifted


def test_any_layout(rng, close):
    from numpy_erniem.backend import native

    x, w, bias = operands(rng, 7, 12, 10)
    want = ops.linear.body(x, {"weight": w, "bias": bias})
    for name, other in layouts(x):
        close(native.linear(other, {"weight": w, "bias": bias}), want, "primitive", name)
    for name, other in layouts(w):
        close(native.linear(x, {"weight": other, "bias": bias}), want, "primitive", name)
    step = np.repeat(bias, 2)[::2]
    close(native.linear(x, {"weight": w, "bias": step}), want, "primitive", "bias")


def test_what_is_unsupported(rng):
    from numpy_erniem.backend import native

    x, w, bias = operands(rng, 2, 3, 4)
    unsupported = [
        (x.astype(np.float64), w, bias),
        (x.astype(">f4"), w, bias),
        (x, w.astype(np.float64), bias),
        (x, w, bias.astype(">f4")),
        (x[:, :3], w, bias),
        (x, w, bias[:2]),
        (x[:0], w, bias),
        (x, w[0], bias),
        (np.float32(1).reshape(()), w, bias),
    ]
    for a, b, c in unsupported:
        assert isinstance(native.linear(a, {"weight": b, "bias": c}), Unsupported)
    assert isinstance(native.linear(x, {"weight": w, "bias": bias}, "maxout"), Unsupported)
