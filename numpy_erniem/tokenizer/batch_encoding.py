"""What the tokenizer returns: a dict with attributes, and maps between tokens, words, text."""

from typing import Any

import numpy as np

from numpy_erniem.tokenizer.row_layout import RowLayout


class BatchEncoding(dict):
    """The model's inputs by name; `enc.input_ids` is `enc["input_ids"]`.

    `sequence_ids`, `word_ids`, `char_to_token` and `token_to_chars` work on what a call of the
    tokenizer returns, not on what its `pad` returns.

    Parameters
    ----------
    data : dict, optional
    layout : RowLayout, optional
        How the rows were made up.
    """

    def __init__(self, data: dict[str, Any] | None = None, layout: RowLayout | None = None):
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
            An encoding that does not know how its rows were made up.
        """
        layout = self._checked(row)
        second = layout.second[row]
        return layout.per_token(
            row, [0] * layout.first[row], None if second is None else [1] * second
        )

    def word_ids(self, row: int = 0) -> list[int | None]:
        """For each token of a row the index of its word, None for special tokens and padding.

        Raises
        ------
        ValueError
            A text that was not given as words.
        """
        layout = self._checked(row)
        if not layout.words:
            raise ValueError(
                "word_ids needs a text given as words; call with is_split_into_words=True"
            )
        return layout.per_token(row, *layout.words[row])

    def token_to_chars(self, row: int, token: int) -> tuple[int, int] | None:
        """Span of a token in its text, or None for a special token or padding.

        Raises
        ------
        ValueError
            A call without `return_offsets_mapping=True`.
        """
        if self.sequence_ids(row)[token] is None:
            return None
        start, end = self._offsets(row)[token]
        return int(start), int(end)

    def char_to_token(self, row: int, char: int, sequence: int = 0) -> int | None:
        """Index of the first token whose span holds a character.

        Parameters
        ----------
        row : int
        char : int
            Index of the character in its text.
        sequence : {0, 1}
            First or second text.

        Returns
        -------
        int or None
            None for a character that belongs to no token, such as a space.

        Raises
        ------
        ValueError
            A call without `return_offsets_mapping=True`, or a text that was given as words, whose
            offsets count within a word.
        """
        if self._checked(row).words:
            raise ValueError("char_to_token needs a text as one str; this one was given as words")
        spans = zip(self.sequence_ids(row), self._offsets(row), strict=True)
        for i, (owner, (start, end)) in enumerate(spans):
            if owner == sequence and start <= char < end:
                return i
        return None

    def _checked(self, row: int) -> RowLayout:
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
