"""Added tokens: finding them in a text, and lowering the text around them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class AddedToken:
    """A token that is never cut.

    Parameters
    ----------
    content : str
    single_word : bool
        Only matched where it is not joined to other text.
    lstrip, rstrip : bool
        Also swallow the white space on that side.
    normalized : bool, optional
        Whether ``do_lower_case`` applies to it; by default it does unless the token is special.
    special : bool
        Skipped by ``skip_special_tokens``.
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
        """Make one from a str, a mapping read from JSON, or any object with the same fields.

        Raises
        ------
        TypeError
            If `token` is none of these.
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

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, as tokenizer_config.json stores them."""
        return asdict(self)


class Segment(NamedTuple):
    """A part of a text: an added token, or ordinary text for SentencePiece."""

    text: str
    start: int
    is_token: bool


def lower(text: str) -> str:
    """Lower a text character by character.

    ``str.lower`` alone looks at the neighbours of one letter, the Greek sigma.

    Examples
    --------
    >>> lower("ΟΔΟΣ") == "οδοσ"
    True
    """
    return text.replace("Σ", "σ").lower()


class Splitter:
    """Cuts a text at added tokens, leftmost first and among those the longest.

    Parameters
    ----------
    added : iterable of AddedToken
    keep_case : iterable of str
        Tokens that ``do_lower_case`` leaves alone.
    do_lower_case, split_special_tokens : bool
        Lower the ordinary text; treat added tokens as ordinary text.
    """

    def __init__(
        self,
        added: Iterable[AddedToken],
        keep_case: Iterable[str],
        *,
        do_lower_case: bool = False,
        split_special_tokens: bool = False,
    ) -> None:
        self.added = {token.content: token for token in added}
        self.do_lower_case = do_lower_case
        self.keep_case = _any_of(keep_case)
        self.tokens = None if split_special_tokens else _any_of(self.added)
        self.first_characters = {content[0] for content in self.added if content}
        self.plain = not any(t.lstrip or t.rstrip or t.single_word for t in self.added.values())

    def leaves_whole(self, text: str) -> bool:
        """Tell cheaply that a text goes to SentencePiece as it stands (False: perhaps not)."""
        if self.do_lower_case:
            return False
        if self.tokens is not None:
            for char in self.first_characters:
                if char in text:
                    return False
        return True

    def split(self, text: str) -> tuple[list[Segment], list[int] | None]:
        """Cut `text` into segments.

        Returns
        -------
        segments : list of Segment
            Their ``start`` counts in the lowered text.
        origins : list of int or None
            For each character of the lowered text, and for its end, the index in `text`; None where
            these are the same.
        """
        origins = None
        if self.do_lower_case:
            text, origins = self._lower(text)
        if self.tokens is None:
            return ([Segment(text, 0, False)] if text else []), origins
        segments = []
        done = 0
        for match in self.tokens.finditer(text):
            if match.start() > done:
                segments.append(Segment(text[done : match.start()], done, False))
            segments.append(Segment(match.group(), match.start(), True))
            done = match.end()
        if done < len(text):
            segments.append(Segment(text[done:], done, False))
        if not self.plain:
            segments = self._apply_flags(segments)
        return segments, origins

    def _lower(self, text: str) -> tuple[str, list[int] | None]:
        parts = []
        done = 0
        for match in self.keep_case.finditer(text) if self.keep_case else ():
            parts += [lower(text[done : match.start()]), match.group()]
            done = match.end()
        lowered = "".join([*parts, lower(text[done:])])
        if len(lowered) == len(text):  # no character becomes shorter, so none became longer
            return lowered, None
        kept = [m.span() for m in self.keep_case.finditer(text)] if self.keep_case else []
        widths = [len(char.lower()) for char in text]
        for start, end in kept:
            widths[start:end] = [1] * (end - start)
        origins = [i for i, width in enumerate(widths) for _ in range(width)]
        return lowered, [*origins, len(text)]

    def _apply_flags(self, segments: list[Segment]) -> list[Segment]:
        """Strip white space beside tokens that ask for it; give back those not standing alone."""
        parts = list(segments)
        for i, part in enumerate(parts):
            token = self.added.get(part.text) if part.is_token else None
            if token is None:
                continue
            left = parts[i - 1] if i > 0 else None
            right = parts[i + 1] if i + 1 < len(parts) else None
            if token.rstrip and right and right.text:
                text = right.text.lstrip()
                shift = len(right.text) - len(text)
                parts[i + 1] = right._replace(text=text, start=right.start + shift)
            if token.lstrip and left and left.text:
                parts[i - 1] = left._replace(text=left.text.rstrip())
            if not token.single_word:
                continue
            if left and left.text and left.text[-1] != " ":
                parts[i - 1] = Segment(left.text + part.text, left.start, False)
                parts[i] = Segment("", part.start, False)
            elif right and right.text and right.text[0] != " ":
                parts[i + 1] = Segment(part.text + right.text, part.start, False)
                parts[i] = Segment("", part.start, False)
        return [part for part in parts if part.text]


def _any_of(contents: Iterable[str]) -> re.Pattern[str] | None:
    longest_first = sorted({content for content in contents if content}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
