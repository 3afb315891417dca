"""The kernels of dropout, and of attention in training, beside their NumPy bodies."""

import numpy as np
import pytest

from numpy_erniem import ops
from numpy_erniem.backend.unsupported import Unsupported
from numpy_erniem.training import (
    attention_gradients,
)
from numpy_erniem.training.dropout import Dropped, drop


def heads(rng, B, H, n, d):
    """An array (B, H, n, d) over memory (B, n, H, d), as of the linear maps of a layer."""
    return rng.standard_normal((B, n, H, d), np.float32).swapaxes(1, 2)


def attention_arguments(rng, T, S, d, kind):
    B, H = 2, 3
    q, k, v = heads(rng, B, H, T, d), heads(rng, B, H, S, d), heads(rng, B, H, S, d)
    dc = rng.standard_normal((B, T, H, d), np.float32)
    options = {}
    if kind == "keys":
        options["mask"] = np.arange(S) < np.array([S, max(1, S // 2)])[:, None, None, None]
    if kind == "queries":
        options["mask"] = rng.random((B, 1, T, S)) < 0.6  # some queries may see nothing
    if kind == "heads":
        options["head_mask"] = rng.standard_normal((1, H, 1, 1), np.float32)
    context = ops.attention.body(q, k, v, **options)[0]
    return (dc, context, q, k, v), options


KINDS = ["plain", "keys", "queries", "heads"]
LENGTHS = [(1, 1, 1), (7, 5, 4), (33, 33, 16), (57, 70, 33), (130, 130, 64)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("T", "S", "d"), LENGTHS)
def test_attention_backward_equals_the_formula_in_float64(isa, native, rng, T, S, d, kind):
    arrays, options = attention_arguments(rng, T, S, d, kind)
    wide = [a.astype(np.float64) for a in arrays]
    *want, _ = attention_gradients.attention_backward.body(*wide, **options)
    *got, distances = native.attention_backward(*arrays, **options)
    assert distances == {}
    for mine, right in zip(got, want, strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, right, rtol=1e-5, atol=1e-6 + 2e-5 * np.abs(right).max())


@pytest.mark.parametrize("kind", KINDS)
def test_attention_backward_has_the_same_bits_for_any_number_of_threads(native, threads, rng, kind):
    arrays, options = attention_arguments(rng, 61, 61, 16, kind)
    results = []
    for count in (1, 2, 3):
        threads(count)
        results.append(native.attention_backward(*arrays, **options)[:3])
    for more in results[1:]:
        for mine, right in zip(more, results[0], strict=True):
            np.testing.assert_array_equal(mine, right)


def test_nan_in_a_head_stays_in_its_gradients(isa, native, rng):
    arrays, _ = attention_arguments(rng, 9, 9, 4, "plain")
    arrays[4][1, 2, 3, 0] = np.nan
    for gradient in native.attention_backward(*arrays)[:2]:  # dv does not depend on v
        assert np.isnan(gradient).any(axis=(2, 3)).tolist() == [[False] * 3, [False, False, True]]


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 3, 64), (7, 130), (20_001, 1), (2, 9000)])
@pytest.mark.parametrize("rate", [1e-3, 0.1, 0.5, 0.999])
def test_dropout_has_the_bits_of_its_formula(isa, threads, native, rng, shape, rate):
    x, dropped = rng.standard_normal(shape, np.float32), Dropped(rate, int(rng.integers(1 << 62)))
    want = drop.body(x, dropped)
    for count in (1, 3):
        threads(count)
        np.testing.assert_array_equal(native.drop(x, dropped), want)


def test_what_dropout_declines(native, rng):
    x, dropped = rng.standard_normal((4, 6), np.float32), Dropped(0.1, 3)
    assert isinstance(native.drop(x.astype(np.float64), dropped), Unsupported)
    assert isinstance(native.drop(x[:0], dropped), Unsupported)
    assert isinstance(native.drop(x[:, :0], dropped), Unsupported)
    assert isinstance(native.drop(np.float32(3), dropped), Unsupported)
    q = rng.standard_normal((1, 2, 3, 4), np.float32)
    assert isinstance(native.attention_dropped(q, q, q[..., :3], dropped=dropped), Unsupported)
    assert isinstance(native.attention_dropped(q, q.astype("d"), q, dropped=dropped), Unsupported)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("T", "S", "d"), [(1, 1, 1), (9, 13, 5), (70, 65, 33)])
def test_attention_with_dropout_equals_the_formula_in_float64(
    isa, threads, native, rng, kind, T, S, d
):
    (dc, _, *qkv), options = attention_arguments(rng, T, S, d, kind)
    options = {**options, "dropped": Dropped(0.3, int(rng.integers(1 << 62)))}
    wide = [a.astype(np.float64) for a in qkv]
    want = attention_gradients.attention_dropped.body(*wide, **options)
    wanted = attention_gradients.attention_backward.body(
        dc.astype(np.float64), want, *wide, **options
    )
    results = []
    for count in (1, 3):
        threads(count)
        got = native.attention_dropped(*qkv, **options)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)
        results.append((got, *native.attention_backward(dc, got, *qkv, **options)[:3]))
    for mine, right in zip(results[0][1:], wanted, strict=False):
        np.testing.assert_allclose(mine, right, rtol=0, atol=2e-5 * max(T, S) ** 0.5)
    for mine, right in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, right)


MIXTURES = [(1,), (5, 1, 4), (33, 70, 2, 61)]


def packed_arguments(rng, lengths, d, kind):
    """q, k, v and dc of a packed batch, and options."""
    starts, H = np.cumsum([0, *lengths]), 3
    N, options = int(starts[-1]), {"starts": starts}
    qkv = [heads(rng, 1, H, N, d) for _ in range(3)]
    dc = rng.standard_normal((1, N, H, d), np.float32)
    if kind == "keys":
        options["mask"] = rng.random((1, 1, 1, N)) < 0.7
    if kind == "queries":
        options["mask"] = rng.random((1, H, N, max(lengths))) < 0.6
    if kind == "heads":
        options["head_mask"] = rng.standard_normal((1, H, 1, 1), np.float32)
    return qkv, dc, options


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("lengths", "d"), [*zip(MIXTURES, (4, 16, 33), strict=True)])
def test_attention_of_packed_texts_equals_the_formula(
    isa, threads, native, rng, kind, lengths, d, rate
):
    qkv, dc, options = packed_arguments(rng, lengths, d, kind)
    wide, results = [a.astype(np.float64) for a in qkv], []
    if rate:
        options["dropped"] = Dropped(rate, int(rng.integers(1 << 62)))
        want = attention_gradients.attention_dropped.body(*wide, **options)
    else:
        want = ops.attention.body(*wide, **options)[0]
    *wanted, _ = attention_gradients.attention_backward.body(
        dc.astype(np.float64), want, *wide, **options
    )
    for count in (1, 3):
        threads(count)
        context = want.astype(np.float32)
        if rate:
            context = native.attention_dropped(*qkv, **options)
            np.testing.assert_allclose(context, want, rtol=0, atol=1e-5)
        results.append((context, *native.attention_backward(dc, context, *qkv, **options)[:3]))
    for mine, right in zip(results[0][1:], wanted, strict=True):
        np.testing.assert_allclose(mine, right, rtol=0, atol=2e-5 * max(lengths) ** 0.5)
    for mine, right in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, right)


@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_text_has_the_bits_that_it_has_alone(native, rng, kind):
    lengths, options_of = (13, 1, 40), attention_gradients.texts_of
    qkv, dc, options = packed_arguments(rng, lengths, 16, kind)
    context = ops.attention.body(*qkv, **options)[0]
    together = native.attention_backward(dc, context, *qkv, **options)[:3]
    starts = options.pop("starts")
    for text, own, mine in options_of(tuple(qkv), starts, options):
        alone = native.attention_backward(dc[:, text], context[:, text], *own, **mine)[:3]
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_array_equal(a[:, :, text], b)


def test_what_packed_attention_declines(native, rng):
    (q, k, v), dc, _ = packed_arguments(rng, (4, 5), 4, "plain")
    dropped = Dropped(0.1, 3)
    for options in (
        {"starts": np.array([0, 4, 8])},
        {"starts": np.array([1, 4, 9])},
        {"starts": np.array([0, 4, 4, 9])},
        {"starts": np.array([0, 12, 9])},
        {"starts": np.array([9])},
        {"starts": np.array([0.0, 9.0])},
        {"starts": np.array([0, 4, 9]), "mask": np.ones((1, 1, 9, 9), bool)},
        {"starts": np.array([0, 4, 9]), "mask": np.ones((1, 1, 1, 5), bool)},
    ):
        assert isinstance(
            native.attention_dropped(q, k, v, dropped=dropped, **options), Unsupported
        )
        assert isinstance(native.attention_backward(dc, dc, q, k, v, **options), Unsupported)
    later = dropped._replace(first=3)
    assert isinstance(native.attention_dropped(q, k, v, dropped=later), Unsupported)


def test_dropout_of_later_rows_is_a_part_of_that_of_all(native, rng):
    x, dropped = rng.standard_normal((9, 70), np.float32), Dropped(0.4, 5)
    later = dropped._replace(first=4)
    np.testing.assert_array_equal(native.drop(x[4:], later), native.drop(x, dropped)[4:])
    np.testing.assert_array_equal(drop.body(x[4:], later), native.drop(x[4:], later))


def test_what_attention_backward_declines(native, rng):
    (dc, context, q, k, v), _ = attention_arguments(rng, 5, 5, 4, "plain")
    table = rng.standard_normal((9, 4), np.float32)
    for wrong, options in (
        ((dc.astype(np.float64), context, q, k, v), {}),
        ((dc[:, :4], context, q, k, v), {}),
        ((dc, context, q, k[:, :, :4], v), {}),
        ((dc[:0], context[:0], q[:0], k[:0], v[:0]), {}),
        ((dc, context, q, k, v), {"query_distance": table}),
        ((dc, context, q, k, v), {"mask": np.ones((2, 3, 5, 1), bool)}),
        ((dc, context, q, k, v), {"head_mask": np.ones((2, 3, 5, 5), np.float32)}),
    ):
        assert isinstance(native.attention_backward(*wrong, **options), Unsupported)
