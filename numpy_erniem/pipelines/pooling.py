"""Vectors of texts from vectors of tokens.

N tokens of n texts, one text after the other: text t has the rows starts[t] to starts[t + 1] - 1.
"""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np

from numpy_erniem.backend.frozen import freeze
from numpy_erniem.checkpoint.sentence_settings import SentenceSettings, pooling_parts
from numpy_erniem.checks import warn
from numpy_erniem.ops import linear


def sentence_vectors(
    hidden: np.ndarray,
    starts: np.ndarray,
    pooler_output: np.ndarray | None = None,
    *,
    settings: SentenceSettings,
    pooling: str | None = None,
    normalize: bool | None = None,
    dimensions: int | None = None,
    prompt_tokens: int = 0,
) -> np.ndarray:
    """One vector per text: pooling, Dense layers, the first `dimensions` numbers, scaling.

    Each text is worked on alone, so its vector does not depend on the other texts.

    Parameters
    ----------
    hidden : (N, D) float array
        Last hidden states of all tokens.
    starts : (n + 1,) integer array
        Where each text starts, and N.
    pooler_output : (n, D) float array, optional
        Of the model's pooler; needed for the pooling "pooler".
    settings : SentenceSettings
        Of the checkpoint.
    pooling, normalize : optional
        In place of those of the settings.
    dimensions : int, optional
        How many numbers of each vector to keep, from its start; left out, all.
    prompt_tokens : int
        Tokens at the start of every text that belong to its prompt and stay out of the pooling.
        "cls" and "lasttoken" take their token all the same, and "pooler" its output.

    Returns
    -------
    (n, W) array of the dtype of `hidden`
        W is `dimensions`, else the width of the last Dense layer, else D times the number of
        poolings.

    Raises
    ------
    ValueError
        The pooling is unknown, or does not fit the Dense layers; "pooler" without `pooler_output`;
        `dimensions` is not between 1 and the width; a text has no more tokens than its prompt.
    """
    pooling = settings.pooling if pooling is None else pooling
    width = settings.width(hidden.shape[1], pooling)
    if dimensions is not None and not 1 <= dimensions <= width:
        raise ValueError(f"dimensions {dimensions} is not in 1..{width}")
    pooled = pool_texts(hidden, starts, pooler_output, pooling, prompt_tokens)
    return finish_vectors(pooled, settings, normalize, dimensions)


def pool_texts(
    hidden: np.ndarray | None,
    starts: np.ndarray,
    pooler_output: np.ndarray | None,
    pooling: str,
    prompt_tokens: int = 0,
) -> np.ndarray:
    """Pool the tokens of each text: (N, D) -> (n, P), where P is D times the number of poolings.

    Parameters
    ----------
    hidden, starts, pooler_output, pooling, prompt_tokens
        As of `sentence_vectors`; "pooler" alone needs no hidden states.

    Returns
    -------
    (n, P) array

    Raises
    ------
    ValueError
        "pooler" without `pooler_output`; a text has no more tokens than its prompt.
    """
    parts = pooling_parts(pooling)
    if "pooler" in parts and pooler_output is None:
        raise ValueError("pooling 'pooler': there is no pooler output; use 'mean' or 'cls'")
    vectors = []
    for t, (start, end) in enumerate(pairwise(starts)):
        if end - start <= prompt_tokens:
            raise ValueError(
                f"a text has {end - start} tokens, the prompt {prompt_tokens}: none "
                "is left for the pooling; give a shorter prompt"
            )
        x = None if hidden is None else hidden[start:end]  # (T, D)
        vectors.append(
            [
                pooler_output[t] if part == "pooler" else pool(x, part, prompt_tokens)
                for part in parts
            ]
        )
    return np.stack([np.concatenate(found) for found in vectors])


def finish_vectors(
    vectors: np.ndarray,
    settings: SentenceSettings,
    normalize: bool | None = None,
    dimensions: int | None = None,
) -> np.ndarray:
    """What follows pooling: Dense layers, the first `dimensions` numbers, scaling.

    Parameters
    ----------
    vectors : (n, P) array
        From `pool_texts`.
    settings, normalize, dimensions
        As of `sentence_vectors`.

    Returns
    -------
    (n, W) array
    """
    normalize = settings.normalize if normalize is None else normalize
    for layer in settings.dense:
        weights = {"weight": freeze(layer.weight), "bias": freeze(layer.bias)}
        vectors = normalize_rows(vectors) if layer.normalize_first else vectors
        rows = [linear(vector[None], weights, layer.activation) for vector in vectors]  # each alone
        vectors = np.concatenate(rows)
    vectors = vectors[:, :dimensions]
    return normalize_rows(vectors) if normalize else vectors


def warn_of_a_guess(settings: SentenceSettings, folder: Path) -> None:
    """Warn if the checkpoint of a folder records nothing about its sentence vectors."""
    if not settings.recorded:
        warn(
            f"{folder} does not record how its sentence vectors are made: the mean of the token "
            "vectors is a guess; choose the pooling, or convert the sentence-transformers folder"
        )


def pool(x: np.ndarray, pooling: str, prompt_tokens: int = 0) -> np.ndarray:
    """One vector of the tokens of a text: (T, D) -> (D,).

    Parameters
    ----------
    x : (T, D) float array
    pooling : {"mean", "cls", "max", "mean_sqrt_len", "weightedmean", "lasttoken"}
        Mean; first token; maximum of each number; sum / √tokens; mean with the weights 1, 2, 3, ...
        by position; last token.
    prompt_tokens : int
        Tokens at the start that are left out, except by "cls" and "lasttoken". Positions of
        "weightedmean" count them.

    Returns
    -------
    (D,) array
    """
    if pooling == "cls":
        return x[0]
    if pooling == "lasttoken":
        return x[-1]
    text = x[prompt_tokens:]
    if pooling == "max":
        return text.max(axis=0)
    if pooling == "mean_sqrt_len":
        return text.sum(axis=0) / math.sqrt(len(text))
    if pooling == "weightedmean":
        weights = np.arange(prompt_tokens + 1, len(x) + 1, dtype=x.dtype)
        return (weights[:, None] * text).sum(axis=0) / weights.sum()
    return text.mean(axis=0)


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
