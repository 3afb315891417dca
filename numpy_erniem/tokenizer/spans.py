"""Ranges of characters and tokens, with named ends."""

from typing import NamedTuple


class CharSpan(NamedTuple):
    """Characters of a text: the first, and the one behind the last.

    Parameters
    ----------
    start, end : int
    """

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens of a row: the first, and the one behind the last.

    Parameters
    ----------
    start, end : int
    """

    start: int
    end: int
