"""Vectors of texts from vectors of tokens."""

import numpy as np

POOLINGS = ("mean", "cls", "max", "pooler")


def pool(tokens: np.ndarray, pooling: str) -> np.ndarray:
    """One vector from those of the tokens of a text: (T, D) -> (D,).

    Parameters
    ----------
    tokens : (T, D) array
        Of a text alone, so that its vector does not depend on others.
    pooling : {"mean", "cls", "max"}
        The mean, the first token, or the highest number in each place.

    Returns
    -------
    (D,) array
    """
    if pooling == "cls":
        return tokens[0].copy()
    return tokens.max(axis=0) if pooling == "max" else tokens.mean(axis=0)


def mean_pool(hidden: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
    """The mean over the real tokens of each text of a padded batch: (B, T, D) -> (B, D).

    Parameters
    ----------
    hidden : (B, T, D) array
        Last hidden states.
    attention_mask : (B, T) array
        1 for a real token, 0 for padding; at least one 1 in each row.
    """
    real = attention_mask[:, :, None].astype(hidden.dtype)  # (B, T, 1)
    return (hidden * real).sum(axis=1) / real.sum(axis=1)


def normalize_rows(vectors: np.ndarray) -> np.ndarray:
    """Scale every row of (B, D), or one vector (D,), to length 1; zeros stay as they are."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(lengths, np.finfo(vectors.dtype).tiny)
