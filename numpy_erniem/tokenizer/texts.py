"""The texts of a call, from whatever holds them: lists, iterators, columns of other libraries."""

from collections.abc import Iterator, Mapping
from typing import Any

TABLE_NAMES = ("columns", "column_names")  # of pandas and polars; of Arrow and datasets
MISSING = ("NAType", "NaTType")  # of pandas


def iterate(items: Any, name: str = "texts") -> tuple[Iterator[Any], bool]:
    """The items of an argument in order, not checked yet.

    Parameters
    ----------
    items : str, or iterable
        One text; or a list, tuple, iterator, a column of pandas, polars, Arrow or datasets, or a
        NumPy array with one dimension. Scalars of Arrow and arrays without a dimension count as
        what they hold.
    name : str
        What an error calls the argument.

    Returns
    -------
    items : iterator
    single : bool
        Whether the argument was one text.

    Raises
    ------
    TypeError
        A table, a mapping, a set, or an array with two dimensions; bytes; what cannot be iterated.
    """
    items = value_of(items)
    if isinstance(items, str):
        return iter([items]), True
    _check_kind(items, name)
    try:
        values = iter(items)
    except TypeError:
        raise TypeError(f"{name} is a {_kind(items)}; give a str or a list of str") from None
    return (item if type(item) is str else value_of(item) for item in values), False


def as_list(items: Any, name: str) -> Any:
    """The items of an iterator, a column or an array as a list; a list or tuple as it is.

    Parameters
    ----------
    items : iterable
        As of `iterate`. One str, and what cannot be iterated, is returned as it is.
    name : str
        What an error calls the argument.

    Raises
    ------
    TypeError
        As of `iterate`.
    """
    if isinstance(items, str | list | tuple) or not hasattr(items, "__iter__"):
        return value_of(items)
    values, single = iterate(items, name)
    return next(values) if single else list(values)


def check_text(text: Any, where: str) -> str:
    """A text as it is; a scalar of Arrow or NumPy as the str that it holds.

    Parameters
    ----------
    text : object
    where : str
        What an error calls it, such as "texts[3]".

    Raises
    ------
    TypeError
        It is not a str.
    """
    if not isinstance(text, str):
        text = value_of(text)
    if not isinstance(text, str):
        remedy = _remedy(text, is_one=not where.endswith("]"))
        raise TypeError(f"{where} is a {_kind(text)}, not a str{remedy}")
    return text


def value_of(text: Any) -> Any:
    """A scalar of Arrow or NumPy as the Python object that it holds; all else as it is."""
    if hasattr(text, "as_py"):
        return text.as_py()
    return text.item() if getattr(text, "shape", None) == () and hasattr(text, "item") else text


def _check_kind(texts: Any, name: str) -> None:
    """Refuse what can be iterated, but not text by text."""
    kind = _kind(texts)
    if isinstance(texts, bytes | bytearray | memoryview):
        raise TypeError(f"{name} is {kind}; decode it, such as {name}.decode('utf-8')")
    if any(hasattr(type(texts), attribute) for attribute in TABLE_NAMES):
        raise TypeError(f"{name} is a {kind}, a table; give one column, such as table['text']")
    if isinstance(texts, Mapping):
        raise TypeError(f"{name} is a {kind}, a mapping; give a list of str, such as its values")
    if isinstance(texts, set | frozenset):
        raise TypeError(f"{name} is a {kind}, which has no order; give a list of str")
    dimensions = len(getattr(texts, "shape", (0,)))
    if dimensions > 1:
        raise TypeError(
            f"{name} is a {kind} with {dimensions} dimensions; give one, such as {name}[:, 0]"
        )


def _kind(value: Any) -> str:
    return type(value).__name__


def _remedy(text: Any, is_one: bool) -> str:
    """How to make a text of it, where this can be said."""
    if isinstance(text, bytes | bytearray):
        return "; decode it"
    if isinstance(text, Mapping):
        return "; give the column with the texts"
    if isinstance(text, list | tuple):
        return "; give one str" if is_one else "; give one flat list of str"
    if text is None or _kind(text) in MISSING or (isinstance(text, float) and text != text):
        return "; a value is missing: drop it, or put '' in its place"
    return ""
