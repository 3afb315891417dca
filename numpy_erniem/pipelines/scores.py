"""Scores of classes and choices, made of the numbers that a head gives."""

from collections.abc import Mapping
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


def check_top_k(top_k: Any) -> None:
    """Raise a ValueError where `top_k` is neither None nor a whole number from 1 on."""
    if top_k is not None:
        check_whole("top_k", top_k, 1, "None keeps all")


def check_whole(name: str, value: Any, least: int | None = None, remedy: str = "") -> None:
    """Check an option that is a whole number.

    Parameters
    ----------
    name : str
    value : object
    least : int, optional
        The smallest number that is allowed; left out, any is.
    remedy : str
        What else the option may be.

    Raises
    ------
    ValueError
        It is not such a number.
    """
    end = f"; {remedy}" if remedy else ""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"{name} {value!r} is not a whole number{end}")
    if least is not None and value < least:
        raise ValueError(f"{name} {value} is not at least {least}{end}")


def labels_of(config: Any) -> tuple[str, ...]:
    """The names of a model's classes by their numbers.

    Parameters
    ----------
    config : ErnieMConfig, or what another model has in its place
        With id2label, whose numbers may be str as in config.json, or at least num_labels.

    Returns
    -------
    tuple of str

    Raises
    ------
    ValueError
        A class has no name, or there is neither of the two.
    """
    named = getattr(config, "id2label", None)
    if named is None:
        count = getattr(config, "num_labels", None)
        if count is None:
            raise ValueError("the model's config has no id2label, which names its classes")
        return tuple(f"LABEL_{n}" for n in range(count))
    items = named.items() if isinstance(named, Mapping) else enumerate(named)
    names = {int(n): str(name) for n, name in items}
    missing = [n for n in range(len(names)) if n not in names]
    if missing:
        raise ValueError(
            f"id2label of the config has no name for class {missing[0]}, only {names}; it "
            "numbers the classes from 0"
        )
    return tuple(names[n] for n in range(len(names)))
