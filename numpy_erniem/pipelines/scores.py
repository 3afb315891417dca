"""Scores of classes and choices, made of the numbers that a head gives."""

from typing import Any

import numpy as np


def sigmoid(x: Any) -> np.ndarray:
    """1 / (1 + exp(-x)) in float64, without overflow."""
    x = np.asarray(x, np.float64)
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def softmax(x: Any) -> np.ndarray:
    """exp(x) / Σ exp(x) over the last axis, in float64, without overflow."""
    x = np.asarray(x, np.float64)
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def best_first(scores: np.ndarray, top_k: int | None = None) -> list[int]:
    """Indices of the highest scores, the best first; of equal scores the lower index first."""
    return [int(n) for n in np.argsort(-scores, kind="stable")[:top_k]]


def window_mean(logits: list[np.ndarray], tokens: list[int]) -> np.ndarray:
    """The mean of a text's logits over its windows, weighted by their tokens, in float64.

    Parameters
    ----------
    logits : list of (K,) arrays
        Of each window.
    tokens : list of int
        Of each window; one window may have none.

    Returns
    -------
    (K,) float64 array
    """
    if len(logits) == 1:
        return np.asarray(logits[0], np.float64)
    return np.average(np.asarray(logits, np.float64), axis=0, weights=tokens)


def check_classes(logits: np.ndarray, count: int, axes: int) -> np.ndarray:
    """Logits as they are; ValueError where the last of so many axes is not one of `count` labels.

    Parameters
    ----------
    logits : (K,) or (n, K) array
    count : int
        Labels of the config.
    axes : int
        How many axes the logits must have.

    Returns
    -------
    array like logits

    Raises
    ------
    ValueError
        K is not `count`, or there are more or fewer axes.
    """
    if logits.shape[axes - 1 :] != (count,):
        raise ValueError(
            f"the model gives logits of the shape {logits.shape[axes - 1 :]} where its config has "
            f"{count} labels; correct id2label, or give a model with the head of the task"
        )
    return logits


def one_number(logits: np.ndarray) -> np.ndarray:
    """The number of a text, (1,); ValueError where there is not one."""
    if np.size(logits) != 1:
        raise ValueError(
            f"the model gives {np.size(logits)} numbers for a text, where this task needs one; "
            "give a model with the head of the task"
        )
    return np.reshape(logits, (1,))


def one_per_token(values: np.ndarray) -> np.ndarray:
    """Numbers of tokens, (N,), as they are; ValueError where a token has several."""
    if values.ndim != 1:
        raise ValueError(
            f"the model gives numbers of the shape {values.shape[1:]} for a token, where this task "
            "needs one; give a model with the head of the task"
        )
    return values


def check_top_k(top_k: int | None) -> None:
    """Raise a ValueError where `top_k` is neither None nor a whole number from 1 on."""
    if top_k is None:
        return
    if isinstance(top_k, bool) or not isinstance(top_k, int | np.integer):
        raise ValueError(f"top_k {top_k!r} is not a whole number; None keeps all")
    if top_k < 1:
        raise ValueError(f"top_k {top_k} is not at least 1; None keeps all")


def labels_of(config: Any) -> tuple[str, ...]:
    """The names of a model's classes by their numbers; ValueError where one has no name."""
    names = config.id2label
    missing = [n for n in range(len(names)) if n not in names]
    if missing:
        raise ValueError(
            f"id2label of the config has no name for class {missing[0]}, only {dict(names)}; it "
            "numbers the classes from 0"
        )
    return tuple(names[n] for n in range(len(names)))
