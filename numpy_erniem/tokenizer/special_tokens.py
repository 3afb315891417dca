"""The special tokens by name, and the tokens added to the vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from numpy_erniem.tokenizer.splitter import AddedToken

NAMED_TOKENS = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
SPECIAL_TOKENS = (*NAMED_TOKENS, "additional_special_tokens")


class SpecialTokens:
    """Mixin: named special tokens as attributes (`cls_token`, `cls_token_id`, ...), added tokens.

    The class it is mixed into offers `vocab`, `do_lower_case` and `_tokens_changed()`.
    """

    vocab: dict[str, int]
    do_lower_case: bool
    pad_token_type_id = 0

    def _init_special_tokens(
        self, tokens: Mapping[str, Any], added_tokens_decoder: Mapping[Any, Any] | None
    ) -> None:
        self._named: dict[str, AddedToken | None] = {}
        for name in NAMED_TOKENS:
            token = tokens.get(name)
            self._named[name] = None if token is None else _special(token)
        self._additional = [_special(t) for t in tokens.get("additional_special_tokens") or ()]
        self._added = {
            int(i): AddedToken.of(token) for i, token in (added_tokens_decoder or {}).items()
        }
        self._added_ids = {token.content: i for i, token in self._added.items()}
        missing = [t for t in self._specials() if t.content not in self._added_ids]
        self._add(missing, special=True)

    def _specials(self) -> list[AddedToken]:
        tokens = [*(self._named[name] for name in NAMED_TOKENS), *self._additional]
        return list({t.content: t for t in reversed(tokens) if t is not None}.values())[::-1]

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """Names of the special tokens that are set, with their text."""
        named = {k: t.content for k in NAMED_TOKENS if (t := self._named[k]) is not None}
        if self._additional:
            return {**named, "additional_special_tokens": self.additional_special_tokens}
        return named

    @property
    def additional_special_tokens(self) -> list[str]:
        """Special tokens without a name of their own."""
        return [token.content for token in self._additional]

    @additional_special_tokens.setter
    def additional_special_tokens(self, tokens: Iterable[Any] | None) -> None:
        self._additional = [_special(token) for token in tokens or ()]
        self._tokens_changed()

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """Ids of `additional_special_tokens`."""
        return [self._id_of(token) for token in self.additional_special_tokens]

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token, once."""
        return [token.content for token in self._specials()]

    @property
    def all_special_ids(self) -> list[int]:
        """Ids of `all_special_tokens`."""
        return [self._id_of(token) for token in self.all_special_tokens]

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """Added token → id, special ones included, in the order of ids."""
        return {token.content: i for i, token in sorted(self._added.items())}

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id → added token, in the order of ids."""
        return dict(sorted(self._added.items()))

    def __len__(self) -> int:
        """Size of the vocabulary with the added tokens."""
        return len(self.vocab) + sum(token not in self.vocab for token in self._added_ids)

    def get_added_vocab(self) -> dict[str, int]:
        """Added token → id, as `added_tokens_encoder`."""
        return self.added_tokens_encoder

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Add tokens that are never cut; unknown to the vocabulary, they get ids at its end.

        Parameters
        ----------
        new_tokens : str, AddedToken, or list of these
        special_tokens : bool
            Also make them special.

        Returns
        -------
        int
            How many got a new id: the model's embeddings must grow by as many rows.

        Raises
        ------
        TypeError
            If an element is no token.
        """
        if not new_tokens:
            return 0
        if not isinstance(new_tokens, (list, tuple)):
            new_tokens = [new_tokens]
        return self._add(new_tokens, special=special_tokens)

    def add_special_tokens(
        self, special_tokens_dict: Mapping[str, Any], replace_additional_special_tokens: bool = True
    ) -> int:
        """Set special tokens by name, adding to the vocabulary those it lacks.

        Parameters
        ----------
        special_tokens_dict : mapping
            For example ``{"cls_token": "<cls>", "additional_special_tokens": ["<q>"]}``.
        replace_additional_special_tokens : bool
            False: extend the list of additional tokens.

        Returns
        -------
        int
            How many got a new id.

        Raises
        ------
        ValueError
            If a name is none of the special tokens' names.
        TypeError
            If a value is no token.
        """
        unknown = [name for name in special_tokens_dict if name not in SPECIAL_TOKENS]
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} is not the name of a special token; use one of "
                f"{', '.join(SPECIAL_TOKENS)}"
            )
        new: list[AddedToken] = []
        for name, value in special_tokens_dict.items():
            if name in NAMED_TOKENS:
                self._named[name] = _special(value)
                new.append(self._named[name])
                continue
            if not isinstance(value, (list, tuple)):
                raise TypeError(
                    f"additional_special_tokens is a list of tokens, got {type(value).__name__} "
                    f"{value!r}; write [{value!r}]"
                )
            tokens = [_special(token) for token in value]
            if replace_additional_special_tokens and tokens:
                self._additional = tokens
            else:
                known = set(self.additional_special_tokens)
                tokens = [token for token in tokens if token.content not in known]
                self._additional = self._additional + tokens
            new += tokens
        return self._add(new, special=True)

    def _add(self, tokens: Iterable[Any], special: bool) -> int:
        names = set(self.all_special_tokens)
        size = len(self)
        new = 0
        # Copies, so that a thread that is encoding never sees a half-made change.
        added, ids = dict(self._added), dict(self._added_ids)
        for token in tokens:
            if isinstance(token, str):
                if not token or token in ids:
                    continue
                token = AddedToken(token, special=special or token in names)
            else:
                token = AddedToken.of(token)
                if special and not token.special:
                    token = AddedToken(**{**token.to_dict(), "special": True})
            if not token.content:
                continue
            if self.do_lower_case and token.normalized and not token.special:
                token = AddedToken(**{**token.to_dict(), "content": token.content.lower()})
            index = ids.get(token.content, self.vocab.get(token.content))
            if index is None:
                index = size + new
                new += 1
            if token.special and token.content not in names:
                self._additional = [*self._additional, token]
                names.add(token.content)
            added[index] = token
            ids[token.content] = index
        self._added, self._added_ids = added, ids
        self._tokens_changed()
        return new

    def _id_of(self, token: str) -> int:
        found = self._added_ids.get(token)
        if found is None:
            found = self.vocab.get(token)
        return self._unknown_id() if found is None else found

    def _unknown_id(self) -> int:
        unknown = self._named["unk_token"]
        content = None if unknown is None else unknown.content
        found = self._added_ids.get(content, self.vocab.get(content))
        if found is None:
            raise ValueError(
                f"a token is not in the vocabulary, and neither is unk_token {content!r}; "
                "add it with add_special_tokens({'unk_token': '[UNK]'})"
            )
        return found

    def _tokens_changed(self) -> None:
        """Forget what was derived from the special tokens; the tokenizer's own (`text_encoder.py`)."""
        raise NotImplementedError


def _special(token: Any) -> AddedToken:
    """Make a token given by name; a bare str is special, and keeps its case."""
    return AddedToken.of(token, special=True, normalized=False)


def _named_token(name: str) -> property:
    def get(self: SpecialTokens) -> str | None:
        token = self._named[name]
        return None if token is None else token.content

    def set_(self: SpecialTokens, value: Any) -> None:
        self._named[name] = None if value is None else _special(value)
        self._tokens_changed()

    return property(get, set_, doc=f"The text of the {name.split('_')[0].upper()} token, or None.")


def _named_token_id(name: str) -> property:
    def get(self: SpecialTokens) -> int | None:
        token = self._named[name]
        return None if token is None else self._id_of(token.content)

    def set_(self: Any, value: int) -> None:
        setattr(self, name, self.convert_ids_to_tokens(value))

    return property(get, set_, doc=f"The id of `{name}`, or None.")


for _name in NAMED_TOKENS:
    setattr(SpecialTokens, _name, _named_token(_name))
    setattr(SpecialTokens, f"{_name}_id", _named_token_id(_name))
