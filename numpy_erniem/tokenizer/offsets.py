"""Where in the text a token comes from, by SentencePiece's own alignment.

SentencePiece tells, for every character of the normalised text, at which source character the
group it was made from begins. Pieces tile the normalised text, so a token's range in it is known
exactly; nothing is searched for.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from numpy_erniem.tokenizer.pieces import LONE_SURROGATE, UNDERLINE, PieceCutter, Span


class Aligner:
    """Character offsets for the tokens of a segment.

    Parameters
    ----------
    cutter : PieceCutter
    """

    def __init__(self, cutter: PieceCutter) -> None:
        self.cutter = cutter
        self._vanishes = lru_cache(maxsize=4096)(self._normalizes_to_nothing)

    def ids_and_offsets(self, segment: str) -> tuple[list[int], list[Span]]:
        """Token ids, and for each token the half-open span of `segment` it comes from.

        Starts never decrease. The leading "▁" of a token is not part of its span; a token that is
        only "▁" spans the white space it stands for, and nothing where there was none.

        Raises
        ------
        ValueError
            If the pieces do not tile the normalised text (a model with byte fallback).
        """
        # Replacing one character by one leaves every offset where it was.
        segment = LONE_SURROGATE.sub("\ufffd", segment)
        ids, ranges = self.cutter.ids_and_ranges(segment)
        if not ranges:
            return ids, []
        normalized, origin = self._normalize(segment)
        if ranges[-1][1] > len(normalized):
            raise ValueError(
                "offsets need pieces that tile the normalised text, and this SentencePiece model's "
                "do not (byte fallback?); call without return_offsets_mapping"
            )
        return ids, [self._source_span(segment, normalized, origin, r) for r in ranges]

    def _source_span(self, text: str, normalized: str, origin: list[int], span: Span) -> Span:
        first, last = span
        while first < last and normalized[first] == UNDERLINE:
            first += 1
        if first == last and span[0] == 0:
            # The "▁" SentencePiece puts before a text stands for no character of it.
            return origin[0], origin[last]
        if first == last:
            first = span[0]
        # Several normalised characters may come from one group ("½" → "1⁄2"): its end is where the
        # next group begins.
        group = origin[last - 1]
        while last < len(normalized) and origin[last] == group:
            last += 1
        end = origin[last]
        if end - group > 1:
            end = self._without_vanishing_tail(text, group, end)
        return origin[first], end

    def _without_vanishing_tail(self, text: str, start: int, end: int) -> int:
        """Leave out characters that normalisation deletes, which belong to no token."""
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
