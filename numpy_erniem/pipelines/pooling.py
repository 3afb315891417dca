"""Vectors of texts from vectors of tokens."""

from typing import Any

import numpy as np

POOLINGS = ("mean", "cls", "pooler")


def mean_pool(hidden: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
    """The mean over the real tokens of each text: (B, T, D) -> (B, D).

    Parameters
    ----------
    hidden : (B, T, D) array
        Last hidden states.
    attention_mask : (B, T) array
        1 for a real token, 0 for padding; at least one 1 in each row.
    """
    real = attention_mask[:, :, None].astype(hidden.dtype)  # (B, T, 1)
    return (hidden * real).sum(axis=1) / real.sum(axis=1)


def pool(output: Any, attention_mask: np.ndarray, pooling: str) -> np.ndarray:
    """One vector per text from a model's output: (B, T, D) -> (B, D).

    Parameters
    ----------
    output : ModelOutput
        Of a model without a head.
    attention_mask : (B, T) array
        1 for a real token, 0 for padding.
    pooling : {"mean", "cls", "pooler"}
        "mean": `mean_pool` of the last hidden state; "cls": its first token; "pooler": the model's
        pooler_output, tanh of a linear map of the first token.

    Returns
    -------
    (B, D) array
    """
    if pooling == "cls":
        return output.last_hidden_state[:, 0]
    if pooling == "pooler":
        return output.pooler_output
    return mean_pool(output.last_hidden_state, attention_mask)


def normalize_rows(vectors: np.ndarray) -> np.ndarray:
    """Scale every row of (B, D), or one vector (D,), to length 1; zeros stay as they are."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(lengths, np.finfo(vectors.dtype).tiny)
