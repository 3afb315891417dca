"""From SentencePiece pieces to tokens: the cutting rules, and a table that makes them cheap.

The rules are a pure function of a piece's text (`cut_piece`) and of its neighbours
(`keeps_underline`). Since the 250,000 pieces of a model are known, their cuts are remembered by
SentencePiece id: encoding then moves integers only, and looks at a string where the id alone does
not tell, that is at unknown pieces and at a bare "▁".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

UNDERLINE = "▁"
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
STANDS_ALONE = frozenset(",;:.?!~，；：。？！《》【】")
# Longer strings are unknown pieces of unusual texts: remembering them would only hold memory.
LONGEST_REMEMBERED = 32

Span = tuple[int, int]


def stands_alone(char: str) -> bool:
    """Tell whether a character is always a token of its own: a CJK ideograph or punctuation."""
    return "\u4e00" <= char <= "\u9fff" or char in STANDS_ALONE


def cut_piece(piece: str) -> tuple[Span, ...]:
    """Cut one piece into tokens, given as spans of the piece.

    Ideographs and punctuation stand alone, a change between digit and non-digit starts a token, and
    a "▁" left alone in front of a cut is dropped.

    Examples
    --------
    >>> [("▁2020年")[start:end] for start, end in cut_piece("▁2020年")]
    ['2020', '年']
    """
    spans = []
    start = 0
    for i, char in enumerate(piece):
        if char == UNDERLINE:
            continue
        alone = stands_alone(char)
        if alone or (i > 0 and char.isdigit() != piece[i - 1].isdigit()):
            if piece[start:i] not in ("", UNDERLINE):
                spans.append((start, i))
            if alone:
                spans.append((i, i + 1))
            start = i + alone
    if start < len(piece):
        spans.append((start, len(piece)))
    return tuple(spans)


def keeps_underline(index: int, pieces: Sequence[str], rule: str) -> bool:
    """Tell whether the bare "▁" at `index` becomes a token.

    ``"hf"`` keeps it unless it is the first or the last of its stretch, or the next piece begins
    with "▁"; ``"paddle"`` never keeps it.
    """
    if rule == "paddle" or index == 0 or index == len(pieces) - 1:
        return False
    return not pieces[index + 1].startswith(UNDERLINE)


class _UnknownPieceError(Exception):
    """The row holds an unknown piece, whose text the id does not tell."""


class _Table(dict):
    """SentencePiece id → token ids, filled when an id is first seen.

    Two threads may compute the same entry at once; both store the same value.
    """

    def __init__(self, compute: Callable[[int], tuple[int, ...]]) -> None:
        super().__init__()
        self.compute = compute

    def __missing__(self, piece_id: int) -> tuple[int, ...]:
        entry = self[piece_id] = self.compute(piece_id)
        return entry


class PieceCutter:
    """Turns stretches of ordinary text into tokens.

    Parameters
    ----------
    processor : sentencepiece.SentencePieceProcessor
    lookup : callable
        Token → id, with the unknown token's id for a token that is not in the vocabulary.
    cut_pieces : bool
        False leaves the pieces as SentencePiece gives them.
    bare_underline : {"hf", "paddle"}
        Which bare "▁" become tokens, see `keeps_underline`.
    sampling : dict or None
        ``nbest_size`` and ``alpha`` to draw a segmentation; None for the best one.
    num_threads : int
        Threads SentencePiece may use for a batch.
    """

    def __init__(
        self,
        processor: Any,
        lookup: Callable[[str], int],
        *,
        cut_pieces: bool = True,
        bare_underline: str = "hf",
        sampling: dict[str, Any] | None = None,
        num_threads: int = 1,
    ) -> None:
        self.processor = processor
        self.lookup = lookup
        self.cut_pieces = cut_pieces
        self.bare_underline = bare_underline
        self.sampling = sampling
        self.num_threads = num_threads
        self.unknown = processor.unk_id()
        underline = processor.piece_to_id(UNDERLINE)
        # A model without the piece never emits it; -1 is no SentencePiece id.
        self.underline = -1 if underline == self.unknown or not cut_pieces else underline
        self.table = _Table(self._ids_of_piece_id)
        self._remembered_cut = lru_cache(maxsize=1 << 16)(self._cut)

    def ids(self, stretches: list[str]) -> list[list[int]]:
        """Token ids of each stretch."""
        if self.sampling is not None:
            return [self._ids_from_strings(stretch) for stretch in stretches]
        rows = self._segment(stretches, int)
        return [self._ids_of_row(row, text) for row, text in zip(rows, stretches, strict=True)]

    def tokens(self, stretch: str) -> list[str]:
        """Token strings of a stretch, before the vocabulary is asked."""
        pieces = self.pieces(stretch)
        return [
            piece[start:end]
            for piece, (_, spans) in zip(pieces, self._entries(pieces), strict=True)
            for start, end in spans
        ]

    def ids_and_ranges(self, stretch: str) -> tuple[list[int], list[Span]]:
        """Token ids of a stretch, and the range of each token in the normalised stretch."""
        ids: list[int] = []
        ranges: list[Span] = []
        position = 0
        pieces = self.pieces(stretch)
        for piece, (piece_ids, spans) in zip(pieces, self._entries(pieces), strict=True):
            ids.extend(piece_ids)
            ranges.extend([(position + start, position + end) for start, end in spans])
            position += len(piece)
        return ids, ranges

    def pieces(self, stretch: str) -> list[str]:
        """Return the SentencePiece pieces of a stretch; unknown ones keep their own text."""
        return self._segment([stretch], str, **(self.sampling or {}))[0]

    def _segment(self, stretches: list[str], out_type: type, **options: Any) -> list[list]:
        try:
            return self._call_sentencepiece(stretches, out_type, options)
        except (TypeError, RuntimeError):
            # SentencePiece takes UTF-8 only, which has no lone surrogates.
            clean = [LONE_SURROGATE.sub("\ufffd", stretch) for stretch in stretches]
            if clean == stretches:
                raise
            return self._call_sentencepiece(clean, out_type, options)

    def _call_sentencepiece(self, stretches: list[str], out_type: type, options: dict) -> list:
        if len(stretches) == 1:  # a call for one text starts no thread
            return [self.processor.encode(stretches[0], out_type=out_type, **options)]
        return self.processor.encode(
            stretches, out_type=out_type, num_threads=self.num_threads, **options
        )

    def _ids_of_row(self, row: list[int], stretch: str) -> list[int]:
        try:
            if self.underline in row:
                row = self._without_dropped_underlines(row)
            return list(chain.from_iterable(map(self.table.__getitem__, row)))
        except _UnknownPieceError:
            return self._ids_from_strings(stretch)

    def _without_dropped_underlines(self, row: list[int]) -> list[int]:
        if self.bare_underline == "paddle":
            return [piece_id for piece_id in row if piece_id != self.underline]
        kept = []
        last = len(row) - 1
        done = 0
        for _ in range(row.count(self.underline)):
            i = row.index(self.underline, done)
            kept += row[done:i]
            if 0 < i < last and not self._piece(row[i + 1]).startswith(UNDERLINE):
                kept.append(self.underline)
            done = i + 1
        return kept + row[done:]

    def _ids_from_strings(self, stretch: str) -> list[int]:
        entries = self._entries(self.pieces(stretch))
        return list(chain.from_iterable(ids for ids, _ in entries))

    def _entries(self, pieces: list[str]) -> list[tuple[tuple[int, ...], tuple[Span, ...]]]:
        return [
            ((), ())
            if piece == UNDERLINE
            and self.cut_pieces
            and not keeps_underline(i, pieces, self.bare_underline)
            else self._remembered_cut(piece)
            if len(piece) <= LONGEST_REMEMBERED
            else self._cut(piece)
            for i, piece in enumerate(pieces)
        ]

    def _cut(self, piece: str) -> tuple[tuple[int, ...], tuple[Span, ...]]:
        spans = cut_piece(piece) if self.cut_pieces else ((0, len(piece)),)
        return tuple([self.lookup(piece[start:end]) for start, end in spans]), spans

    def _ids_of_piece_id(self, piece_id: int) -> tuple[int, ...]:
        if piece_id == self.unknown:
            raise _UnknownPieceError
        return self._cut(self._piece(piece_id))[0]

    def _piece(self, piece_id: int) -> str:
        return self.processor.id_to_piece(piece_id)
