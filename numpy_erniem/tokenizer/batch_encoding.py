"""What the tokenizer returns: a dict with attributes, and maps between tokens, words, text."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpy_erniem.tokenizer.rows import CharSpan, RowLayout, TokenSpan, row_and_index, value_at
from numpy_erniem.tokenizer.tensors import as_tensors, move_tensors


class BatchEncoding(dict[str, Any]):
    """The model's inputs by name; `enc.input_ids` is `enc["input_ids"]`, `enc[:2]` two rows.

    The maps between tokens, words and characters, such as `word_ids` and `char_to_token`, work on
    what a call of the tokenizer returns, not on what its `pad` returns. A map that takes a row and
    an index takes the index alone too: `enc.token_to_chars(3)` is `enc.token_to_chars(0, 3)`.

    Parameters
    ----------
    data : dict, optional
    encoding : None
        Upstream's fast tokenizers put objects of another library here.
    tensor_type, prepend_batch_axis
        As of `convert_to_tensors`.
    n_sequences : {1, 2}, optional
        How many texts a row was made of. Default: as `layout` says.
    layout : RowLayout, optional
        How the rows were made up.

    Raises
    ------
    TypeError
        Another `encoding` than None.
    """

    is_fast = False

    def __init__(
        self,
        data: dict[str, Any] | None = None,
        encoding: None = None,
        tensor_type: Any = None,
        prepend_batch_axis: bool = False,
        n_sequences: int | None = None,
        *,
        layout: RowLayout | None = None,
    ) -> None:
        super().__init__(data or {})
        if encoding is not None:
            raise TypeError(f"encoding is None here, got {type(encoding).__name__}; leave it out")
        self.__dict__.update(_layout=layout, _n_sequences=n_sequences)
        self.convert_to_tensors(tensor_type, prepend_batch_axis)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            known = ", ".join(self) or "nothing"
            raise AttributeError(f"no {name!r} in this encoding; it holds {known}") from None

    def __getitem__(self, key: str | slice) -> Any:
        if isinstance(key, slice):
            return self._rows(key)
        if isinstance(key, int):
            row = f"{key}:{key + 1 or ''}"
            raise KeyError(f"{key} is no name of an input; encoding[{row}] is that row")
        return super().__getitem__(key)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),), self.__dict__.copy()

    @property
    def data(self) -> dict[str, Any]:
        """The inputs as a plain dict."""
        return dict(self)

    @property
    def encodings(self) -> None:
        """None: upstream's fast tokenizers keep objects of another library here."""
        return None

    @property
    def n_sequences(self) -> int | None:
        """How many texts the first row was made of, 1 or 2; None if it is not known."""
        layout = self._layout
        if self._n_sequences is not None or layout is None or not layout.first:
            return self._n_sequences
        return 1 if layout.second[0] is None else 2

    def convert_to_tensors(
        self, tensor_type: Any = None, prepend_batch_axis: bool = False
    ) -> BatchEncoding:
        """Make the values arrays ("np") or torch tensors ("pt"), in place; None changes nothing.

        `prepend_batch_axis` adds an axis of one row in front. A ValueError names what cannot be
        an array, such as rows that differ in length.
        """
        if tensor_type is not None:
            self.update(as_tensors(self, tensor_type, prepend_batch_axis))
        return self

    def to(self, device: Any, *, non_blocking: bool = False) -> BatchEncoding:
        """Move torch tensors to a device; arrays and lists stay, and take "cpu" only.

        Parameters
        ----------
        device : str, int or torch.device
        non_blocking : bool
            As of `torch.Tensor.to`.

        Returns
        -------
        BatchEncoding
            The same object.
        """
        self.update(move_tensors(self, device, non_blocking))
        return self

    def tokens(self, row: int = 0) -> list[str]:
        """Tokens of a row, special tokens and padding included.

        An encoding that the tokenizer's call did not make, or that was pickled, is a ValueError.
        """
        layout = self._checked(row)
        if layout.token_of is None:
            raise ValueError(
                "a pickled encoding has no vocabulary; use tokenizer.convert_ids_to_tokens"
            )
        return [layout.token_of(int(token_id)) for token_id in self._row("input_ids", row)]

    def sequence_ids(self, row: int = 0) -> list[int | None]:
        """For each token of a row 0 (first text), 1 (second) or None (special, padding).

        An encoding that was not made by the tokenizer's call is a ValueError.
        """
        layout = self._checked(row)
        second = layout.second[row]
        return layout.per_token(
            row, [0] * layout.first[row], None if second is None else [1] * second
        )

    def word_ids(self, row: int = 0) -> list[int | None]:
        """For each token of a row the index of its word, None for special tokens and padding.

        A text that was not given as words is a ValueError.
        """
        layout = self._checked(row)
        if not layout.words:
            raise ValueError(
                "word_ids needs a text given as words; call with is_split_into_words=True"
            )
        return layout.per_token(row, *layout.words[row])

    def words(self, row: int = 0) -> list[int | None]:
        """As `word_ids`."""
        return self.word_ids(row)

    def token_to_sequence(self, row_or_token: int, token: int | None = None) -> int | None:
        """Whether a token is of the first text, 0, or the second, 1; None for special tokens."""
        row, token = row_and_index(row_or_token, token)
        return value_at(self.sequence_ids(row), token)

    def token_to_word(self, row_or_token: int, token: int | None = None) -> int | None:
        """Index of the word that a token is part of, None for a special token or padding."""
        row, token = row_and_index(row_or_token, token)
        return value_at(self.word_ids(row), token)

    def token_to_chars(self, row_or_token: int, token: int | None = None) -> CharSpan | None:
        """Span of a token in its text, or None for a special token or padding.

        Raises
        ------
        ValueError
            A call without `return_offsets_mapping=True`, or a token that is not in the row.
        """
        row, token = row_and_index(row_or_token, token)
        if value_at(self.sequence_ids(row), token) is None:
            return None
        start, end = self._row("offset_mapping", row)[token]
        return CharSpan(int(start), int(end))

    def word_to_tokens(
        self, row_or_word: int, word: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """Span of the tokens of a word.

        Parameters
        ----------
        row_or_word, word : int
            A row and the index of a word, or the index alone.
        sequence_index : {0, 1}
            First or second text.

        Returns
        -------
        TokenSpan or None
            None for a word without tokens, and for one that is not there.

        Raises
        ------
        ValueError
            A text that was not given as words.
        """
        row, word = row_and_index(row_or_word, word)
        owners = zip(self.sequence_ids(row), self.word_ids(row), strict=True)
        found = [i for i, owner in enumerate(owners) if owner == (sequence_index, word)]
        return TokenSpan(found[0], found[-1] + 1) if found else None

    def word_to_chars(
        self, row_or_word: int, word: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """Span of the characters that the tokens of a word cover, counted within the word.

        Parameters
        ----------
        row_or_word, word, sequence_index : int
            As of `word_to_tokens`.

        Returns
        -------
        CharSpan or None
            None for a word without tokens, and for one that is not there.

        Raises
        ------
        ValueError
            A text that was not given as words, or a call without `return_offsets_mapping=True`.
        """
        row, word = row_and_index(row_or_word, word)
        tokens = self.word_to_tokens(row, word, sequence_index)
        offsets = self._row("offset_mapping", row)
        if tokens is None:
            return None
        return CharSpan(int(offsets[tokens.start][0]), int(offsets[tokens.end - 1][1]))

    def char_to_token(
        self, row_or_char: int, char: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """Index of the first token whose span holds a character.

        Parameters
        ----------
        row_or_char, char : int
            A row and the index of a character in its text, or the index alone.
        sequence_index : {0, 1}
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
        row, char = row_and_index(row_or_char, char)
        if self._checked(row).words:
            raise ValueError("char_to_token needs a text as one str; this one was given as words")
        spans = zip(self.sequence_ids(row), self._row("offset_mapping", row), strict=True)
        for i, (owner, (start, end)) in enumerate(spans):
            if owner == sequence_index and start <= char < end:
                return i
        return None

    def _checked(self, row: int) -> RowLayout:
        layout: RowLayout | None = self._layout
        if layout is None:
            raise ValueError("this encoding does not know its texts; use the tokenizer's own call")
        if not -len(layout.first) <= row < len(layout.first):
            raise ValueError(f"row {row} is out of range, there are {len(layout.first)} rows")
        return layout

    def _is_single(self) -> bool:
        """Whether the encoding is of a single text, without an axis for rows."""
        ids = self.get("input_ids", [[]])
        return len(ids) == 0 or np.ndim(ids[0]) == 0

    def _row(self, name: str, row: int) -> Any:
        if name not in self:
            remedy = {"offset_mapping": "; call with return_offsets_mapping=True"}.get(name, "")
            raise ValueError(f"this needs {name}, which the encoding does not hold{remedy}")
        return self[name] if self._is_single() else self[name][row]

    def _rows(self, part: slice) -> BatchEncoding:
        if self._is_single():
            raise ValueError("a single text has no rows to choose from; pass a list of texts")
        layout = self._layout and self._layout.rows(part)
        rows = {name: value[part] for name, value in self.items()}
        return BatchEncoding(rows, n_sequences=self._n_sequences, layout=layout)
