"""Attention in strips beside the plain loops, then the twin beside NumPy, under every mask."""

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
        *(kernels.null, kernels.null, kernels.null, kernels.null),
    )
    results = []
    for function in (lib.erniem_attention, lib.erniem_attention_reference):
        context, probabilities = unset(1, T, H, d), unset(1, H, T, S)
        assert function(1, H, T, S, d, *common, of(context), of(probabilities)) == 0
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


def test_any_layout(rng, close):
    q, k, v = (heads(rng, 2, 3, 9, 16) for _ in range(3))
    same(close, np.repeat(q, 2, axis=3)[..., ::2], k[:, :, ::-1], np.asfortranarray(v))
    frozen = [np.ascontiguousarray(a) for a in (q, k, v)]
    for a in frozen:
        a.setflags(write=False)
    same(close, *frozen)
    same(close, q[:1], k[:1], v[:1])
    same(close, q[:, :1], k[:, :1], v[:, :1])


def test_what_is_declined(rng):
    from numpy_erniem.backend import native

    q, k, v = (heads(rng, 2, 3, 9, 16) for _ in range(3))
    table = rng.standard_normal((17, 16), np.float32)
    declined = [
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
    assert all(isinstance(result, Unsupported) for result in declined)
    wide = heads(rng, 1, 1, 3, 769)
    assert isinstance(native.attention(wide, wide, wide), Unsupported)
