"""Where in the text a token comes from, by SentencePiece's own alignment.

SentencePiece gives, for every character of the normalised text, the index in the source where the
group of characters it was made from begins. The pieces follow one another in the normalised text
without a gap, so the range of each token there is known, and nothing has to be searched for.
"""

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
