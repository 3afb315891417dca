"""How a row is made up: special tokens around one text or two, and padding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any


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
