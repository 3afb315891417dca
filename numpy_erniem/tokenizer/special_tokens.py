"""The special tokens by name, and the tokens added to the vocabulary."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from numpy_erniem.tokenizer.attributes import NamedToken, NamedTokenId
from numpy_erniem.tokenizer.texts import as_list
from numpy_erniem.tokenizer.vocabulary import AddedToken, Vocabulary

DEFAULT_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
NAMED_TOKENS = ("bos_token", "eos_token", *DEFAULT_TOKENS)
SPECIAL_TOKENS = (*NAMED_TOKENS, "additional_special_tokens")


class SpecialTokens:
    """Tokens with a meaning of their own, and tokens added behind a vocabulary.

    Parameters
    ----------
    vocabulary : Vocabulary
    tokens : mapping, optional
        Special tokens by name (str or AddedToken), and a list as `additional_special_tokens`.
        Names that are left out have no token. Default: [UNK], [SEP], [PAD], [CLS], [MASK].
    added_tokens_decoder : mapping, optional
        Id → token that was added earlier. Special tokens that neither this nor the vocabulary has
        are added at the end.

    Attributes
    ----------
    named : dict of str to AddedToken or None
    additional : list of AddedToken or None
    added : dict of int to AddedToken
        Every token that is never cut, by its id: added ones and special ones.
    added_ids : dict of str to int
    revision : int
        Counts the changes. Whoever derives something from the tokens compares it. A change replaces
        the dicts and the list, so a thread that is encoding never sees half of one.

    Examples
    --------
    >>> tokens = SpecialTokens(Vocabulary(["[CLS]", "[PAD]", "[SEP]", "[UNK]", "a", "[MASK]"]))
    >>> tokens.sep_token_id, tokens.add_tokens("<new>"), tokens.id_of("<new>"), tokens.id_of("?")
    (2, 1, 6, 3)
    """

    bos_token, eos_token, unk_token = NamedToken(), NamedToken(), NamedToken()
    sep_token, pad_token, cls_token, mask_token = (NamedToken() for _ in range(4))
    bos_token_id, eos_token_id, unk_token_id = NamedTokenId(), NamedTokenId(), NamedTokenId()
    sep_token_id, pad_token_id, cls_token_id, mask_token_id = (NamedTokenId() for _ in range(4))

    def __init__(
        self,
        vocabulary: Vocabulary,
        tokens: Mapping[str, Any] | None = None,
        added_tokens_decoder: Mapping[Any, Any] | None = None,
    ) -> None:
        tokens = DEFAULT_TOKENS if tokens is None else tokens
        self.vocabulary = vocabulary
        self.revision = 0
        self.named: dict[str, AddedToken | None] = {
            name: None if tokens.get(name) is None else AddedToken.special_of(tokens[name])
            for name in NAMED_TOKENS
        }
        additional = tokens.get("additional_special_tokens")
        self.additional: list[AddedToken] | None = AddedToken.specials_of(additional or [])
        added = added_tokens_decoder or {}
        self.added = {int(i): AddedToken.of(token) for i, token in added.items()}
        self.added_ids = {token.content: i for i, token in self.added.items()}
        self._add([t for t in self.all_added() if t.content not in self.added_ids], special=True)

    def all_added(self) -> list[AddedToken]:
        """Every special token, once."""
        tokens = [*(self.named[name] for name in NAMED_TOKENS), *(self.additional or ())]
        return list({t.content: t for t in reversed(tokens) if t is not None}.values())[::-1]

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """Names of the special tokens that are set, with their text."""
        named: dict[str, Any] = {n: t.content for n, t in self.named.items() if t is not None}
        if self.additional:
            named["additional_special_tokens"] = self.additional_special_tokens
        return named

    @property
    def additional_special_tokens(self) -> list[str] | None:
        """Special tokens without a name of their own; None where None was set."""
        return None if self.additional is None else [token.content for token in self.additional]

    @additional_special_tokens.setter
    def additional_special_tokens(self, tokens: Iterable[Any] | None) -> None:
        self.additional = None if tokens is None else AddedToken.specials_of(tokens)
        self.revision += 1

    @property
    def additional_special_tokens_ids(self) -> list[int] | None:
        """Ids of `additional_special_tokens`."""
        return None if self.additional is None else [self.id_of(t.content) for t in self.additional]

    @additional_special_tokens_ids.setter
    def additional_special_tokens_ids(self, ids: Iterable[int] | None) -> None:
        self.additional_special_tokens = None if ids is None else [*map(self.token_of, ids)]

    @property
    def all_special_tokens(self) -> list[str]:
        """Texts of `all_added`."""
        return [token.content for token in self.all_added()]

    @property
    def all_special_ids(self) -> list[int]:
        """Ids of `all_special_tokens`."""
        return [self.id_of(token) for token in self.all_special_tokens]

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """Added token → id, special ones included, in the order of ids."""
        return {token.content: i for i, token in sorted(self.added.items())}

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id → added token, special ones included, in the order of ids."""
        return dict(sorted(self.added.items()))

    @property
    def size(self) -> int:
        """Size of the vocabulary with the added tokens."""
        return len(self.vocabulary) + sum(t not in self.vocabulary for t in self.added_ids)

    def id_of(self, token: str) -> int:
        """Id of a token, that of the unknown token for one that is nowhere.

        Raises
        ------
        ValueError
            A token that is nowhere, and an unknown token that is nowhere either.
        """
        found = self.added_ids.get(token)
        if found is None:
            found = self.vocabulary.id_of(token)
        return self._unknown_id() if found is None else found

    def ids_of(self, tokens: Iterable[str]) -> list[int]:
        """Ids of several tokens, see `id_of`; a token that is not a str is a TypeError."""
        tokens = as_list(tokens, "tokens")
        for token in tokens:
            if not isinstance(token, str):
                raise TypeError(f"a token is a str, got {type(token).__name__} {token!r}")
        return list(map(self.id_of, tokens))

    def _unknown_id(self) -> int:
        unknown = self.unk_token
        found = self.added_ids.get(unknown, self.vocabulary.id_of(unknown))
        if found is None:
            raise ValueError(
                f"a token is not in the vocabulary, and neither is unk_token {unknown!r}; "
                "add it with add_special_tokens({'unk_token': '[UNK]'})"
            )
        return found

    def token_of(self, index: Any) -> str:
        """Token of an id.

        Raises
        ------
        ValueError
            An id that is not in the vocabulary.
        TypeError
            An id that is not an integer.
        """
        if isinstance(index, bool) or not hasattr(index, "__index__"):
            raise TypeError(f"an id is an integer, got {type(index).__name__} {index!r}")
        added = self.added.get(index)
        if added is not None:
            return added.content
        try:
            token = self.vocabulary.token_of(index)
        except IndexError:
            largest = max([self.vocabulary.lines - 1, *self.added])
            raise ValueError(
                f"id {index} is not in the vocabulary (0 to {largest}); was it made by another "
                "tokenizer, or is it a label such as -100 that has to be taken out first?"
            ) from None
        return (self.unk_token or "") if token is None else token

    def add_tokens(
        self, new_tokens: Any, special_tokens: bool = False, lower_case: bool = False
    ) -> int:
        """Add tokens that are never cut. Those the vocabulary lacks get ids at its end.

        Parameters
        ----------
        new_tokens : str, AddedToken, or list of these
        special_tokens : bool
            Also make them special.
        lower_case : bool
            Lower the tokens that are `normalized` and not special, for a text that is lowered.

        Returns
        -------
        int
            How many got a new id: the model's embeddings must grow by as many rows.

        Raises
        ------
        TypeError
            An element that is not a token.
        """
        tokens = as_list(new_tokens, "new_tokens") or []
        tokens = tokens if isinstance(tokens, (list, tuple)) else [tokens]
        return self._add(tokens, special_tokens, lower_case)

    def add_special_tokens(
        self, special_tokens_dict: Mapping[str, Any], replace_additional_special_tokens: bool = True
    ) -> int:
        """Set special tokens by name, and add those that the vocabulary lacks.

        Parameters
        ----------
        special_tokens_dict : mapping
            For example `{"cls_token": "<cls>", "additional_special_tokens": ["<q>"]}`.
        replace_additional_special_tokens : bool
            False: extend the list of additional tokens.

        Returns
        -------
        int
            How many got a new id.

        Raises
        ------
        ValueError
            An unknown name; nothing is changed.
        TypeError
            A value that is not a token; nothing is changed.
        """
        unknown = [name for name in special_tokens_dict if name not in SPECIAL_TOKENS]
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} is not the name of a special token; use one of "
                f"{', '.join(SPECIAL_TOKENS)}"
            )
        named, additional = dict(self.named), self.additional or []
        new: list[AddedToken] = []
        for name, value in special_tokens_dict.items():
            if name in NAMED_TOKENS:
                named[name] = AddedToken.special_of(value)
                new.append(named[name])
                continue
            tokens = AddedToken.specials_of(value)
            if replace_additional_special_tokens and tokens:
                additional = tokens
            else:
                known = {token.content for token in additional}
                tokens = [token for token in tokens if token.content not in known]
                additional = additional + tokens
            new += tokens
        self.named = named
        if "additional_special_tokens" in special_tokens_dict:
            self.additional = additional
        return self._add(new, special=True)

    def _add(self, tokens: Iterable[Any], special: bool, lower_case: bool = False) -> int:
        names = set(self.all_special_tokens)
        size, new = self.size, 0
        added, ids = dict(self.added), dict(self.added_ids)
        for token in tokens:
            if isinstance(token, str):
                if token in ids:
                    continue
                token = AddedToken(token, special=special or token in names)
            token = AddedToken.of(token)
            if special and not token.special:
                token = replace(token, special=True)
            if not token.content:
                continue
            if lower_case and token.normalized and not token.special:
                token = replace(token, content=token.content.lower())
            index = ids.get(token.content, self.vocabulary.id_of(token.content))
            if index is None:
                index = size + new
                new += 1
            if token.special and token.content not in names:
                self.additional = [*(self.additional or ()), token]
                names.add(token.content)
            added[index] = token
            ids[token.content] = index
        self.added, self.added_ids = added, ids
        self.revision += 1
        return new
