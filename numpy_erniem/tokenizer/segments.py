"""Segments of a text: cutting it at added tokens, and where in a segment a token comes from."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from numpy_erniem.tokenizer.pieces import LONE_SURROGATE, UNDERLINE, PieceCutter, Span
from numpy_erniem.tokenizer.vocabulary import AddedToken


class Segment(NamedTuple):
    """A part of a text: an added token, or ordinary text for SentencePiece.

    Parameters
    ----------
    text : str
    start : int
        Index of its first character in the text (in the lowered text, where it was lowered).
    is_token : bool
    """

    text: str
    start: int
    is_token: bool


def lower(text: str) -> str:
    """Lower a text character by character.

    `str.lower` writes the Greek sigma in two ways, depending on its neighbours; here it is "σ".

    Examples
    --------
    >>> lower("ΟΔΟΣ") == "οδοσ"
    True
    """
    return text.replace("Σ", "σ").lower()


class Splitter:
    """Cuts a text at added tokens: the leftmost first, and of several there the longest.

    Parameters
    ----------
    added : iterable of AddedToken
    keep_case : iterable of str
        Tokens that `do_lower_case` leaves as they are.
    do_lower_case : bool
        Lower the ordinary text.
    split_special_tokens : bool
        Treat added tokens as ordinary text.
    lower_special_tokens : bool
        `do_lower_case` lowers the whole text by `str.lower`, and leaves no token as it is.

    Examples
    --------
    >>> splitter = Splitter([AddedToken("<a>")], [])
    >>> segments, _ = splitter.split("one <a>two")
    >>> [(s.text, s.start, s.is_token) for s in segments]
    [('one ', 0, False), ('<a>', 4, True), ('two', 7, False)]
    """

    def __init__(
        self,
        added: Iterable[AddedToken],
        keep_case: Iterable[str],
        *,
        do_lower_case: bool = False,
        split_special_tokens: bool = False,
        lower_special_tokens: bool = False,
    ) -> None:
        self.added = {token.content: token for token in added}
        self.do_lower_case = do_lower_case
        self.lower = str.lower if lower_special_tokens else lower
        self.keep_case = None if lower_special_tokens else _any_of(keep_case)
        self.tokens = None if split_special_tokens else _any_of(self.added)
        self.first_characters = {content[0] for content in self.added if content}
        self.plain = not any(t.lstrip or t.rstrip or t.single_word for t in self.added.values())

    def leaves_whole(self, text: str) -> bool:
        """Whether a text surely is one segment, unchanged. False: `split` has to tell.

        Cheap: it only looks for the first characters of added tokens.
        """
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
            Of the lowered text, where the text is lowered.
        origins : list of int or None
            For each character of the lowered text, and for its end, the index in `text`. None if
            all are the same.
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
            parts += [self.lower(text[done : match.start()]), match.group()]
            done = match.end()
        lowered = "".join([*parts, self.lower(text[done:])])
        if len(lowered) == len(text):  # lowering never shortens, so every character kept its width
            return lowered, None
        kept = [m.span() for m in self.keep_case.finditer(text)] if self.keep_case else []
        widths = [len(char.lower()) for char in text]
        for start, end in kept:
            widths[start:end] = [1] * (end - start)
        origins = [i for i, width in enumerate(widths) for _ in range(width)]
        return lowered, [*origins, len(text)]

    def _apply_flags(self, segments: list[Segment]) -> list[Segment]:
        """Apply `lstrip`, `rstrip` and `single_word` to the tokens that were found.

        A `single_word` token that is joined to other text becomes part of that text.
        """
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


class Aligner:
    """Character offsets for the tokens of a segment, by SentencePiece's own alignment.

    Parameters
    ----------
    cutter : PieceCutter

    Notes
    -----
    SentencePiece gives, for every character of the normalised text, the index in the source where
    the group of characters it was made from begins. The pieces follow one another in the normalised
    text without a gap, so the range of each token there is known, and nothing has to be searched
    for.
    """

    def __init__(self, cutter: PieceCutter) -> None:
        self.cutter = cutter
        self._vanishes = lru_cache(maxsize=4096)(self._normalizes_to_nothing)

    def ids_and_offsets(self, segment: str) -> tuple[list[int], list[Span]]:
        """Token ids of a segment, and the span of each token in it.

        Returns
        -------
        ids : list of int
        spans : list of (int, int)
            Start and end in `segment`; starts never decrease. The "▁" in front of a token is not
            part of its span. A token that is only "▁" has the span of the white space it stands
            for, an empty one where there is none.

        Raises
        ------
        ValueError
            Pieces that are longer than the normalised text (of a model with byte fallback).
        """
        # One character replaces one, so offsets stay the same.
        segment = LONE_SURROGATE.sub("\ufffd", segment)
        ids, ranges = self.cutter.ids_and_ranges(segment)
        if not ranges:
            return ids, []
        normalized, origin = self._normalize(segment)
        if ranges[-1][1] > len(normalized):
            raise ValueError(
                "offsets need pieces that make up the normalised text, and those of this "
                "SentencePiece model do not (byte fallback?); call without return_offsets_mapping"
            )
        return ids, [self._source_span(segment, normalized, origin, r) for r in ranges]

    def _source_span(self, text: str, normalized: str, origin: list[int], span: Span) -> Span:
        first, last = span
        while first < last and normalized[first] == UNDERLINE:
            first += 1
        if first == last and span[0] == 0:
            # SentencePiece puts a "▁" before the text. No character of the text stands for it.
            return origin[0], origin[last]
        if first == last:
            first = span[0]
        # Several normalised characters may come from one group ("½" → "1⁄2"). The group ends where
        # the next one begins.
        group = origin[last - 1]
        while last < len(normalized) and origin[last] == group:
            last += 1
        end = origin[last]
        if end - group > 1:
            end = self._without_vanishing_tail(text, group, end)
        return origin[first], end

    def _without_vanishing_tail(self, text: str, start: int, end: int) -> int:
        """Move `end` before characters that normalisation deletes; they belong to no token."""
        tight = end
        while tight - 1 > start and self._vanishes(text[tight - 1]):
            tight -= 1
        if (
            tight < end
            and self._normalize(text[start:tight])[0] != self._normalize(text[start:end])[0]
        ):
            return end
        return tight

    def _normalizes_to_nothing(self, char: str) -> bool:
        return self._normalize(f"a{char}b")[0] == self._normalize("ab")[0]

    def _normalize(self, text: str) -> tuple[str, list[int]]:
        processor: Any = self.cutter.processor
        return processor.normalize(text, with_offsets=True)
