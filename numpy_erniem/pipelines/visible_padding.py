"""Padding that other tokens may attend to, as UIE-M was trained and is served by PaddleNLP.

Every row is padded to a full length. The padding has position 0 and is not hidden; [CLS] is. All
padding tokens of a row have the same id and position and see the same keys, so they have the same
hidden state in every layer. One of them, whose key counts as often as there are padding tokens,
gives the other tokens the same numbers: softmax sums exp(score), and
n · exp(score) = exp(score + log n).
"""

from typing import Any

import numpy as np


def add_padding_token(
    ids: list[np.ndarray], length: int, pad_token_id: int
) -> tuple[list[np.ndarray], np.ndarray, dict[str, np.ndarray]]:
    """Rows of a packed batch with one token at the end for all padding of the row.

    Parameters
    ----------
    ids : list of (T,) integer arrays
        A row that has `length` tokens gets no padding.
    length : int
        To which the rows would be padded.
    pad_token_id : int

    Returns
    -------
    ids : list of (T,) or (T + 1,) integer arrays
    real : (N,) bool array
        False for padding, over all rows one after another.
    arguments : dict
        position_ids and key_bias, (1, N) each.
    """
    counts = [length - len(row) for row in ids]
    real = [np.arange(len(row) + (c > 0)) < len(row) for row, c in zip(ids, counts, strict=True)]
    rows = [np.append(row, pad_token_id)[: len(r)] for row, r in zip(ids, real, strict=True)]
    positions = [np.where(r, np.arange(len(r)), 0) for r in real]
    bias = [np.where(r, 0, np.log(max(c, 1))) for r, c in zip(real, counts, strict=True)]
    arguments = {
        "position_ids": np.concatenate(positions)[None],
        "key_bias": np.concatenate(bias)[None],
    }
    return rows, np.concatenate(real), arguments


def pad_fully(ids: list[np.ndarray], length: int, config: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """Rows padded to a full length, for a model that takes no packed batch.

    Parameters
    ----------
    ids : list of (T,) integer arrays
    length : int
    config : object
        With pad_token_id, and hidden_token_id for the token that is hidden.

    Returns
    -------
    padded : (B, length) int64 array
    arguments : dict
        attention_mask and position_ids, (B, length) each.
    """
    lengths = np.array([len(row) for row in ids])
    real = np.arange(max(length, lengths.max())) < lengths[:, None]  # (B, length)
    padded = np.full(real.shape, config.pad_token_id, np.int64)
    padded[real] = np.concatenate(ids)
    return padded, {
        "attention_mask": (padded != config.hidden_token_id).astype(np.int64),
        "position_ids": np.where(real, np.arange(real.shape[1]), 0),
    }
