"""Batches of texts of similar length, so that little of a batch is padding."""

from collections.abc import Iterator, Sequence

import numpy as np


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[np.ndarray]:
    """Indices of texts in batches of similar length, longest first.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each text, at least 1.
    batch_tokens : int
        Most tokens of a batch, padding included. A text that is longer is a batch of its own.

    Yields
    ------
    (n,) integer array
        Indices into `lengths`.
    """
    order = np.argsort([-n for n in lengths], kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, batch_tokens // lengths[order[start]])
        yield order[start : start + rows]
        start += rows
