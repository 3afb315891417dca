"""From token sequences to rows of equal length: truncate, frame, pad, make arrays.

Everything here counts tokens; nothing knows what they mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

# What stands for an input's value at padding; input_ids take the tokenizer's pad_token_id.
PADDING_VALUES = {
    "attention_mask": 0,
    "token_type_ids": 0,
    "special_tokens_mask": 1,
    "offset_mapping": (0, 0),
}


EVERYTHING = slice(None)


class Sequence(NamedTuple):
    """A tokenized text: ids, and where asked for the offsets and the word of each token."""

    ids: list[int]
    offsets: list[tuple[int, int]] | None = None
    words: list[int] | None = None

    def cut(self, part: slice) -> Sequence:
        """Return the part of the sequence."""
        if part is EVERYTHING:
            return self
        return Sequence(*(None if field is None else field[part] for field in self))


class Cut(NamedTuple):
    """Which part of each sequence stays, and which part of the cut one goes to the overflow."""

    first: slice
    second: slice
    overflow: slice = slice(0, 0)


WHOLE = Cut(EVERYTHING, EVERYTHING)
UNCUT = (WHOLE,)


def truncate(
    first: int, second: int | None, remove: int, strategy: str, stride: int, side: str
) -> Cut:
    """Decide what stays of two sequences when `remove` tokens have to go.

    Parameters
    ----------
    first, second : int
        Lengths; `second` is None where there is no pair.
    remove : int
        How many tokens are too many.
    strategy : {"longest_first", "only_first", "only_second", "do_not_truncate"}
    stride : int
        How many tokens that stay are repeated in the overflow.
    side : {"left", "right"}
        Where tokens are taken away.

    Notes
    -----
    ``"only_first"`` and ``"only_second"`` leave everything in place when that sequence has no
    more than `remove` tokens, as upstream does.

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
    window = min(length, remove + stride)
    overflow = slice(0, window) if side == "left" else slice(length - window, length)
    kept = _kept(length, remove, side)
    if strategy == "only_second":
        return Cut(EVERYTHING, kept, overflow)
    return Cut(kept, EVERYTHING, overflow)


def _shares(first: int, second: int, remove: int) -> tuple[int, int]:
    """Divide `remove` so that the longer sequence loses tokens until both are equally long."""
    surplus = min(abs(first - second), remove)
    rest = remove - surplus
    if first > second:
        return surplus + rest // 2, rest - rest // 2
    return rest // 2, surplus + rest - rest // 2


def _kept(length: int, remove: int, side: str) -> slice:
    remove = min(remove, length)
    return slice(remove, length) if side == "left" else slice(0, length - remove)


def windows(length: int, room: int, stride: int, side: str) -> Iterator[slice]:
    """Cover a sequence with windows of `room` tokens, each sharing `stride` with the one before.

    With ``side="left"`` the first window is the end of the sequence.

    Raises
    ------
    ValueError
        If a window would not move on.

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
    first: Sequence, second: Sequence | None, special: int, o: Any, side: str
) -> Iterable[Cut]:
    """List the rows a pair of sequences becomes: one, or one per window."""
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


def framed(first: list, second: list | None, opening: Any, closing: Any) -> list:
    """Put special tokens, or what stands for them, around one or two sequences.

    Examples
    --------
    >>> framed([7, 8], [9], "[CLS]", "[SEP]")
    ['[CLS]', 7, 8, '[SEP]', '[SEP]', 9, '[SEP]']
    """
    if second is None:
        return [opening, *first, closing]
    return [opening, *first, closing, closing, *second, closing]


def padded_length(lengths: list[int], padding: str, max_length: int | None, multiple: int | None):
    """Length all rows are padded to, or None where nothing is padded."""
    if padding == "do_not_pad":
        return None
    target = max(lengths, default=0) if padding == "longest" else max_length
    return target if not multiple else -(-target // multiple) * multiple


def pad_column(rows: list[list], target: int, value: Any, side: str) -> list[list]:
    """Pad each row to `target` values; longer rows stay as they are."""
    if side == "left":
        return [[value] * (target - len(row)) + list(row) for row in rows]
    return [list(row) + [value] * (target - len(row)) for row in rows]


def to_arrays(columns: dict[str, Any], kind: str) -> dict[str, Any]:
    """Turn lists into int64 arrays (``"np"``) or torch tensors (``"pt"``).

    Raises
    ------
    ValueError
        If the rows of a column differ in length.
    ImportError
        If torch is asked for and not installed.
    """
    return {name: _to_array(name, rows, kind) for name, rows in columns.items()}


def _to_array(name: str, rows: Any, kind: str) -> Any:
    lengths = {len(row) for row in rows if isinstance(row, (list, tuple))}
    if len(lengths) > 1:
        remedy = (
            "pass padding=True (and truncation=True)"
            if name in PADDING_VALUES or name == "input_ids"
            else "leave out return_tensors, or use return_overflowing_tokens='windows'"
            if name == "overflowing_tokens"
            else "leave out return_tensors"
        )
        raise ValueError(
            f"the rows of {name} have lengths from {min(lengths)} to {max(lengths)}, which is no "
            f"array; {remedy}"
        )
    array = np.array(rows, dtype=np.int64)
    if kind == "np":
        return array
    try:
        import torch
    except ImportError:
        raise ImportError("return_tensors='pt' needs torch; install it or use 'np'") from None
    return torch.from_numpy(array)
