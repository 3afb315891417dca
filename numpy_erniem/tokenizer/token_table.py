"""Token ⇄ id, and ids → text: a vocabulary with its special tokens."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from numpy_erniem.tokenizer.attributes import PartAttribute, part_method
from numpy_erniem.tokenizer.pieces import UNDERLINE
from numpy_erniem.tokenizer.special_tokens import SPECIAL_TOKENS, SpecialTokens
from numpy_erniem.tokenizer.texts import as_list
from numpy_erniem.tokenizer.vocabulary import AddedToken, Vocabulary

T = TypeVar("T", bound="TokenTable")

# Spaces that `clean_up_tokenization_spaces` removes from English text; the order matters.
CLEAN_UP = (
    *((f" {mark}", mark) for mark in ".?!,"),
    (" ' ", "'"),
    *((f" {ending}", ending) for ending in ("n't", "'m", "'s", "'ve", "'re")),
)


class TokenTable:
    """Tokens and their ids; turns ids back into text.

    Parameters
    ----------
    special_tokens : SpecialTokens
    clean_up_tokenization_spaces : bool
        Default of `decode`.

    Examples
    --------
    >>> from numpy_erniem.tokenizer.vocabulary import Vocabulary
    >>> vocabulary = Vocabulary(["[CLS]", "[PAD]", "[SEP]", "[UNK]", "▁a", "b", "[MASK]"])
    >>> TokenTable(SpecialTokens(vocabulary)).decode([0, 4, 5, 4, 2], skip_special_tokens=True)
    'ab a'
    """

    bos_token = PartAttribute[str | None]("special_tokens", "Text of the BOS token, or None.")
    eos_token = PartAttribute[str | None]("special_tokens", "Text of the EOS token, or None.")
    unk_token = PartAttribute[str | None]("special_tokens", "Text of the UNK token, or None.")
    sep_token = PartAttribute[str | None]("special_tokens", "Text of the SEP token, or None.")
    pad_token = PartAttribute[str | None]("special_tokens", "Text of the PAD token, or None.")
    cls_token = PartAttribute[str | None]("special_tokens", "Text of the CLS token, or None.")
    mask_token = PartAttribute[str | None]("special_tokens", "Text of the MASK token, or None.")
    bos_token_id = PartAttribute[int | None]("special_tokens", "Id of `bos_token`, or None.")
    eos_token_id = PartAttribute[int | None]("special_tokens", "Id of `eos_token`, or None.")
    unk_token_id = PartAttribute[int | None]("special_tokens", "Id of `unk_token`, or None.")
    sep_token_id = PartAttribute[int | None]("special_tokens", "Id of `sep_token`, or None.")
    pad_token_id = PartAttribute[int | None]("special_tokens", "Id of `pad_token`, or None.")
    cls_token_id = PartAttribute[int | None]("special_tokens", "Id of `cls_token`, or None.")
    mask_token_id = PartAttribute[int | None]("special_tokens", "Id of `mask_token`, or None.")
    additional_special_tokens = PartAttribute[list[str] | None](
        "special_tokens", "Others, without name."
    )
    additional_special_tokens_ids = PartAttribute[list[int] | None]("special_tokens", "Their ids.")
    special_tokens_map = PartAttribute[dict[str, Any]]("special_tokens", "Name → text.")
    all_special_tokens = PartAttribute[list[str]]("special_tokens", "Every special token, once.")
    all_special_ids = PartAttribute[list[int]]("special_tokens", "Ids of `all_special_tokens`.")
    added_tokens_encoder = PartAttribute[dict[str, int]]("special_tokens", "Added token → id.")
    added_tokens_decoder = PartAttribute[dict[int, AddedToken]](
        "special_tokens", "Id → added token."
    )

    SPECIAL_TOKENS_ATTRIBUTES = SPECIAL_TOKENS
    add_special_tokens = part_method("special_tokens", SpecialTokens.add_special_tokens)

    def __init__(
        self, special_tokens: SpecialTokens, clean_up_tokenization_spaces: bool = True
    ) -> None:
        self.special_tokens = special_tokens
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces

    def __copy__(self: T) -> T:
        # The parts belong together, so a copy has parts of its own.
        return copy.deepcopy(self)

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokens of `vocab.txt`."""
        return self.special_tokens.vocabulary

    @property
    def vocab(self) -> dict[str, int]:
        """Token → id, without added tokens."""
        return self.vocabulary.ids

    @property
    def special_tokens_map_extended(self) -> dict[str, Any]:
        """As `special_tokens_map`, with each token as an AddedToken."""
        tokens = self.special_tokens
        named = {name: token for name, token in tokens.named.items() if token is not None}
        more = {"additional_special_tokens": tokens.additional} if tokens.additional else {}
        return {**named, **more}

    @property
    def all_special_tokens_extended(self) -> list[AddedToken]:
        """As `all_special_tokens`, with each token as an AddedToken."""
        return self.special_tokens.all_added()

    @property
    def vocab_size(self) -> int:
        """Size of the vocabulary without added tokens."""
        return len(self.vocabulary)

    def __len__(self) -> int:
        """Size of the vocabulary with the added tokens."""
        return self.special_tokens.size

    def get_vocab(self) -> dict[str, int]:
        """Token → id, with the added tokens."""
        return {**self.vocab, **self.special_tokens.added_ids}

    def get_added_vocab(self) -> dict[str, int]:
        """Added token → id, as `added_tokens_encoder`."""
        return self.added_tokens_encoder

    def convert_tokens_to_ids(self, tokens: str | Iterable[str] | None) -> Any:
        """Look up the id of a token, or the list of ids of several; unknown ones get unk_token_id.

        Raises
        ------
        TypeError
            A token that is not a str.
        """
        if tokens is None:
            return None
        if isinstance(tokens, str):
            return self.special_tokens.id_of(tokens)
        return self.special_tokens.ids_of(tokens)

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
        return "".join(as_list(tokens, "tokens")).replace(UNDERLINE, " ").strip()

    def convert_ids_to_string(self, ids: Any) -> str:
        """Join the tokens of ids to a text, special tokens included."""
        ids = plain_ids(ids)
        tokens = self.convert_ids_to_tokens(ids if isinstance(ids, list) else [ids])
        return self.convert_tokens_to_string(tokens)

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
            Remove the space in front of English punctuation. Default: the attribute.
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
        return self.clean_up_tokenization(text) if clean_up_tokenization_spaces else text

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """Remove the space in front of English punctuation and endings such as "'s"."""
        for before, after in CLEAN_UP:
            out_string = out_string.replace(before, after)
        return out_string

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
