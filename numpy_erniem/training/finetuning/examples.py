"""The examples that a setup is given in Python: what each part of one has to be."""

import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)


TEXT, TEXT_OR_NONE, TEXTS = "a text", "a text or None", "a list of texts"
NUMBER, WHOLE_NUMBER = "a finite number", "a whole number"
IS = {
    TEXT: lambda value: isinstance(value, str),
    TEXT_OR_NONE: lambda value: value is None or isinstance(value, str),
    TEXTS: _is_texts,
    NUMBER: lambda value: isinstance(value, Real) and math.isfinite(value),
    WHOLE_NUMBER: lambda value: isinstance(value, Integral) and not isinstance(value, bool),
}


def checked_examples(
    train: Iterable[Any], evaluation: Iterable[Any], form: Mapping[str, str]
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The examples of both kinds as lists of tuples.

    Parameters
    ----------
    train, evaluation : iterables of sequences
    form : dict of str to str
        What the parts of an example are called, in order, and the kind of each: a key of `IS`.

    Returns
    -------
    train, evaluation : lists of tuples

    Raises
    ------
    ValueError
        No examples, or one of another form; the message names it, such as train[3].
    """
    both = {"train": list(train), "evaluation": list(evaluation)}
    shown = f"({', '.join(form)})"
    for name, examples in both.items():
        if not examples:
            raise ValueError(f"{name} has no example; give at least one, {shown}")
        for n, example in enumerate(examples):
            _check(example, form, f"{name}[{n}]", shown)
    return tuple([tuple(example) for example in examples] for examples in both.values())


def _check(example: Any, form: Mapping[str, str], where: str, shown: str) -> None:
    """ValueError for an example of another form."""
    if not isinstance(example, list | tuple) or len(example) != len(form):
        raise ValueError(f"{where} is {str(example)[:80]!r}, and an example is {shown}")
    for (part, kind), value in zip(form.items(), example, strict=True):
        if not IS[kind](value):
            raise ValueError(
                f"{where}: the {part} must be {kind}, not {type(value).__name__} "
                f"{str(value)[:40]!r}"
            )
