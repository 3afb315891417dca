"""What the tokenizer returns: a dict with attributes, and maps between tokens, words, text."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Layout(NamedTuple):
    """How one row is made up; enough to tell which sequence and word a token belongs to."""

    first: int
    second: int | None
    special: bool
    words: tuple[list[int] | None, list[int] | None] = (None, None)
    left: int = 0
    right: int = 0

    def spread(self, first: list, second: list | None) -> list:
        """Values of the tokens of both sequences, with None at special tokens and padding."""
        one = [None] * self.special
        row = [*one, *first, *one]
        if self.second is not None:
            row += [*one, *(second or ()), *one]
        return [None] * self.left + row + [None] * self.right


class BatchEncoding(dict):
    """The model's inputs by name; ``enc.input_ids`` is ``enc["input_ids"]``.

    The maps (`sequence_ids`, `word_ids`, `char_to_token`, `token_to_chars`) are there on what the
    tokenizer's call returns, not after `pad` of a plain dict.
    """

    def __init__(self, data: dict[str, Any] | None = None, layouts: list[Layout] | None = None):
        super().__init__(data or {})
        self.__dict__["_layouts"] = layouts

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            known = ", ".join(self) or "nothing"
            raise AttributeError(f"no {name!r} in this encoding; it holds {known}") from None

    def __reduce__(self) -> tuple:
        return type(self), (dict(self), self._layouts)

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
        layout = self._layout(row)
        return layout.spread([0] * layout.first, [1] * (layout.second or 0))

    def word_ids(self, row: int = 0) -> list[int | None]:
        """For each token of a row the index of its word, None for special tokens and padding.

        Raises
        ------
        ValueError
            If the text was not given as words.
        """
        layout = self._layout(row)
        if layout.words[0] is None:
            raise ValueError(
                "word_ids needs a text given as words; call with is_split_into_words=True"
            )
        return layout.spread(layout.words[0], layout.words[1])

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
        if self._layout(row).words[0] is not None:
            raise ValueError("char_to_token needs a text given whole, this one was given as words")
        spans = zip(self.sequence_ids(row), self._offsets(row), strict=True)
        for i, (owner, (start, end)) in enumerate(spans):
            if owner == sequence and start <= char < end:
                return i
        return None

    def _layout(self, row: int) -> Layout:
        if self._layouts is None:
            raise ValueError("this encoding does not know its texts; use the tokenizer's own call")
        if not -len(self._layouts) <= row < len(self._layouts):
            raise ValueError(f"row {row} is out of range, there are {len(self._layouts)} rows")
        return self._layouts[row]

    def _offsets(self, row: int) -> Any:
        if "offset_mapping" not in self:
            raise ValueError("characters need offsets; call with return_offsets_mapping=True")
        offsets = self["offset_mapping"]
        # A single text without tensors is one row, not a list of rows.
        return offsets if len(offsets) == 0 or np.ndim(offsets[0]) == 1 else offsets[row]
