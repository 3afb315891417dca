"""Ids → tokens → text."""

from collections.abc import Iterable, Mapping
from typing import Any

from numpy_erniem.tokenizer.pieces import UNDERLINE
from numpy_erniem.tokenizer.special_tokens import SpecialTokens

# Spaces that `clean_up_tokenization_spaces` removes from English text; the order matters.
CLEAN_UP = (
    *((f" {mark}", mark) for mark in ".?!,"),
    (" ' ", "'"),
    *((f" {ending}", ending) for ending in ("n't", "'m", "'s", "'ve", "'re")),
)


class Decoder:
    """Turns ids back into tokens and text.

    Parameters
    ----------
    special_tokens : SpecialTokens
    clean_up_tokenization_spaces : bool
        Default of `decode`.

    Examples
    --------
    >>> from numpy_erniem.tokenizer.vocabulary import Vocabulary
    >>> vocabulary = Vocabulary(["[CLS]", "[PAD]", "[SEP]", "[UNK]", "▁a", "b", "[MASK]"])
    >>> Decoder(SpecialTokens(vocabulary)).decode([0, 4, 5, 4, 2], skip_special_tokens=True)
    'ab a'
    """

    def __init__(
        self, special_tokens: SpecialTokens, clean_up_tokenization_spaces: bool = True
    ) -> None:
        self.special_tokens = special_tokens
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Look up the token of an id, or the list of tokens of several.

        Raises
        ------
        ValueError
            An id that is not in the vocabulary. (Upstream gives the unknown token.)
        TypeError
            An id that is not an integer.
        """
        ids = plain_ids(ids)
        if not isinstance(ids, list):
            return self.special_tokens.token_of(ids)
        skipped = set(self.special_tokens.all_special_ids) if skip_special_tokens else ()
        return [self.special_tokens.token_of(i) for i in ids if i not in skipped]

    def convert_tokens_to_string(self, tokens: Iterable[str]) -> str:
        """Join tokens to a text: "▁" becomes a space, spaces at the ends are removed."""
        return "".join(tokens).replace(UNDERLINE, " ").strip()

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
            Remove the space in front of English punctuation. Default: the decoder's attribute.
        spaces_between_special_tokens : bool
            Put a space around tokens that were added to the vocabulary.

        Returns
        -------
        str
            Differs from the text that was encoded in white space, in what SentencePiece
            normalised, and at unknown tokens.

        Raises
        ------
        ValueError
            An id that is not in the vocabulary.
        TypeError
            An id that is not an integer.
        """
        ids = plain_ids(token_ids)
        ids = ids if isinstance(ids, list) else [ids]
        separate = self._separate_tokens()
        parts: list[str] = []
        run: list[str] = []
        for token in self.convert_ids_to_tokens(ids, skip_special_tokens):
            if token not in separate:
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
            for before, after in CLEAN_UP:
                text = text.replace(before, after)
        return text

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        spaces_between_special_tokens: bool = True,
    ) -> list[str]:
        """Turn rows of ids back into texts.

        Parameters
        ----------
        sequences : list of rows, array or tensor (B, T)
        skip_special_tokens, clean_up_tokenization_spaces, spaces_between_special_tokens
            As for `decode`, which also tells the errors.

        Returns
        -------
        list of str
        """
        how = skip_special_tokens, clean_up_tokenization_spaces, spaces_between_special_tokens
        return [self.decode(row, *how) for row in plain_ids(sequences)]

    def _separate_tokens(self) -> set[str]:
        """Added tokens that are not joined to their neighbours."""
        tokens = self.special_tokens
        additional = tokens.additional_special_tokens or ()
        new_special = {t for t in additional if tokens.id_of(t) >= len(tokens.vocabulary)}
        return (tokens.added_ids.keys() - set(tokens.all_special_tokens)) | new_special


def plain_ids(value: Any) -> Any:
    """Nested lists of int from arrays, tensors or tuples; an int stays an int.

    Raises
    ------
    TypeError
        An encoding or another mapping.
    """
    if isinstance(value, Mapping):
        raise TypeError("decode takes ids, got a mapping; pass encoding['input_ids']")
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain_ids(item) if type(item) is not int else item for item in value]
    if isinstance(value, Iterable) and not isinstance(value, str):
        return list(value)
    return value
