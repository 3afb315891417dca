"""Dropout whose choice is a function of a seed and of positions: no mask is drawn ahead or kept.

The random numbers are those of Philox-4x32-10, a generator without a state: a function from a
counter and a key to four words. The forward and the backward pass compute the same numbers, in
NumPy or in C, for any number of threads.

References
----------
Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
"""

from typing import NamedTuple

import numpy as np

from numpy_erniem.backend.dispatch import accelerated
from numpy_erniem.ops import CACHE_BLOCK

WORD = 1 << 32
ROUNDS = 10
FACTORS = (0xD2511F53, 0xCD9E8D57)
STEPS = (0x9E3779B9, 0xBB67AE85)  # of the key, from round to round
LANES, WORDS = 16, 4  # numbers 64 b + 16 w + l of a row: word w of counter 16 b + l


class Dropped(NamedTuple):
    """Dropout of an array.

    Attributes
    ----------
    rate : float
        The probability of each element to become 0, in (0, 1).
    seed : int
        In 0..2⁶⁴ - 1.
    first : int
        The number of the array's first row, at least 0.
    """

    rate: float
    seed: int
    first: int = 0

    @property
    def least(self) -> int:
        """The least random number, of 0..2³² - 1, with which an element is kept."""
        return min(WORD - 1, round(self.rate * WORD))

    @property
    def scale(self) -> float:
        """The factor of the elements that are kept."""
        return 1 / (1 - self.rate)

    def of(self, x: np.ndarray) -> np.ndarray:
        """x with elements set to 0 and the others scaled by 1 / (1 - rate)."""
        return drop(x, self)


@accelerated
def drop(x: np.ndarray, dropped: Dropped) -> np.ndarray:
    """Set elements of x to 0, and scale the others by 1 / (1 - rate).

    Element j of row r is kept if number j of `random_numbers` of r is not below rate · 2³².
    The rows of a packed batch are its tokens, and those of attention its texts, heads and queries,
    counted in this order: where no text is padded, a padded batch drops the same.

    Parameters
    ----------
    x : (..., N) array
        Its rows are counted over all other axes, from `dropped.first` on.
    dropped : Dropped

    Returns
    -------
    array like x
    """
    if not x.size:
        return x.copy()
    y, n = np.empty_like(x, order="C"), x.shape[-1]
    rows, results = x.reshape(-1, n), y.reshape(-1, n)
    step = max(1, CACHE_BLOCK // n)
    for at in range(0, len(rows), step):
        block = rows[at : at + step]
        kept = random_numbers(dropped.seed, dropped.first + at, len(block), n) >= dropped.least
        results[at : at + step] = np.where(kept, block * x.dtype.type(dropped.scale), 0)
    return y


def random_numbers(seed: int, first: int, rows: int, n: int) -> np.ndarray:
    """The first n random numbers of some rows.

    Parameters
    ----------
    seed : int
        In 0..2⁶⁴ - 1.
    first : int
        The first row.
    rows : int
        How many rows.
    n : int
        At most 2³⁴.

    Returns
    -------
    (rows, n) uint64 array, 0..2³² - 1
        The counter of a number has its place in the row, the lower and the upper word of the row,
        and 0; the key has the lower and the upper word of the seed.
    """
    blocks = -(-n // (LANES * WORDS))
    place = np.arange(blocks * LANES, dtype=np.uint64)
    row = np.arange(first, first + rows, dtype=np.uint64)[:, None]
    words = philox((place[None], row % WORD, row // WORD, row * 0), (seed % WORD, seed // WORD))
    by_word = np.stack([w.reshape(rows, blocks, LANES) for w in words], axis=2)  # (R, b, 4, 16)
    return by_word.reshape(rows, -1)[:, :n]


def philox(counter: tuple[np.ndarray, ...], key: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Philox-4x32-10: four words of random bits for each counter.

    Parameters
    ----------
    counter : four uint64 arrays that broadcast to each other, 0..2³² - 1
    key : (int, int)
        0..2³² - 1.

    Returns
    -------
    four uint64 arrays, 0..2³² - 1
    """
    a, b, c, d = counter
    for step in range(ROUNDS):
        k0, k1 = (np.uint64((k + step * s) % WORD) for k, s in zip(key, STEPS, strict=True))
        first, second = np.uint64(FACTORS[0]) * a, np.uint64(FACTORS[1]) * c
        low, shift = np.uint64(WORD - 1), np.uint64(32)
        a, b, c, d = second >> shift ^ b ^ k0, second & low, first >> shift ^ d ^ k1, first & low
    return a, b, c, d
