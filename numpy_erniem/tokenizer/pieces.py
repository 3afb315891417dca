"""From SentencePiece pieces to tokens: the cutting rules, and a table that makes them fast.

How a piece is cut depends on its text alone (`cut_piece`). Whether a piece that is only "▁" becomes
a token depends on its neighbours too (`keeps_underline`). A model's pieces are known, so the cut of
each is stored by its SentencePiece id. Encoding then works on integers; it reads strings only for
unknown pieces, and for the pieces that follow a bare "▁".
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from threading import Lock
from typing import Any

import numpy as np

UNDERLINE = "▁"  # U+2581, SentencePiece's sign for a space
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
STANDS_ALONE = frozenset(",;:.?!~，；：。？！《》【】")
# Longer pieces are unknown ones of unusual texts, which seldom come again.
LONGEST_REMEMBERED = 32

Span = tuple[int, int]


def stands_alone(char: str) -> bool:
    """Whether a character is always a token of its own: a CJK ideograph or punctuation."""
    return "\u4e00" <= char <= "\u9fff" or char in STANDS_ALONE


def cut_piece(piece: str) -> tuple[Span, ...]:
    """Cut one piece into tokens.

    Ideographs and punctuation are tokens of their own, a change between digit and non-digit starts
    a token, and a "▁" that is left alone in front of a cut is dropped.

    Returns
    -------
    tuple of (int, int)
        Start and end of each token in the piece.

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
    """Whether a piece that is only "▁" becomes a token.

    Parameters
    ----------
    index : int
        Its place in `pieces`.
    pieces : sequence of str
        The pieces of its segment.
    rule : {"hf", "paddle"}
        "hf" keeps it unless it is the first or the last of its segment, or the next piece begins
        with "▁"; "paddle" never keeps it.

    Returns
    -------
    bool
    """
    if rule == "paddle" or index == 0 or index == len(pieces) - 1:
        return False
    return not pieces[index + 1].startswith(UNDERLINE)


class PieceTable:
    """SentencePiece id → token ids, as arrays. An entry is made when its piece is first seen.

    The token ids of piece i are `tokens[starts[i] : starts[i] + counts[i]]`; `counts[i]` is -1 as
    long as piece i was not seen. `spaced[i]` is True where the piece begins with "▁". Threads may
    read while another one adds: a count is set last, and `tokens` only grows.

    Parameters
    ----------
    size : int
        Number of pieces.
    compute : callable
        SentencePiece id → token ids, and whether the piece begins with "▁".
    """

    def __init__(self, size: int, compute: Callable[[int], tuple[tuple[int, ...], bool]]) -> None:
        self.compute = compute
        self.spaced = np.zeros(size, dtype=bool)
        self.starts = np.zeros(size, dtype=np.int64)
        self.counts = np.full(size, -1, dtype=np.int64)
        self.tokens = np.empty(0, dtype=np.int64)
        self._adding = Lock()

    def add_missing(self, pieces: np.ndarray) -> None:
        """Make the entries of those `pieces` (N,) that were not seen yet."""
        unseen = pieces[self.counts[pieces] < 0]
        if not len(unseen):
            return
        with self._adding:
            new = [p for p in dict.fromkeys(unseen.tolist()) if self.counts[p] < 0]
            entries, spaced = zip(*map(self.compute, new), strict=True) if new else ((), ())
            sizes = np.array([len(entry) for entry in entries], dtype=np.int64)
            self.starts[new] = len(self.tokens) + np.cumsum(sizes) - sizes
            more = np.fromiter(chain.from_iterable(entries), dtype=np.int64)
            self.tokens = np.concatenate([self.tokens, more])
            self.spaced[new] = spaced
            self.counts[new] = sizes

    def expand(self, pieces: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Token ids of `pieces` (N,), of each as many as `counts` (N,) tells."""
        before = np.cumsum(counts) - counts
        index = np.repeat(self.starts[pieces] - before, counts)
        return self.tokens[index + np.arange(len(index))]


class PieceCutter:
    """Turns segments of ordinary text into tokens: SentencePiece, then the cutting rules.

    Parameters
    ----------
    processor : sentencepiece.SentencePieceProcessor
    lookup : callable
        Token → id. Of a token that is not in the vocabulary, the id of the unknown token.
    cut_pieces : bool
        False keeps the pieces as SentencePiece gives them.
    bare_underline : {"hf", "paddle"}
        Which pieces that are only "▁" become tokens, see `keeps_underline`.
    sampling : dict, optional
        Options of SentencePiece that draw one of several segmentations. None: the best one.
    num_threads : int
        Threads that SentencePiece may use for a batch.

    Notes
    -----
    Safe to use from several threads.
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
        # A model without the piece "▁" never gives it; -1 is not the id of any piece.
        self.underline = -1 if underline == self.unknown or not cut_pieces else underline
        self.table = PieceTable(processor.get_piece_size(), self._table_entry)
        # The same for one text at a time: a list, which is faster than a dict here.
        self.known: list[tuple[int, ...] | None] = [None] * processor.get_piece_size()
        self._remembered_cut = lru_cache(maxsize=1 << 16)(self._cut)

    def ids(self, segments: list[str]) -> list[list[int]]:
        """Token ids of each segment."""
        if self.sampling is not None:
            return [self._ids_from_strings(segment) for segment in segments]
        if not segments:
            return []
        rows = self._encode(segments, int)
        if len(rows) == 1:  # for one text a loop is faster than the array operations below
            return [self._ids_of_row(rows[0], segments[0])]
        pieces = np.array(list(chain.from_iterable(rows)), dtype=np.int64)
        row_ends = np.cumsum([len(row) for row in rows])
        del rows  # else the garbage collector visits every id once more
        self.table.add_missing(pieces)
        counts = self.table.counts[pieces]
        counts[self._dropped_underlines(pieces, row_ends)] = 0
        tokens = self.table.expand(pieces, counts).tolist()
        ends = np.concatenate([[0], np.cumsum(counts)])[row_ends].tolist()
        ids = [tokens[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        unknown = np.flatnonzero(pieces == self.unknown)
        for i in dict.fromkeys(np.searchsorted(row_ends, unknown, side="right").tolist()):
            ids[i] = self._ids_from_strings(segments[i])
        return ids

    def tokens(self, segment: str) -> list[str]:
        """Tokens of a segment, also those that are not in the vocabulary."""
        pieces = self.pieces(segment)
        return [
            piece[start:end]
            for piece, (_, spans) in zip(pieces, self._entries(pieces), strict=True)
            for start, end in spans
        ]

    def ids_and_ranges(self, segment: str) -> tuple[list[int], list[Span]]:
        """Token ids of a segment, and the range of each token in the normalised segment."""
        ids: list[int] = []
        ranges: list[Span] = []
        position = 0
        pieces = self.pieces(segment)
        for piece, (piece_ids, spans) in zip(pieces, self._entries(pieces), strict=True):
            ids.extend(piece_ids)
            ranges.extend([(position + start, position + end) for start, end in spans])
            position += len(piece)
        return ids, ranges

    def pieces(self, segment: str) -> list[str]:
        """SentencePiece's pieces of a segment; unknown ones as their own text."""
        return self._encode([segment], str, **(self.sampling or {}))[0]

    def _encode(self, segments: list[str], out_type: type, **options: Any) -> list[list]:
        try:
            return self._call_sentencepiece(segments, out_type, options)
        except (TypeError, RuntimeError):
            # SentencePiece takes UTF-8, which cannot hold lone surrogates.
            clean = [LONE_SURROGATE.sub("\ufffd", segment) for segment in segments]
            if clean == segments:
                raise
            return self._call_sentencepiece(clean, out_type, options)

    def _call_sentencepiece(self, segments: list[str], out_type: type, options: dict) -> list:
        if len(segments) == 1:  # called for one text, SentencePiece does not start threads
            return [self.processor.encode(segments[0], out_type=out_type, **options)]
        return self.processor.encode(
            segments, out_type=out_type, num_threads=self.num_threads, **options
        )

    def _ids_of_row(self, row: list[int], segment: str) -> list[int]:
        if self.unknown in row:
            return self._ids_from_strings(segment)
        if self.underline in row:
            row = [p for i, p in enumerate(row) if p != self.underline or self._keeps(row, i)]
        try:
            return [token for piece in row for token in self.known[piece]]
        except TypeError:  # None: seen for the first time
            return [token for piece in row for token in self._ids_of_piece(piece)]

    def _keeps(self, row: list[int], i: int) -> bool:
        if self.bare_underline == "paddle" or not 0 < i < len(row) - 1:
            return False
        return not self.processor.id_to_piece(row[i + 1]).startswith(UNDERLINE)

    def _dropped_underlines(self, pieces: np.ndarray, row_ends: np.ndarray) -> np.ndarray:
        """Indices of the bare "▁" that do not become tokens; `keeps_underline` for ids."""
        found = np.flatnonzero(pieces == self.underline)
        if self.bare_underline == "paddle" or not len(found):
            return found
        row = np.searchsorted(row_ends, found, side="right")
        edge = (found == row_ends[row] - 1) | (found == np.concatenate([[0], row_ends])[row])
        following = pieces[np.minimum(found + 1, len(pieces) - 1)]
        return found[edge | self.table.spaced[following]]

    def _ids_from_strings(self, segment: str) -> list[int]:
        entries = self._entries(self.pieces(segment))
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

    def _ids_of_piece(self, piece_id: int) -> tuple[int, ...]:
        ids = self.known[piece_id]
        if ids is None:
            # Unknown pieces share one id and have different texts.
            known = piece_id != self.unknown
            ids = self._cut(self.processor.id_to_piece(piece_id))[0] if known else ()
            self.known[piece_id] = ids
        return ids

    def _table_entry(self, piece_id: int) -> tuple[tuple[int, ...], bool]:
        piece = self.processor.id_to_piece(piece_id)
        return self._ids_of_piece(piece_id), piece.startswith(UNDERLINE)
