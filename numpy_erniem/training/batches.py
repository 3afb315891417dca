"""Which examples are in the batch of a step: decided by seed and step alone.

So a run that was stopped goes on with the batch that was next.
"""

from collections.abc import Sequence

import numpy as np

JITTER = 0.1  # of a length, so that batches differ from epoch to epoch


class Batches:
    """Batches of examples of similar length, in another order in every epoch.

    Parameters
    ----------
    lengths : sequence of int
        Of the examples.
    size : int
        Examples in a batch; the last one of an epoch may be smaller.
    seed : int or sequence of int

    Examples
    --------
    >>> batches = Batches([3, 9, 4, 8], size=2, seed=5)
    >>> sorted(sorted(map(int, batches[step])) for step in (0, 1))
    [[0, 2], [1, 3]]
    """

    def __init__(self, lengths: Sequence[int], size: int, seed: int | Sequence[int]) -> None:
        if not len(lengths):
            raise ValueError("there are no examples to make batches of")
        if size < 1:
            raise ValueError(f"a batch of {size} examples is not at least 1")
        self.lengths = np.asarray(lengths)
        self.size = size
        self.seed = list(np.atleast_1d(seed))
        self.per_epoch = -(-len(self.lengths) // size)
        self._epoch: tuple[int, list[np.ndarray]] = (-1, [])

    def __getitem__(self, step: int) -> np.ndarray:
        """Indices of the examples of a step, counted from 0 over all epochs."""
        epoch, n = divmod(step, self.per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._shuffled(epoch))
        return self._epoch[1][n]

    def _shuffled(self, epoch: int) -> list[np.ndarray]:
        rng = np.random.default_rng([*self.seed, epoch])
        mixed = rng.permutation(len(self.lengths))  # so that equal lengths mix
        noise = 1 + JITTER * rng.random(len(mixed))
        order = mixed[np.argsort(self.lengths[mixed] * noise, kind="stable")]
        batches = [order[at : at + self.size] for at in range(0, len(order), self.size)]
        return [batches[n] for n in rng.permutation(len(batches))]


def pad(rows: Sequence[Sequence[int]], fill: int) -> np.ndarray:
    """Rows of different lengths as one (B, T) array, filled up on the right."""
    padded = np.full((len(rows), max(map(len, rows))), fill, np.int64)
    for n, row in enumerate(rows):
        padded[n, : len(row)] = row
    return padded
