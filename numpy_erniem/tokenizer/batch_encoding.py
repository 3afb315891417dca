"""What the tokenizer returns: a dict with attributes, and maps between tokens, words, text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from numpy_erniem.tokenizer.truncation import framed


@dataclass
class Layout:
    """How the rows are made up; enough to tell which text and word a token belongs to.

    Parameters
    ----------
    special : bool
        Whether special tokens frame the texts.
    side : {"left", "right"}
        Where padding is.
    first, second : list of int
        Tokens of each row's texts; None where a row has no second text.
    words : list
        For each row a pair of lists, the word of each token, where texts were given as words.
    padding : list of int
        Padding of each row.
    """

    special: bool
    side: str
    first: list[int] = field(default_factory=list)
    second: list[int | None] = field(default_factory=list)
    words: list[tuple[list[int], list[int] | None]] = field(default_factory=list)
    padding: list[int] = field(default_factory=list)

    def spread(self, row: int, first: list, second: list | None) -> list:
        """Values of the tokens of both texts, with None at special tokens and padding."""
        plain = [*first, *(second or ())]
        spread = framed(first, second, None, None) if self.special else plain
        padding = [None] * (self.padding[row] if self.padding else 0)
        return [*padding, *spread] if self.side == "left" else [*spread, *padding]


class BatchEncoding(dict):
    """The model's inputs by name; ``enc.input_ids`` is ``enc["input_ids"]``.

    The maps (`sequence_ids`, `word_ids`, `char_to_token`, `token_to_chars`) are there on what the
    tokenizer's call returns, not after `pad` of a plain dict.
    """

    def __init__(self, data: dict[str, Any] | None = None, layout: Layout | None = None):
        super().__init__(data or {})
        self.__dict__["_layout"] = layout

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            known = ", ".join(self) or "nothing"
            raise AttributeError(f"no {name!r} in this encoding; it holds {known}") from None

    def __reduce__(self) -> tuple:
        return type(self), (dict(self), self._layout)

    @property
    def data(self) -> dict[str, Any]:
        """The inputs as a plain dict."""
        return dict(self)

    def sequence_ids(self, row: int = 0) -> list[int | None]:
        """For each token of a row 0 (first text), 1 (second) or None (special, padding).

        Raises
        ------
        ValueError
            If the encoding does not remember how its rows were made up.
        """
        layout = self._checked(row)
        second = layout.second[row]
        return layout.spread(row, [0] * layout.first[row], None if second is None else [1] * second)

    def word_ids(self, row: int = 0) -> list[int | None]:
        """For each token of a row the index of its word, None for special tokens and padding.

        Raises
        ------
        ValueError
            If the text was not given as words.
        """
        layout = self._checked(row)
        if not layout.words:
            raise ValueError(
                "word_ids needs a text given as words; call with is_split_into_words=True"
            )
        return layout.spread(row, *layout.words[row])

    def token_to_chars(self, row: int, token: int) -> tuple[int, int] | None:
        """Span of a token in its text, or None for a special token or padding.

        Raises
        ------
        ValueError
            If the call was without ``return_offsets_mapping=True``.
        """
        if self.sequence_ids(row)[token] is None:
            return None
        start, end = self._offsets(row)[token]
        return int(start), int(end)

    def char_to_token(self, row: int, char: int, sequence: int = 0) -> int | None:
        """Index of the first token whose span holds a character of a text, or None.

        Raises
        ------
        ValueError
            If the call was without ``return_offsets_mapping=True``, or the text was given as words
            (offsets then count within a word).
        """
        if self._checked(row).words:
            raise ValueError("char_to_token needs a text given whole, this one was given as words")
        spans = zip(self.sequence_ids(row), self._offsets(row), strict=True)
        for i, (owner, (start, end)) in enumerate(spans):
            if owner == sequence and start <= char < end:
                return i
        return None

    def _checked(self, row: int) -> Layout:
        layout = self._layout
        if layout is None:
            raise ValueError("this encoding does not know its texts; use the tokenizer's own call")
        if not -len(layout.first) <= row < len(layout.first):
            raise ValueError(f"row {row} is out of range, there are {len(layout.first)} rows")
        return layout

    def _offsets(self, row: int) -> Any:
        if "offset_mapping" not in self:
            raise ValueError("characters need offsets; call with return_offsets_mapping=True")
        offsets = self["offset_mapping"]
        # A single text without tensors is one row, not a list of rows.
        return offsets if len(offsets) == 0 or np.ndim(offsets[0]) == 1 else offsets[row]
