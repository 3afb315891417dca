"""Tokens and their ids: reading `vocab.txt`, and tokens that are added to it."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.lfs import refuse_pointer
from numpy_erniem.checks import warn
from numpy_erniem.tokenizer.texts import as_list


@dataclass(frozen=True)
class AddedToken:
    """A token that is never cut.

    Parameters
    ----------
    content : str
    single_word : bool
        Match it only where no other text is joined to it. Only a space separates, as upstream.
    lstrip, rstrip : bool
        Also remove the white space on that side.
    normalized : bool, optional
        Whether `do_lower_case` applies to it. Default: it does, unless the token is special.
    special : bool
        Whether `skip_special_tokens` leaves it out.

    Raises
    ------
    TypeError
        Content that is not a str.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool | None = None
    special: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.content, str):
            raise TypeError(
                f"an added token is a str, got {type(self.content).__name__} {self.content!r}"
            )
        if self.normalized is None:
            object.__setattr__(self, "normalized", not self.special)

    def __str__(self) -> str:
        return self.content

    @classmethod
    def of(cls, token: Any, **flags: bool) -> AddedToken:
        """Make an added token of a str, a mapping read from JSON, or an object with these fields.

        Parameters
        ----------
        token : str, mapping, AddedToken or object
        **flags
            Fields of a token that does not have them itself, as a str.

        Raises
        ------
        TypeError
            Any other kind of token.
        """
        if isinstance(token, cls):
            return token
        if isinstance(token, str):
            return cls(token, **flags)
        names = cls.__dataclass_fields__
        if isinstance(token, Mapping) and "content" in token:
            return cls(**{**flags, **{k: v for k, v in token.items() if k in names}})
        if hasattr(token, "content"):
            return cls(**{name: getattr(token, name) for name in names if hasattr(token, name)})
        raise TypeError(
            f"a token must be a str or an AddedToken, got {type(token).__name__} {token!r}"
        )

    @classmethod
    def special_of(cls, token: Any) -> AddedToken:
        """Make a special token; a bare str keeps its case where the text is lowered."""
        return cls.of(token, special=True, normalized=False)

    @classmethod
    def specials_of(cls, tokens: Any) -> list[AddedToken]:
        """Make special tokens of a list; a TypeError where it is one token."""
        tokens = as_list(tokens, "additional_special_tokens")
        if not isinstance(tokens, (list, tuple)):
            raise TypeError(
                f"additional_special_tokens is a list of tokens, got {type(tokens).__name__} "
                f"{tokens!r}; write [{tokens!r}]"
            )
        return [*map(cls.special_of, tokens)]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, as `tokenizer_config.json` stores them."""
        return asdict(self)


class Vocabulary:
    """The tokens of `vocab.txt`; the id of a token is its line number, from 0. Never changes.

    Parameters
    ----------
    tokens : iterable of str
        In the order of their ids. Of a token that is listed twice the last line counts, as
        upstream.

    Notes
    -----
    All tokens are one str, and an id is found by a search in their sorted hashes. A list and a dict
    of a quarter of a million tokens take four times the memory. They are made when they are asked
    for; a tokenizer remembers the ids of each piece that it has seen, so it needs neither.

    Examples
    --------
    >>> vocabulary = Vocabulary(["[CLS]", "[PAD]", "▁a"])
    >>> vocabulary.id_of("▁a"), vocabulary.token_of(0), len(vocabulary)
    (2, '[CLS]', 3)
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        lines = list(tokens)
        self.lines = len(lines)
        self._text = "".join(lines)
        ends = np.cumsum([0, *map(len, lines)], dtype=np.int64)
        hashes = np.fromiter(map(hash, lines), np.int64, len(lines))
        order = np.argsort(hashes, kind="stable")  # of equal ones, the last line comes last
        hashes = hashes[order]
        self._ends, self._hashes, self._order = (
            array("q", numbers.tobytes()) for numbers in (ends, hashes, order.astype(np.int64))
        )
        doubtful = order[:-1][hashes[1:] == hashes[:-1]].tolist()
        self._replaced = {line for line in doubtful if self.id_of(self._line(line)) != line}

    def __len__(self) -> int:
        return self.lines - len(self._replaced)

    def __contains__(self, token: object) -> bool:
        return self.id_of(token) is not None

    @property
    def tokens(self) -> list[str]:
        """Every line; a new list."""
        return list(map(self._line, range(self.lines)))

    @cached_property
    def ids(self) -> dict[str, int]:
        """Token → id."""
        return dict(zip(self.tokens, range(self.lines), strict=True))

    def id_of(self, token: object) -> int | None:
        """Id of a token, None if the vocabulary does not have it."""
        key = hash(token)
        at = bisect_right(self._hashes, key) - 1
        while at >= 0 and self._hashes[at] == key:
            line = self._order[at]
            if self._line(line) == token:
                return line
            at -= 1
        return None

    def token_of(self, index: int) -> str | None:
        """Token of an id, None for a line whose token is listed again further down.

        Raises
        ------
        IndexError
            An id below 0 or beyond the last line.
        """
        if not 0 <= index < self.lines:
            raise IndexError(f"id {index} is not one of 0 to {self.lines - 1}")
        return None if index in self._replaced else self._line(index)

    def _line(self, index: int) -> str:
        return self._text[self._ends[index] : self._ends[index + 1]]

    def __copy__(self) -> Vocabulary:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Vocabulary:
        return self

    def __reduce__(self) -> tuple[type[Vocabulary], tuple[list[str]]]:
        """What pickle takes: the tokens, because hashes differ between processes."""
        return type(self), (self.tokens,)


def load_vocabulary(
    processor: Any, path: str | os.PathLike[str] | None, encoding: str = "utf8"
) -> Vocabulary:
    """Load the vocabulary of a SentencePiece model.

    Parameters
    ----------
    processor : sentencepiece.SentencePieceProcessor
    path : path or None
        `vocab.txt`. None: tokens are numbered by SentencePiece id, with a warning.
    encoding : str
        Of the file.

    Returns
    -------
    Vocabulary

    Raises
    ------
    FileNotFoundError
        A path without a file.
    ValueError
        A file that is empty, has another encoding, or was made for another model.
    """
    if path is None:
        warn(
            "no vocab_file was given: tokens are numbered by SentencePiece id, which differs from "
            "the ids of published ERNIE-M checkpoints"
        )
        return Vocabulary(processor.id_to_piece(i) for i in range(processor.get_piece_size()))
    vocabulary = Vocabulary(_read_lines(Path(path), encoding))
    _check_belong_together(processor, vocabulary, os.fspath(path))
    return vocabulary


def _read_lines(path: Path, encoding: str) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no vocabulary at {str(path)!r}; pass vocab_file=None "
            "to number tokens by SentencePiece id"
        )
    try:
        content = path.read_bytes()
        refuse_pointer(path, content)
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{str(path)!r} is not {encoding} text ({error}); pass the right encoding=..."
        ) from error
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise ValueError(f"the vocabulary {str(path)!r} is empty; download it again")
    return lines


def _check_belong_together(processor: Any, vocabulary: Vocabulary, name: str) -> None:
    """Check on a sample of pieces that a vocabulary was made for a SentencePiece model."""
    size = processor.get_piece_size()
    sample = range(0, size, max(1, size // 512))
    pieces = [processor.id_to_piece(i) for i in sample if not processor.is_control(i)]
    known = sum(piece in vocabulary for piece in pieces) / max(1, len(pieces))
    found = f"{known:.0%} of the SentencePiece model's pieces are in the vocabulary {name!r}"
    if known < 0.05:
        raise ValueError(f"only {found}; take both files from the same checkpoint")
    if known < 0.5:
        warn(f"only {found}; do both files come from one checkpoint?")
