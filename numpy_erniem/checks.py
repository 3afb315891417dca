"""Small checks that every room uses."""

import sys
import warnings
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

LONGEST = 88  # characters of a value in a table
PACKAGE = __name__.partition(".")[0]


def as_array(name: str, value: Any, kinds: str) -> np.ndarray:
    """Make an array of an argument, and check that it holds numbers of the right kind.

    Parameters
    ----------
    name : str
        What an error message calls the argument.
    value : array-like
    kinds : str
        NumPy dtype kinds that are allowed: "b" bool, "i" int (unsigned ones become int64),
        "f" float.

    Returns
    -------
    array

    Raises
    ------
    ValueError
        Rows of different lengths, or numbers of another kind.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(
            f"{name} is not an array: its rows differ in length; tokenize with padding=True"
        ) from None
    if array.dtype.kind == "u":
        array = array.astype(np.int64)
    if array.dtype.kind not in kinds:
        names = " or ".join({"b": "bool", "i": "integer", "f": "float"}[k] for k in kinds)
        raise ValueError(f"{name} must hold {names} numbers, not {array.dtype}")
    return array


def nearest(name: str, known: list[str]) -> str:
    """End of an error message: the known name that is near, else all known names."""
    import difflib  # slow to import, and seldom needed

    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(set(known)))}"


def table(title: str, rows: Mapping[str, Any]) -> str:
    """A title, and a line for each name with its value; long values end in dots.

    Examples
    --------
    >>> print(table("Model", {"layers": 3, "heads": 4}))
    Model
      layers  3
      heads   4
    """
    width = max(map(len, rows), default=0)
    shown = {name: " ".join(str(value).split()) for name, value in rows.items()}
    lines = [
        f"  {name:{width}}  {text if len(text) <= LONGEST else text[: LONGEST - 3] + '...'}"
        for name, text in shown.items()
    ]
    return "\n".join([title, *lines])


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, and name the line outside this package that led here.

    Frames of the package are skipped, however many there are. So a caller needs no `stacklevel`.
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def check_range(name: str, value: Any, interval: str) -> None:
    """Check that a value is a number in an interval.

    Parameters
    ----------
    name : str
        What an error calls it.
    value : Any
    interval : str
        Such as "[0, 1)".

    Raises
    ------
    ValueError
        It is none.
    """
    low, high = map(float, interval[1:-1].split(","))
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not (
        (low <= value if interval[0] == "[" else low < value)
        and (value <= high if interval[-1] == "]" else value < high)
    ):
        raise ValueError(f"{name} is {value!r}, not a number in {interval}")
