"""Which part of a long text stays: cutting to a length, and windows that overlap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from numpy_erniem.tokenizer.options import Options

EVERYTHING = slice(None)


class TokenizedText(NamedTuple):
    """Token ids of a text without special tokens, and what is known about each token.

    Parameters
    ----------
    ids : list of int
    offsets : list of (int, int), optional
        Start and end in the text (in its word, if the text was given as words).
    words : list of int, optional
        Index of the token's word, if the text was given as words.
    """

    ids: list[int]
    offsets: list[tuple[int, int]] | None = None
    words: list[int] | None = None

    def cut(self, part: slice) -> TokenizedText:
        """Keep a part of the tokens."""
        if part is EVERYTHING:
            return self
        return TokenizedText(*(None if field is None else field[part] for field in self))


class Cut(NamedTuple):
    """Which tokens of two texts stay, and which of the text that was cut are the overflow."""

    first: slice
    second: slice
    overflow: slice = slice(0, 0)


WHOLE = Cut(EVERYTHING, EVERYTHING)
UNCUT = (WHOLE,)


def truncate(
    first: int, second: int | None, remove: int, strategy: str, stride: int, side: str
) -> Cut:
    """Decide which tokens of one or two texts stay when `remove` of them have to go.

    Parameters
    ----------
    first, second : int
        Numbers of tokens; `second` is None where there is no second text.
    remove : int
        How many tokens are too many.
    strategy : {"longest_first", "only_first", "only_second", "do_not_truncate"}
    stride : int
        How many of the tokens that stay are repeated in the overflow.
    side : {"left", "right"}
        Where tokens are removed.

    Returns
    -------
    Cut

    Notes
    -----
    As upstream, "only_first" and "only_second" remove nothing if that text has no more than
    `remove` tokens.

    Examples
    --------
    >>> truncate(10, None, 3, "longest_first", 1, "right")
    Cut(first=slice(0, 7, None), second=slice(None, None, None), overflow=slice(6, 10, None))
    """
    if remove <= 0 or strategy == "do_not_truncate":
        return WHOLE
    if strategy == "longest_first" and second is not None:
        from_first, from_second = _shares(first, second, remove)
        return Cut(_kept(first, from_first, side), _kept(second, from_second, side))
    length = second if strategy == "only_second" else first
    if length is None or (strategy != "longest_first" and length <= remove):
        return WHOLE
    size = min(length, remove + stride)
    overflow = slice(0, size) if side == "left" else slice(length - size, length)
    kept = _kept(length, remove, side)
    if strategy == "only_second":
        return Cut(EVERYTHING, kept, overflow)
    return Cut(kept, EVERYTHING, overflow)


def _shares(first: int, second: int, remove: int) -> tuple[int, int]:
    """Split `remove` so that the longer text loses tokens until both are equally long."""
    surplus = min(abs(first - second), remove)
    rest = remove - surplus
    if first > second:
        return surplus + rest // 2, rest - rest // 2
    return rest // 2, surplus + rest - rest // 2


def _kept(length: int, remove: int, side: str) -> slice:
    remove = min(remove, length)
    return slice(remove, length) if side == "left" else slice(0, length - remove)


def windows(length: int, room: int, stride: int, side: str) -> Iterator[slice]:
    """Cover a text with windows that overlap.

    Parameters
    ----------
    length : int
        Tokens of the text.
    room : int
        Tokens of a window.
    stride : int
        Tokens that a window shares with the one before.
    side : {"right", "left"}
        "left": the first window is the end of the text.

    Yields
    ------
    slice

    Raises
    ------
    ValueError
        A stride that is not below `room`, so that windows would not move on.

    Examples
    --------
    >>> [(w.start, w.stop) for w in windows(10, 5, 2, "right")]
    [(0, 5), (3, 8), (6, 10)]
    """
    if length > room and room <= stride:
        raise ValueError(
            f"stride={stride} leaves no new tokens in a window of {room}; choose a smaller stride "
            "or a larger max_length"
        )
    start = 0
    while True:
        stop = min(start + room, length)
        yield slice(length - stop, length - start) if side == "left" else slice(start, stop)
        if stop >= length:
            return
        start += room - stride


def cuts(
    first: TokenizedText, second: TokenizedText | None, special: int, o: Options, side: str
) -> Iterable[Cut]:
    """List the rows that one or two texts become: one, or one per window.

    Parameters
    ----------
    first, second : TokenizedText
        `second` is None where there is no second text.
    special : int
        How many special tokens are put around them.
    o : Options
        After `check_options`.
    side : {"right", "left"}
        Where a text is cut.

    Returns
    -------
    iterable of Cut
    """
    lengths = len(first.ids), None if second is None else len(second.ids)
    total = lengths[0] + (lengths[1] or 0) + special
    if not o.truncates or total <= o.max_length:
        return UNCUT
    if not o.windows:
        return [truncate(*lengths, total - o.max_length, o.truncation, o.stride, side)]
    long = lengths[1] if o.truncation == "only_second" else lengths[0]
    parts = windows(long, o.max_length - (total - long), o.stride, side)
    if o.truncation == "only_second":
        return [Cut(EVERYTHING, part) for part in parts]
    return [Cut(part, EVERYTHING) for part in parts]
