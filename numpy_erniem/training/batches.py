"""Batches: which examples belong to a step, and their arrays, packed without padding.

Shapes: n texts in a batch, N tokens of all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from numpy_erniem.config import ErnieMConfig
from numpy_erniem.models.packed_batch import pack_texts
from numpy_erniem.models.padding import batch_mask
from numpy_erniem.pipelines.packing import BATCH_TOKENS, cut_batches

Ids = Sequence[int]
JITTER = 0.1  # relative noise on the lengths, so that the batches differ from epoch to epoch


class Batches:
    """Batches of examples of similar length, in another order in every epoch.

    The seed and the step alone decide which examples a batch has. So a run that was stopped goes on
    with the batch that is next.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each example.
    size : int
        Examples in a batch, at least 1; the last batch of an epoch may have fewer.
    seed : int or sequence of int

    Raises
    ------
    ValueError
        No examples, or a size below 1.

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
            raise ValueError(f"batch size {size} is not at least 1")
        self.lengths = np.asarray(lengths)
        self.size = size
        self.seed = list(np.atleast_1d(seed))
        self.per_epoch = -(-len(self.lengths) // size)
        self._epoch: tuple[int, list[np.ndarray]] = (-1, [])

    def __getitem__(self, step: int) -> np.ndarray:
        """The indices of the examples of a step; steps count from 0 over all epochs."""
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


def collate(
    ids: Sequence[Ids], config: ErnieMConfig, labels: Mapping[str, np.ndarray] | None = None
) -> dict[str, Any]:
    """The packed batch of some texts; it always has its attention mask.

    Hidden is what the model itself hides where no mask is given: see `batch_mask`.

    Parameters
    ----------
    ids : n sequences of int
        Token ids, with special tokens.
    config : ErnieMConfig
        Of the model.
    labels : dict of str to array, optional
        Further entries of the batch; those of tokens are (1, N).

    Returns
    -------
    dict
        input_ids (1, N) int64; starts (n + 1,) int64, where each text starts, then N;
        attention_mask (1, N) bool, True for tokens that may be attended to; the labels.
    """
    input_ids, starts = pack_texts(ids)
    mask = batch_mask(config, input_ids, np.ones(input_ids.shape, bool))
    return {"input_ids": input_ids, "starts": starts, "attention_mask": mask, **(labels or {})}


def evaluate_in_batches(
    ids: Sequence[Ids], evaluate: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """One result for each text, computed in batches of similar length; in the order of `ids`.

    `evaluate` gets the indices of a batch and returns an array with one row for each of them. A
    batch has at most BATCH_TOKENS tokens, or one text. ValueError for another number of rows.
    """
    results: np.ndarray | None = None
    for chosen in cut_batches([len(row) for row in ids], BATCH_TOKENS):
        rows = np.asarray(evaluate(chosen))
        if rows.shape[:1] != (len(chosen),):
            raise ValueError(
                f"evaluate returned an array of shape {rows.shape} for {len(chosen)} texts; "
                "return one row for each"
            )
        if results is None:
            results = np.empty((len(ids), *rows.shape[1:]), rows.dtype)
        results[chosen] = rows
    return results
