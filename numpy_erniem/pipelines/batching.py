"""Batches of texts of similar length, so that little of a batch is padding."""

from collections.abc import Iterator, Sequence

import numpy as np


def batches_by_length(
    lengths: Sequence[int], batch_tokens: int, batch_size: int | None = None
) -> Iterator[np.ndarray]:
    """Indices of texts in batches of similar length, longest first.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each text, at least 1.
    batch_tokens : int
        Most tokens of a batch, padding included. A text that is longer is a batch of its own.
    batch_size : int, optional
        Most texts of a batch; left out, as many as `batch_tokens` allows.

    Yields
    ------
    (n,) integer array
        Indices into `lengths`.
    """
    order = np.argsort([-n for n in lengths], kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, batch_tokens // lengths[order[start]])
        rows = rows if batch_size is None else min(rows, batch_size)
        yield order[start : start + rows]
        start += rows
