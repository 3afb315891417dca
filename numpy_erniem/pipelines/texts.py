"""The texts of a call, from whatever holds them: lists, iterators, columns of other libraries."""

from collections.abc import Iterator, Mapping
from typing import Any

TABLE_NAMES = ("columns", "column_names")  # of pandas and polars; of Arrow and datasets
MISSING = ("NAType", "NaTType")  # of pandas


def take_texts(texts: Any, name: str = "texts") -> tuple[list[str], bool]:
    """Take every text of an argument, once and in order.

    Parameters
    ----------
    texts : str, or iterable of str
        As of `iterate`.
    name : str
        What an error calls the argument.

    Returns
    -------
    texts : list of str
    single : bool
        Whether the argument was one text, so that the caller gives one result in place of a list.

    Raises
    ------
    TypeError
        As of `iterate` and `check_text`.
    ValueError
        There are no texts.
    """
    values, single = iterate(texts, name)
    taken = [check_text(value, f"{name}[{n}]") for n, value in enumerate(values)]
    if not taken:
        raise ValueError(f"{name} is empty; give at least one text")
    return taken, single


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
    items = _value(items)
    if isinstance(items, str):
        return iter([items]), True
    _check_kind(items, name)
    try:
        values = iter(items)
    except TypeError:
        raise TypeError(f"{name} is a {_kind(items)}; give a str or a list of str") from None
    return (item if type(item) is str else _value(item) for item in values), False


def check_text(text: Any, where: str) -> str:
    """A text as it is.

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
        raise TypeError(f"{where} is a {_kind(text)}, not a str{_remedy(text)}")
    return text


def _value(text: Any) -> Any:
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


def _remedy(text: Any) -> str:
    """How to make a text of it, where this can be said."""
    if isinstance(text, bytes | bytearray):
        return "; decode it"
    if isinstance(text, Mapping):
        return "; give the column with the texts"
    if isinstance(text, list | tuple):
        return "; give one flat list of str"
    if text is None or _kind(text) in MISSING or (isinstance(text, float) and text != text):
        return "; a value is missing: drop it, or put '' in its place"
    return ""
