"""Ids, tokens and text: looking up in both directions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from numpy_erniem.tokenizer.pieces import UNDERLINE
from numpy_erniem.tokenizer.special_tokens import SpecialTokens

# English habits of writing, undone by `clean_up_tokenization_spaces`; the order matters.
TIDIED = (
    *((f" {mark}", mark) for mark in ".?!,"),
    (" ' ", "'"),
    *((f" {ending}", ending) for ending in ("n't", "'m", "'s", "'ve", "'re")),
)


class Vocabulary(SpecialTokens):
    """Mixin: the vocabulary of `ErnieMTokenizer`."""

    vocab: dict[str, int]
    _lines: list[str]
    clean_up_tokenization_spaces: bool

    @property
    def vocab_size(self) -> int:
        """Size of the vocabulary without added tokens."""
        return len(self.vocab)

    def get_vocab(self) -> dict[str, int]:
        """Token → id, with the added tokens."""
        return {**self.vocab, **self._added_ids}

    def convert_tokens_to_ids(self, tokens: str | Iterable[str] | None) -> Any:
        """Look up the id of a token, or the list of ids of several; unknown ones get unk_token_id.

        Raises
        ------
        TypeError
            If a token is not a str.
        """
        if tokens is None:
            return None
        if isinstance(tokens, str):
            return self._id_of(tokens)
        tokens = list(tokens)
        for token in tokens:
            if not isinstance(token, str):
                raise TypeError(f"a token is a str, got {type(token).__name__} {token!r}")
        return [self._id_of(token) for token in tokens]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Look up the token of an id, or the list of tokens of several.

        Raises
        ------
        ValueError
            If an id is not in the vocabulary (upstream: silently the unknown token).
        TypeError
            If an id is not an integer.
        """
        ids = _plain(ids)
        if not isinstance(ids, list):
            return self._token_of(ids)
        skipped = set(self.all_special_ids) if skip_special_tokens else ()
        return [self._token_of(i) for i in ids if i not in skipped]

    def _token_of(self, index: Any) -> str:
        if isinstance(index, bool) or not hasattr(index, "__index__"):
            raise TypeError(f"an id is an integer, got {type(index).__name__} {index!r}")
        added = self._added.get(index)
        if added is not None:
            return added.content
        if 0 <= index < len(self._lines):
            token = self._lines[index]
            # Of a token that stands twice in vocab.txt, upstream knows the last line only.
            return token if self.vocab[token] == index else self._unknown_token()
        raise ValueError(
            f"id {index} is not in the vocabulary (0 to {self._largest_id()}); was it made by "
            "another tokenizer, or is it a label such as -100 that has to be taken out first?"
        )

    def _unknown_token(self) -> str:
        unknown = self._named["unk_token"]
        return "" if unknown is None else unknown.content

    def _largest_id(self) -> int:
        return max([len(self._lines) - 1, *self._added])

    def convert_tokens_to_string(self, tokens: Iterable[str]) -> str:
        """Join tokens to a text: "▁" becomes a space, outer spaces go.

        White space is all that is lost; line breaks were lost when SentencePiece normalised.
        """
        return "".join(tokens).replace(UNDERLINE, " ").strip()

    def convert_ids_to_string(self, ids: Any) -> str:
        """Join the tokens of ids to a text, special tokens included."""
        return self.convert_tokens_to_string(self.convert_ids_to_tokens(_as_list(ids)))

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        spaces_between_special_tokens: bool = True,
    ) -> str:
        """Turn ids back into a text.

        Parameters
        ----------
        token_ids : int, list of int, array or tensor (T,)
        skip_special_tokens : bool
            Leave out [CLS], [SEP], [PAD] and the other special tokens.
        clean_up_tokenization_spaces : bool, optional
            Take away the space in front of English punctuation; default: the tokenizer's attribute.
        spaces_between_special_tokens : bool
            Put a space around tokens that were added to the vocabulary.

        Raises
        ------
        ValueError
            If an id is not in the vocabulary.
        TypeError
            If an id is not an integer.
        """
        tokens = self.convert_ids_to_tokens(_as_list(token_ids), skip_special_tokens)
        apart = self._written_apart()
        parts: list[str] = []
        run: list[str] = []
        for token in tokens:
            if token not in apart:
                run.append(token)
                continue
            if text := self.convert_tokens_to_string(run):
                parts.append(text)
            parts.append(token)
            run = []
        if run:
            parts.append(self.convert_tokens_to_string(run))
        text = (" " if spaces_between_special_tokens else "").join(parts)
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self.clean_up_tokenization_spaces
        if clean_up_tokenization_spaces:
            for untidy, tidy in TIDIED:
                text = text.replace(untidy, tidy)
        return text

    def _written_apart(self) -> set[str]:
        """Added tokens that `decode` does not join to their neighbours."""
        new_special = {
            t for t in self.additional_special_tokens if self._id_of(t) >= len(self.vocab)
        }
        return (self._added_ids.keys() - set(self.all_special_tokens)) | new_special

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        spaces_between_special_tokens: bool = True,
    ) -> list[str]:
        """Turn rows of ids back into texts; options and errors as for `decode`."""
        return [
            self.decode(
                row,
                skip_special_tokens,
                clean_up_tokenization_spaces,
                spaces_between_special_tokens,
            )
            for row in _plain(sequences)
        ]


def _plain(value: Any) -> Any:
    """Nested lists of int from arrays, tensors, tuples or encodings; an int stays an int."""
    if isinstance(value, Mapping):
        raise TypeError("decode takes ids, got a mapping; pass encoding['input_ids']")
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) if type(item) is not int else item for item in value]
    if isinstance(value, Iterable) and not isinstance(value, str):
        return list(value)
    return value


def _as_list(ids: Any) -> list:
    ids = _plain(ids)
    return ids if isinstance(ids, list) else [ids]
