"""The texts of a call as a list; the tokenizer takes its texts through the same functions."""

from typing import Any

from numpy_erniem.tokenizer.texts import check_text, iterate

__all__ = ["check_text", "iterate", "take_texts"]


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
