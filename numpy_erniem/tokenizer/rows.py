"""The rows of a batch: special tokens around one text or two, and padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np


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


def build_inputs(ids: list, pair_ids: list | None, cls: Any, sep: Any) -> list:
    """Put special tokens around one text or two: `[CLS] A [SEP]`, `[CLS] A [SEP] [SEP] B [SEP]`.

    Parameters
    ----------
    ids, pair_ids : list
        Values of the tokens of both texts; `pair_ids` is None where there is no second text.
    cls, sep : object
        Values of [CLS] and [SEP].

    Returns
    -------
    list

    Examples
    --------
    >>> build_inputs([7, 8], [9], cls=0, sep=2)
    [0, 7, 8, 2, 2, 9, 2]
    """
    if pair_ids is None:
        return [cls, *ids, sep]
    return [cls, *ids, sep, sep, *pair_ids, sep]


def token_types(length: int, pair_length: int | None = None) -> list[int]:
    """Types of the tokens that `build_inputs` gives: 0 for `[CLS] A`, 1 for `[SEP] [SEP] B [SEP]`.

    All tokens of a single text have type 0, as upstream.
    """
    if pair_length is None:
        return [0] * (length + 2)
    return [0] * (length + 1) + [1] * (pair_length + 3)


def num_special_tokens(pair: bool = False) -> int:
    """How many special tokens are put around a single text (2) or a pair (4)."""
    return 4 if pair else 2


@dataclass
class RowLayout:
    """How rows are made up: enough to tell which text and word a token belongs to.

    Parameters
    ----------
    special : bool
        Whether special tokens are put around the texts.
    side : {"left", "right"}
        Where padding is.
    first, second : list of int
        Numbers of tokens of each row's texts; None where a row has no second text.
    words : list
        For each row a pair of lists, the word of each token, where texts were given as words.
    padding : list of int
        Number of padding tokens of each row.
    token_of : callable, optional
        Looks up the token of an id. It holds the vocabulary, so pickles leave it out.
    """

    special: bool
    side: str
    first: list[int] = field(default_factory=list)
    second: list[int | None] = field(default_factory=list)
    words: list[tuple[list[int] | None, list[int] | None]] = field(default_factory=list)
    padding: list[int] = field(default_factory=list)
    token_of: Callable[[int], str] | None = field(default=None, repr=False, compare=False)

    def rows(self, part: slice) -> RowLayout:
        """Keep a part of the rows."""
        names = ("first", "second", "words", "padding")
        return replace(self, **{name: getattr(self, name)[part] for name in names})

    def per_token(self, row: int, first: list, second: list | None) -> list:
        """Lay out values of the tokens of both texts, with None for special tokens and padding.

        Parameters
        ----------
        row : int
        first, second : list

        Returns
        -------
        list (T,)
        """
        values = (
            build_inputs(first, second, None, None) if self.special else [*first, *(second or ())]
        )
        padding = [None] * (self.padding[row] if self.padding else 0)
        return [*padding, *values] if self.side == "left" else [*values, *padding]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "token_of": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> RowLayout:
        return replace(self)


def pad_rows(
    rows: Sequence[Any], value: int, length: int | None = None, side: str = "right"
) -> np.ndarray:
    """Make one array of rows of different lengths.

    Parameters
    ----------
    rows : sequence of B lists or arrays of int
    value : int
        What the rows are padded with.
    length : int, optional
        T. Default: the length of the longest row.
    side : {"right", "left"}
        Where padding goes.

    Returns
    -------
    array (B, T), int64

    Raises
    ------
    ValueError
        A row that is longer than `length`.

    Examples
    --------
    >>> pad_rows([[5, 6], [7]], value=1, length=3)
    array([[5, 6, 1],
           [7, 1, 1]])
    """
    longest = max(map(len, rows), default=0)
    length = longest if length is None else length
    if longest > length:
        raise ValueError(f"a row has {longest} values, more than length={length}; cut it first")
    lists = [row.tolist() if isinstance(row, np.ndarray) else row for row in rows]
    padded = np.array(pad_lists(lists, value, length, side), dtype=np.int64)
    return padded.reshape(len(lists), length)


def pad_lists(rows: Sequence[Any], value: Any, length: int, side: str = "right") -> list[list]:
    """Pad each row to `length` values; longer rows stay as they are.

    Parameters
    ----------
    rows : sequence of sequences
    value : object
        What the rows are padded with.
    length : int
    side : {"right", "left"}
        Where padding goes.

    Returns
    -------
    list of list
    """
    if side == "left":
        return [[value] * (length - len(row)) + list(row) for row in rows]
    return [list(row) + [value] * (length - len(row)) for row in rows]


def row_and_index(row_or_index: int, index: int | None) -> tuple[int, int]:
    """A row and an index in it; an index alone is one of row 0."""
    return (0, row_or_index) if index is None else (row_or_index, index)


def value_at(values: list[int | None], token: int) -> int | None:
    """The value of a token; one that the row does not have is a ValueError."""
    if not -len(values) <= token < len(values):
        raise ValueError(f"token {token} is out of range, the row has {len(values)} tokens")
    return values[token]
