"""Dropout as a function of a seed and of positions."""

import numpy as np
import pytest

from numpy_erniem.training.dropout import Dropped, drop, philox, random_numbers
from numpy_erniem.training.gradients import dropout

# Of the authors' test vectors for philox4x32-10: counter, key, result.
KNOWN = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "want"), KNOWN)
def test_the_generator_gives_its_known_numbers(counter, key, want):
    got = philox(tuple(np.array([word], np.uint64) for word in counter), tuple(key))
    assert [int(word[0]) for word in got] == want


def test_a_number_depends_on_its_row_and_place_alone():
    whole = random_numbers(7, 0, 9, 200)
    np.testing.assert_array_equal(random_numbers(7, 4, 5, 200), whole[4:])
    np.testing.assert_array_equal(random_numbers(7, 0, 9, 3), whole[:, :3])
    first, _, _, _ = philox(
        tuple(np.array([word], np.uint64) for word in (16 * 2 + 5, 3, 0, 0)), (7, 0)
    )
    assert whole[3, 64 * 2 + 5] == first[0]


@pytest.mark.parametrize("seed", [0, 1 << 32, (1 << 62) - 1])
def test_all_numbers_differ_between_rows_places_and_seeds(seed):
    numbers = random_numbers(seed, 0, 50, 100)
    assert len(np.unique(numbers)) > 4990
    assert (numbers != random_numbers(seed + 1, 0, 50, 100)).mean() > 0.999


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_of_zeros_is_the_rate(rate):
    y = drop(np.ones((300, 400), np.float32), Dropped(rate, 12345))
    assert set(np.unique(y)) == {0, np.float32(1 / (1 - rate))}
    assert (y == 0).mean() == pytest.approx(rate, abs=0.01)
    assert (y == 0).mean(axis=0).std() == pytest.approx((rate * (1 - rate) / 300) ** 0.5, rel=0.3)


def test_what_is_dropped_becomes_zero_whatever_it_was():
    x = np.full((4, 100), np.inf, np.float32)
    y = drop(x, Dropped(0.5, 3))
    assert set(np.unique(y)) == {0, np.inf}


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (5,), (2, 3, 4, 5)])
def test_every_shape_and_dtype(shape):
    for dtype in (np.float32, np.float64):
        y = drop(np.ones(shape, dtype), Dropped(0.5, 1))
        assert (y.shape, y.dtype) == (shape, dtype)


def test_the_gradient_drops_the_same_and_another_call_drops_others(rng):
    x, generator = np.ones((50, 60), np.float32), np.random.default_rng(5)
    (y, back), (z, _) = (dropout(x, 0.4, generator) for _ in range(2))
    np.testing.assert_array_equal(back(x), y)
    assert (y != z).any()


def test_nothing_is_dropped_without_a_rate_or_a_generator(rng):
    x = rng.standard_normal((3, 4))
    for rate, generator in ((0.0, rng), (0.5, None)):
        y, back = dropout(x, rate, generator)
        assert y is x
        assert back(x) is x
