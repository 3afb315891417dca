"""Attention in bfloat16: every kernel beside the NumPy formula.

The sums of a score may differ in their last bits, so now and then an exponential is rounded to the
neighbour, which is 2⁻⁸ away: the largest difference is bounded by that, and the mean one is small.
"""

import numpy as np
import pytest

from numpy_erniem import ops
from numpy_erniem.backend.unsupported import Unsupported
from numpy_erniem.quantization.numbers import BFLOAT16
from tests.conftest import native_is_built
from tests.native.test_attention import heads, special_arrays

if native_is_built():
    from numpy_erniem.backend import native

LARGEST, MEAN = 8e-3, 2e-5


def same(q, k, v, **options):
    got = native.attention(q, k, v, dtype=BFLOAT16, **options)
    want = ops.attention.body(q, k, v, dtype=BFLOAT16, **options)
    exact = ops.attention.body(q, k, v, **options)
    assert not isinstance(got, Unsupported), got
    for a, b, c in zip(got, want, exact, strict=True):
        if b is None:
            assert a is None
            continue
        assert (a.shape, a.dtype) == (b.shape, np.float32)
        difference = np.abs(a - b)
        assert difference.max() <= LARGEST
        assert difference.mean() <= MEAN
        assert difference.mean() <= np.abs(a - c).mean() / 4 or difference.max() < 1e-5
    return got


@pytest.mark.parametrize("T", [1, 2, 5, 15, 16, 17, 31, 33, 150])
@pytest.mark.parametrize("d", [1, 7, 32, 33, 64])
def test_every_length_and_width(bfloat16_kernel, rng, T, d):
    q, k, v = (heads(rng, 2, 3, T, d) for _ in range(3))
    same(q, k, v)
    same(q, k, v, keep_probabilities=True)


@pytest.mark.parametrize("S", [1, 31, 32, 33, 767, 1600])
def test_every_number_of_keys(bfloat16_kernel, rng, S):
    q, k, v = heads(rng, 1, 2, 17, 19), heads(rng, 1, 2, S, 19), heads(rng, 1, 2, S, 19, False)
    same(q, k, v, keep_probabilities=True)
    same(q, k, v, key_bias=rng.standard_normal((1, S), np.float32))


@pytest.mark.parametrize("shape", [(2, 1, 1, 70), (1, 1, 23, 70), (2, 3, 23, 70)])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.05])
def test_masks(bfloat16_kernel, rng, shape, share):
    q, k, v = heads(rng, 2, 3, 23, 16), heads(rng, 2, 3, 70, 16), heads(rng, 2, 3, 70, 16)
    mask = rng.random(shape) < share
    same(q, k, v, mask=mask, keep_probabilities=True)
    mask[..., :40] = False  # row blocks begin at a later panel
    same(q, k, v, mask=mask, keep_probabilities=True)


def test_head_masks(bfloat16_kernel, rng):
    q, k, v = (heads(rng, 2, 3, 9, 16) for _ in range(3))
    factor = rng.standard_normal((2, 3, 1, 1), np.float32)
    same(q, k, v, head_mask=factor, keep_probabilities=True)
    same(q, k, v, head_mask=np.zeros_like(factor))


def test_probabilities_sum_to_one(bfloat16_kernel, rng):
    q, k, v = (heads(rng, 1, 2, 40, 16) for _ in range(3))
    probabilities = native.attention(q, k, v, dtype=BFLOAT16, keep_probabilities=True)[1]
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-6)


def test_a_text_has_the_same_bits_alone_packed_padded_and_with_any_threads(
    bfloat16_kernel, rng, threads
):
    lengths = [1, 40, 33, 130, 7]
    starts = np.cumsum([0, *lengths])
    q, k, v = (heads(rng, 1, 3, starts[-1], 32) for _ in range(3))
    packed = native.attention(q, k, v, dtype=BFLOAT16, starts=starts)[0]
    for count in (1, 2, 5):
        threads(count)
        again = native.attention(q, k, v, dtype=BFLOAT16, starts=starts)[0]
        np.testing.assert_array_equal(again, packed)
        for first, n in zip(starts[:-1], lengths, strict=True):
            text = slice(first, first + n)
            one = [x[:, :, text] for x in (q, k, v)]
            alone = native.attention(*one, dtype=BFLOAT16)[0]
            np.testing.assert_array_equal(alone, packed[:, text])
            wide = [np.concatenate([x, heads(rng, 1, 3, 9, 32)], axis=2) for x in one]
            mask = (np.arange(n + 9) < n)[None, None, None]
            padded = native.attention(*wide, dtype=BFLOAT16, mask=mask)[0]
            np.testing.assert_array_equal(padded[:, :n], packed[:, text])


@pytest.mark.parametrize("shape", [(1, 1, 1, 50), (1, 1, 50, 50)])
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_a_value_that_is_rounded_to_infinity_counts_where_it_is_hidden(bfloat16_kernel, rng, shape):
    q, k, v = (heads(rng, 1, 2, 50, 16) for _ in range(3))
    mask = np.ones(shape, bool)
    mask[..., 40:] = False
    v[0, 1, 45, 3] = np.finfo(np.float32).max  # bfloat16's largest number is smaller
    want = ops.attention.body(q, k, v, mask=mask, dtype=BFLOAT16)[0]
    got = native.attention(q, k, v, mask=mask, dtype=BFLOAT16)[0]
    assert np.isnan(want[0, :, 1, 3]).all()
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
def test_nan_and_infinity_give_what_they_give_in_numpy(bfloat16_kernel, seed):
    rng = np.random.default_rng([seed, 7])
    for _ in range(20):
        B, H, T, S = (int(rng.integers(1, n)) for n in (3, 3, 40, 70))
        q, k, v = special_arrays(rng, B, H, T, S, int(rng.choice([1, 4, 16])))
        shapes = [(B, 1, 1, S), (1, 1, T, S), (B, H, T, S)]
        mask = rng.random(shapes[rng.integers(3)]) < rng.choice([0.1, 0.5, 0.9])
        for options in ({}, {"mask": mask}):
            got = native.attention(q, k, v, dtype=BFLOAT16, **options)[0]
            want = ops.attention.body(q, k, v, dtype=BFLOAT16, **options)[0]
            np.testing.assert_allclose(got, want, rtol=1e-2, atol=1e-2, equal_nan=True)
