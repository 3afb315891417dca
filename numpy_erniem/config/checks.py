"""Rules for the values of a config: each ValueError names the key, the value and the rule."""

import operator
from collections.abc import Iterable, Mapping
from typing import Any


def require_int(name: str, value: Any, least: int) -> None:
    """Refuse what is no integer, or is below `least`.

    Parameters
    ----------
    name : str
        The key, for the error.
    value : object
    least : int

    Raises
    ------
    ValueError
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} {value!r} is not an integer of at least {least}")


def require_number(name: str, value: Any, low: float, below: float) -> None:
    """Refuse what is no number in [low, below).

    Parameters
    ----------
    name : str
        The key, for the error.
    value : object
    low, below : float
        The least value, and the one that all are below.

    Raises
    ------
    ValueError
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value < below:
        raise ValueError(f"{name} {value!r} is not a number in [{low:g}, {below:g})")


def require_bool(name: str, value: Any) -> None:
    """Refuse what is neither True nor False, such as the text "false", which counts as true."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} {value!r} is neither True nor False")


def require_names(name: str, value: Any) -> None:
    """Refuse what is neither None nor a list of str."""
    strings = isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)
    if value is not None and not strings:
        raise ValueError(f"{name} {value!r} is not a list of names")


def require_in(name: str, value: Any, allowed: Any) -> None:
    """Refuse what is not one of the allowed names.

    Parameters
    ----------
    name : str
        The key, for the error.
    value : object
    allowed : iterable of str or None

    Raises
    ------
    ValueError
    """
    if not isinstance(value, str | None) or value not in allowed:
        raise ValueError(f"{name} {value!r} is not one of {', '.join(map(str, allowed))}")


def parsed_value(name: str, text: str, value: Any) -> bool | int | float | str:
    """The value that a text stands for, of the type of the present value.

    Parameters
    ----------
    name : str
        The key, for the error.
    text : str
        A bool is true, 1, y or yes, or false, 0, n or no, in any case.
    value : bool, int, float or str
        The present value.

    Returns
    -------
    bool, int, float or str

    Raises
    ------
    ValueError
        A text of another type, or a key whose value is neither of these.
    """
    if isinstance(value, bool):
        names = {**dict.fromkeys(("true", "1", "y", "yes"), True)}
        names.update(dict.fromkeys(("false", "0", "n", "no"), False))
        if text.lower() not in names:
            raise ValueError(f"{name}={text} is neither true nor false")
        return names[text.lower()]
    if not isinstance(value, int | float | str):
        raise ValueError(f"{name} is {value!r}, and a text gives only numbers, bools and names")
    try:
        return type(value)(text)
    except ValueError:
        raise ValueError(f"{name}={text} is not of type {type(value).__name__}") from None


def checked_pruned_heads(given: Any, L: int, H: int) -> dict[int, list[int]]:
    """Sorted heads to prune, by layers from 0.

    Parameters
    ----------
    given : mapping of int to list of int
        A negative layer counts from the end; in JSON a layer is a str.
    L, H : int
        Layers of the model, and heads of a layer.

    Returns
    -------
    dict of int to list of int

    Raises
    ------
    ValueError
        A layer or a head that the model does not have, or all heads of a layer.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"pruned_heads {given!r} is not a dict of lists, such as {{0: [1, 2]}}")
    pruned: dict[int, list[int]] = {}
    for n, heads in given.items():
        try:
            layer = int(n) if isinstance(n, str) else operator.index(n)
        except (TypeError, ValueError):
            layer = L
        if layer not in range(-L, L):
            raise ValueError(f"pruned_heads names layer {n!r}; this model has 0..{L - 1}")
        where = f"pruned_heads of layer {n}"
        if not isinstance(heads, Iterable) or isinstance(heads, str):
            raise ValueError(f"{where} is {heads!r}, not a list such as [1, 2]")
        listed = list(heads)
        wrong = [head for head in listed if isinstance(head, bool) or head not in range(H)]
        if wrong:
            raise ValueError(f"{where} names head {wrong[0]!r}; it has 0..{H - 1}")
        layer %= L
        pruned[layer] = sorted({*pruned.get(layer, ()), *map(int, listed)})
        if len(pruned[layer]) == H:
            raise ValueError(f"{where} are all of its {H} heads; keep at least one")
    return pruned
