"""Attention by row blocks beside the plain loops, then beside NumPy, under every mask."""

import numpy as np
import pytest

from numpy_erniem import ops
from numpy_erniem.backend.unsupported import Unsupported
from tests.conftest import TOLERANCES


def heads(rng, B, H, n, d, by_token=True):
    """(B, H, n, d): a view of (B, n, H·d), as layers make it, or an array of its own."""
    if by_token:
        return rng.standard_normal((B, n, H * d), np.float32).reshape(B, n, H, d).swapaxes(1, 2)
    return rng.standard_normal((B, H, n, d), np.float32)


def same(close, q, k, v, **options):
    from numpy_erniem.backend import native

    got = native.attention(q, k, v, **options)
    want = ops.attention.body(q, k, v, **options)
    assert not isinstance(got, Unsupported), got
    close(got[0], want[0], "primitive", "context")
    if want[1] is None:
        assert got[1] is None
    else:
        close(got[1], want[1], "primitive", "probabilities")


@pytest.mark.parametrize("T", [1, 2, 5, 13, 14, 15, 33, 150])
@pytest.mark.parametrize("d", [1, 7, 32, 33, 64])
def test_every_length_and_width(isa, rng, close, T, d):
    q, k, v = (heads(rng, 2, 3, T, d) for _ in range(3))
    same(close, q, k, v)
    same(close, q, k, v, keep_probabilities=True)


@pytest.mark.parametrize("S", [1, 31, 32, 33, 767, 768, 769, 1600])
def test_every_number_of_keys(isa, kernels, unset, rng, close, S):
    T, d, H = 17, 19, 2
    q, k, v = heads(rng, 1, H, T, d), heads(rng, 1, H, S, d), heads(rng, 1, H, S, d, False)
    same(close, q, k, v, keep_probabilities=True)
    lib, of = kernels.lib, kernels.of
    by_token, by_head = (lambda n: (n * d * H, d, d * H)), (lambda n: (n * d * H, n * d, d))
    common = (
        *(of(q.swapaxes(1, 2)), kernels.strides(*by_token(T))),
        *(of(k.swapaxes(1, 2)), kernels.strides(*by_token(S))),
        *(of(v), kernels.strides(*by_head(S))),
        *(0, kernels.null, kernels.null, 0),
        *(kernels.null, kernels.null, kernels.null, kernels.null),
    )
    results = []
    for function in (lib.erniem_attention, lib.erniem_attention_reference):
        context, probabilities = unset(1, T, H, d), unset(1, H, T, S)
        assert function(0, 1, H, T, S, d, *common, of(context), of(probabilities)) == 0
        results.append((context, probabilities))
    for got, want in zip(*results, strict=True):
        close(got, want, "primitive")


MASKS = {
    "of keys": (2, 1, 1, 40),
    "of keys, one for all": (1, 1, 1, 40),
    "of keys by head": (2, 3, 1, 40),
    "of keys by query": (2, 1, 23, 40),
    "of keys by query, one for all": (1, 1, 23, 40),
    "of everything": (2, 3, 23, 40),
}


@pytest.mark.parametrize("shape", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("share", [0.9, 0.5, 0.05])
def test_every_mask(isa, rng, close, shape, share):
    q, k, v = heads(rng, 2, 3, 23, 16), heads(rng, 2, 3, 40, 16), heads(rng, 2, 3, 40, 16)
    mask = rng.random(shape) < share
    same(close, q, k, v, mask=mask, keep_probabilities=True)
    same(close, q, k, v, mask=np.repeat(mask, 2, axis=3)[..., ::2])


@pytest.mark.parametrize("shape", [(2, 1, 1, 40), (1, 1, 23, 40)])
def test_a_query_that_may_see_no_key_sees_all_alike(isa, rng, close, shape):
    q, k, v = heads(rng, 2, 3, 23, 16), heads(rng, 2, 3, 40, 16), heads(rng, 2, 3, 40, 16)
    q[0, 0, 0, 0] = np.inf  # whatever its scores would have been
    mask = rng.random(shape) < 0.5
    mask[0, 0, 0] = False
    with np.errstate(invalid="ignore"):
        context = ops.attention.body(q, k, v, mask=mask)[0]
    from numpy_erniem.backend import native

    close(native.attention(q, k, v, mask=mask)[0][0, 0, 0], context[0, 0, 0], "primitive")


def test_causal_masks_with_past_keys(isa, rng, close):
    T, P = 130, 41
    q, k, v = heads(rng, 2, 2, T, 24), *(heads(rng, 2, 2, P + T, 24, False) for _ in range(2))
    causal = np.tril(np.ones((T, P + T), bool), P)[None, None]
    same(close, q, k, v, mask=causal, keep_probabilities=True)
    window = causal & ~np.tril(np.ones((T, P + T), bool), P - 50)[None, None]
    same(close, q, k, v, mask=window, keep_probabilities=True)


def test_long_masks_by_query(isa, rng, close):
    q, k, v = heads(rng, 1, 2, 15, 8), heads(rng, 1, 2, 900, 8), heads(rng, 1, 2, 900, 8)
    mask = rng.random((1, 1, 15, 900)) < 0.5
    mask[..., :100] = mask[..., 850:] = False
    same(close, q, k, v, mask=mask, keep_probabilities=True)


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (1, 3, 1, 1), (1, 1, 1, 1)])
def test_head_masks(isa, rng, close, shape):
    q, k, v = (heads(rng, 2, 3, 9, 16) for _ in range(3))
    factor = rng.standard_normal(shape, np.float32)
    same(close, q, k, v, head_mask=factor, keep_probabilities=True)
    same(close, q, k, v, head_mask=np.repeat(factor, 2, axis=1)[:, ::2])
    same(close, q, k, v, head_mask=np.zeros(shape, np.float32))


def test_hidden_keys_and_values_change_no_bit(isa, rng):
    from numpy_erniem.backend import native

    q, k, v = (heads(rng, 1, 2, 50, 16) for _ in range(3))
    mask = np.ones((1, 1, 1, 50), bool)
    mask[..., 20:31] = False
    want = native.attention(q, k, v, mask=mask)[0]
    k[:, :, 20:31], v[:, :, 20:31] = np.nan, 1e30
    np.testing.assert_array_equal(native.attention(q, k, v, mask=mask)[0], want)


@pytest.mark.parametrize("shape", [(1, 1, 1, 50), (1, 1, 50, 50), (1, 2, 50, 50)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_counts_where_it_is_hidden_too(isa, rng, shape, value):
    from numpy_erniem.backend import native

    q, k, v = (heads(rng, 1, 2, 50, 16) for _ in range(3))
    mask = np.ones(shape, bool)
    mask[..., 40:] = False
    v[0, 1, 45, 3] = value
    with np.errstate(invalid="ignore"):  # 0 times infinity
        want = ops.attention.body(q, k, v, mask=mask)[0]
        got = native.attention(q, k, v, mask=mask)[0]
    np.testing.assert_allclose(got, want, atol=TOLERANCES["primitive"], rtol=0)
    assert np.isnan(want[0, :, 1, 3]).all()
    assert np.isfinite(want[0, :, 0]).all()


def test_nan_and_large_scores(isa, rng, close):
    from numpy_erniem.backend import native

    q, k, v = (heads(rng, 1, 1, 40, 16) for _ in range(3))
    q[0, 0, 5] *= 1e4
    same(close, q, k, v, keep_probabilities=True)
    q[0, 0, 9, 3] = np.nan
    got = native.attention(q, k, v)[0]
    assert np.isnan(got[0, 9]).all()
    assert np.isfinite(np.delete(got, 9, axis=1)).all()


def test_small_probabilities_are_right_and_those_of_far_lower_scores_are_0(isa):
    """Down to the smallest number of float32; exp is 0 from about -104 on."""
    scores = [0, -1, -87, -88, -95, -103, -105, -150, -170, -171, -300, -400, -401, -1e4, -3e38]
    k = np.array(scores, np.float32)[None, None, :, None]
    q, v = np.ones((1, 1, 3, 1), np.float32), np.ones_like(k)
    from numpy_erniem.backend import native

    _, found = native.attention(q, k, v, keep_probabilities=True)
    powers = np.exp(np.array(scores, np.float64))
    want = powers / powers.sum()
    np.testing.assert_allclose(found[0, 0, 1], want, rtol=1e-6, atol=3e-45)
    assert (found[..., 6:] == 0).all()
    assert found[0, 0, 0, 4] > 0


@pytest.mark.parametrize("factor", [1, -0.5])
def test_values_near_the_largest_number_do_not_overflow_before_the_division(isa, rng, factor):
    from numpy_erniem.backend import native

    q, k = heads(rng, 1, 2, 40, 16), heads(rng, 1, 2, 150, 16)
    v = np.full_like(k, 3e38)
    v[0, 0] = 1
    factors = np.full((1, 2, 1, 1), factor, np.float32)
    context, probabilities = native.attention(q, k, v, head_mask=factors, keep_probabilities=True)
    np.testing.assert_allclose(context[0, :, 0], factor, rtol=1e-5)
    np.testing.assert_allclose(context[0, :, 1], factor * 3e38, rtol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=-1), factor, rtol=1e-5)


def test_a_query_has_the_same_bits_beside_any_other_queries(isa, rng):
    from numpy_erniem.backend import native

    q, k, v = (heads(rng, 1, 2, 150, 24) for _ in range(3))
    want = native.attention(q, k, v)[0]
    for chosen in (slice(0, 1), slice(5, 22), slice(31, 64), slice(149, 150)):
        got = native.attention(q[:, :, chosen], k, v)[0]
        np.testing.assert_array_equal(got, want[:, chosen])
    q[0, :, 7], v[0, 1, 3] = np.nan, 3e38
    got = native.attention(q, k, v)[0]
    np.testing.assert_array_equal(
        np.delete(got, 7, axis=1)[..., 0, :], np.delete(want, 7, 1)[..., 0, :]
    )


def test_any_layout(rng, close):
    q, k, v = (heads(rng, 2, 3, 9, 16) for _ in range(3))
    same(close, np.repeat(q, 2, axis=3)[..., ::2], k[:, :, ::-1], np.asfortranarray(v))
    frozen = [np.ascontiguousarray(a) for a in (q, k, v)]
    for a in frozen:
        a.setflags(write=False)
    same(close, *frozen)
    same(close, q[:1], k[:1], v[:1])
    same(close, q[:, :1], k[:, :1], v[:, :1])


def test_what_is_unsupported(rng):
    from numpy_erniem.backend import native

    q, k, v = (heads(rng, 2, 3, 9, 16) for _ in range(3))
    table = rng.standard_normal((17, 16), np.float32)
    unsupported = [
        native.attention(q.astype(np.float64), k, v),
        native.attention(q, k.astype(">f4"), v),
        native.attention(q, k[:, :2], v),
        native.attention(q, k, v[:, :, :8]),
        native.attention(q[:, :, :0], k, v),
        native.attention(q, k[:, :, :0], v[:, :, :0]),
        native.attention(q[0], k[0], v[0]),
        native.attention(q, k, v, query_distance=table),
        native.attention(q, k, v, mask=np.ones((2, 1, 1, 9), np.int64)),
        native.attention(q, k, v, mask=np.ones((2, 1, 9, 1), bool)),
        native.attention(q, k, v, mask=np.ones((9,), bool)),
        native.attention(q, k, v, mask=np.ones((2, 2, 1, 9), bool)),
        native.attention(q, k, v, head_mask=np.ones((1, 3, 9, 1), np.float32)),
        native.attention(q, k, v, head_mask=np.ones((1, 3, 1, 1))),
    ]
    assert all(isinstance(result, Unsupported) for result in unsupported)
    wide = heads(rng, 1, 1, 3, 769)
    assert isinstance(native.attention(wide, wide, wide), Unsupported)


def special_arrays(rng, B, H, T, S, d):
    """q, k and v with some NaN, infinities and huge numbers.

    A huge number makes scores so large that one key has all the probability; two of them add up to
    less than the range of float, so that no sum depends on the order of its terms.
    """
    arrays = [rng.standard_normal((B, H, n, d), np.float32) for n in (T, S, S)]
    for array, chance in zip(arrays, rng.choice([0, 0.02, 0.2], 3), strict=True):
        chosen = rng.random(array.shape) < chance
        huge = rng.uniform(0.5, 1, array.shape) * rng.choice([1e17, -1e17], array.shape)
        special = np.choose(rng.integers(0, 4, array.shape), [np.nan, np.inf, -np.inf, huge])
        array[chosen] = special[chosen]
        row = rng.integers(array.shape[2])  # all of a query, a key or a value
        if rng.random() < 0.3:
            array[0, 0, row] = rng.choice([np.nan, np.inf, -np.inf, 0])
    return arrays


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
def test_nan_infinity_and_huge_numbers_give_what_they_give_in_numpy(isa, seed):
    rng = np.random.default_rng([seed, 7])
    for _ in range(40):
        B, H, T, S = (int(rng.integers(1, n)) for n in (3, 3, 20, 40))
        q, k, v = special_arrays(rng, B, H, T, S, int(rng.choice([1, 4, 5, 16])))
        shapes = [(B, 1, 1, S), (1, 1, T, S), (B, H, T, S)]
        mask = rng.random(shapes[rng.integers(3)]) < rng.choice([0.1, 0.5, 0.9])
        factor = rng.choice(np.float32([0, 1, -0.5, np.nan, np.inf]), (1, H, 1, 1), p=FACTORS)
        bias = rng.standard_normal((rng.choice([1, B]), S), np.float32)
        bias[0, rng.integers(S)] = rng.choice(np.float32([np.nan, np.inf, -np.inf, LARGEST]))
        for options in ({}, {"mask": mask}, {"mask": mask, "head_mask": factor}):
            same_special(q, k, v, **options)
            same_special(q, k, v, key_bias=bias, **options)


FACTORS = [0.1, 0.5, 0.3, 0.05, 0.05]
LARGEST = np.finfo(np.float32).max


@pytest.mark.parametrize("bias", [1, -LARGEST, -np.inf, np.inf, np.nan])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
def test_a_product_beyond_the_range_of_float_is_infinite_before_the_key_bias(
    isa, kernels, unset, bias, sign
):
    q, k, v = (np.ones((1, 1, 3, 4), np.float32) for _ in range(3))
    q[0, 0, 1, 2], k[0, 0, 2, 2] = 1e30, sign * 1e30
    biases = np.float32([[0.5, -1, bias]])
    same_special(q, k, v, key_bias=biases)
    want = ops.attention.body(q, k, v, key_bias=biases)[0]
    lib, of, strides = kernels.lib, kernels.of, kernels.strides(0, 0, 4)
    pointers = [x for array in (q, k, v) for x in (of(array), strides)]
    got, none = unset(1, 3, 1, 4), [*4 * [kernels.null]]
    given = *pointers, 0, kernels.null, of(biases), 0, *none, of(got), kernels.null
    assert lib.erniem_attention_reference(0, 1, 1, 3, 3, 4, *given) == 0
    np.testing.assert_allclose(got, want, rtol=1e-6)


def same_special(q, k, v, **options):
    from numpy_erniem.backend import native

    for keep in (False, True):
        got = native.attention(q, k, v, keep_probabilities=keep, **options)
        want = ops.attention.body(q, k, v, keep_probabilities=keep, **options)
        for a, b in zip(got, want, strict=True):
            if b is not None:
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("shape", [(1, 1, 1, 50), (1, 1, 20, 50)])
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_a_query_that_is_not_finite_beside_hidden_keys(isa, rng, shape, value):
    q, k, v = heads(rng, 1, 2, 20, 16), heads(rng, 1, 2, 50, 16), heads(rng, 1, 2, 50, 16)
    k = np.abs(k)
    q[0, 1, 5] = value
    mask = np.ones(shape, bool)
    mask[..., 35:] = False
    same_special(q, k, v, mask=mask)
    probabilities = ops.attention(q, k, v, mask=mask, keep_probabilities=True)[1][0, 1, 5]
    if value == -np.inf:  # the hidden keys have the larger score, the lowest finite one
        np.testing.assert_allclose(probabilities, np.r_[np.zeros(35), np.full(15, 1 / 15)], 1e-6)
    else:
        assert np.isnan(probabilities).all()


@pytest.mark.parametrize("d", [4, 5, 16, 64])
def test_a_product_beyond_the_range_of_float_is_divided_first(isa, kernels, unset, close, d):
    q, k = (np.zeros((1, 1, 2, d), np.float32) for _ in range(2))
    q[..., 0], k[..., 0] = 3e38, [1.3, 1.2]
    v = np.array([1, 2], np.float32)[None, None, :, None] * np.ones(d, np.float32)
    context, probabilities = ops.attention(q, k, v, keep_probabilities=True)
    np.testing.assert_array_equal(probabilities, np.broadcast_to([1.0, 0.0], (1, 1, 2, 2)))
    np.testing.assert_array_equal(context, np.ones((1, 2, 1, d)))
    same(close, q, k, v, keep_probabilities=True)
    lib, of, strides = kernels.lib, kernels.of, kernels.strides(0, 0, d)
    pointers = [x for array in (q, k, v) for x in (of(array), strides)]
    got, none = unset(1, 2, 1, d), [0, kernels.null, kernels.null, 0, *4 * [kernels.null]]
    for function in (lib.erniem_attention, lib.erniem_attention_reference):
        assert function(0, 1, 1, 2, 2, d, *pointers, *none, of(got), kernels.null) == 0
        np.testing.assert_array_equal(got, context)


def test_hidden_keys_that_count_in_one_row_block_change_no_bit_of_others(isa, rng, threads):
    from numpy_erniem.backend import native

    q, k, v = heads(rng, 1, 1, 300, 16), heads(rng, 1, 1, 300, 16), heads(rng, 1, 1, 300, 16)
    k = np.abs(k)
    mask = np.ones((1, 1, 1, 300), bool)
    mask[..., 170:] = False
    want = native.attention(q, k, v, mask=mask)[0]
    q[0, 0, 130] = -np.inf
    for count in (1, 2, 5):
        threads(count)
        got = native.attention(q, k, v, mask=mask)[0]
        others = np.delete(np.arange(300), np.arange(112, 150))  # beyond any block of the query
        np.testing.assert_array_equal(got[0, others], want[0, others])
        np.testing.assert_allclose(got[0, 130, 0], v[0, 0, 170:].mean(axis=0), atol=1e-5)
