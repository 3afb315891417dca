"""Token ids of texts, in rows that a model can take."""

from typing import Any, NamedTuple

from numpy_erniem.pipelines.windows import cut_windows
from numpy_erniem.tokenizer import ErnieMTokenizer


class Encoded(NamedTuple):
    """The tokens of a text, without special ones.

    Attributes
    ----------
    ids : list of int
    spans : list of (int, int)
        For each token the characters of the text that it stands for: start, and end behind the
        last one.
    """

    ids: list[int]
    spans: list[tuple[int, int]]


class TextTooLongError(ValueError):
    """A text, or what stands beside it, has more tokens than the model takes."""


MODEL_TAKES = 512  # tokens of ERNIE-M, where a config does not tell


def longest_row(config: Any) -> int:
    """Most tokens of a row, by the config of a model.

    Parameters
    ----------
    config : ErnieMConfig, or what another model has in its place
        What its max_position_embeddings has room for, else its max_length, else 512. In a config of
        transformers max_length is about generation, so it comes second.
    """
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None:
        return int(positions) - 2  # positions start at row 2
    return int(getattr(config, "max_length", None) or MODEL_TAKES)


def encode_texts(tokenizer: ErnieMTokenizer, texts: list[str]) -> list[list[int]]:
    """Token ids of each text, without special tokens and whole."""
    if not texts:
        return []
    encoded = tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)
    return list(encoded["input_ids"])


def encode_with_spans(tokenizer: ErnieMTokenizer, texts: list[str]) -> list[Encoded]:
    """Token ids and characters of each text, without special tokens and whole."""
    if not texts:
        return []
    encoded = tokenizer(
        texts,
        add_special_tokens=False,
        return_attention_mask=False,
        return_offsets_mapping=True,
        verbose=False,
    )
    return [
        Encoded(ids, [(int(start), int(end)) for start, end in spans])
        for ids, spans in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]


def take_ranges(
    tokenizer: ErnieMTokenizer, count: int, room: int, on_overflow: str, overlap: int = 0
) -> tuple[list[range], int]:
    """Which tokens of a text become rows, when a row has room for `room` of them.

    Parameters
    ----------
    tokenizer : ErnieMTokenizer
        Its truncation_side says which end is cut.
    count : int
        Tokens of the text.
    room : int
        Most tokens of the text in a row.
    on_overflow : {"window", "cut", "error"}
    overlap : int
        Tokens that a window shares with the one before it.

    Returns
    -------
    ranges : list of range
        One, or more than one with "window".
    cut : int
        How many tokens are in none of them.

    Raises
    ------
    TextTooLongError
        With "error", for a text that is too long; or no room.
    """
    if room < 1:
        raise TextTooLongError(
            "a prompt or question leaves no room for a token of the text; shorten it"
        )
    if count <= room:
        return [range(count)], 0
    if on_overflow == "error":
        raise TextTooLongError(
            f"{count} tokens are more than the {room} that the model has room for; shorten the "
            'text, or choose on_overflow="window" or "cut"'
        )
    if on_overflow == "window":
        return cut_windows(count, room, overlap), 0
    first = 0 if tokenizer.truncation_side == "right" else count - room
    return [range(first, first + room)], count - room


def row_of(
    tokenizer: ErnieMTokenizer, first: list[int], second: list[int] | None = None
) -> list[int]:
    """A row of one or two texts with the special tokens around them.

    Parameters
    ----------
    tokenizer : ErnieMTokenizer
    first : list of int
        Token ids of the only or the first text.
    second : list of int, optional

    Returns
    -------
    list of int
        [CLS] first [SEP], or [CLS] first [SEP] [SEP] second [SEP].
    """
    return list(tokenizer.build_inputs_with_special_tokens(first, second))


class Pieces(NamedTuple):
    """A text, alone or with a second one, as rows that a model can take.

    Attributes
    ----------
    rows : list of lists of int
        One, or more with on_overflow "window".
    tokens : list of int
        Tokens of the text in each row.
    cut : int
        How many of its tokens are in no row.
    """

    rows: list[list[int]]
    tokens: list[int]
    cut: int


def pieces_of(
    tokenizer: ErnieMTokenizer,
    first: list[int],
    second: list[int] | None,
    longest: int,
    on_overflow: str,
    name: str = "the second text",
) -> Pieces:
    """Rows of a text, each with the whole of a second one if there is any.

    Parameters
    ----------
    tokenizer : ErnieMTokenizer
    first : list of int
        Token ids of the text, which is cut or windowed where it is too long.
    second : list of int, optional
        Token ids that every row has; never cut.
    longest : int
        Most tokens of a row, special tokens included.
    on_overflow : {"window", "cut", "error"}
    name : str
        What an error calls the second text.

    Returns
    -------
    Pieces

    Raises
    ------
    TextTooLongError
        With "error", for a text that is too long; or the second text leaves no room.
    """
    room = longest - len(row_of(tokenizer, [], second))
    if room < 1 and second is not None:
        raise TextTooLongError(
            f"{name} has {len(second)} tokens, which leaves no room for the first text: the model "
            f"takes {longest} tokens in all; shorten it"
        )
    ranges, cut = take_ranges(tokenizer, len(first), room, on_overflow)
    rows = [row_of(tokenizer, first[r.start : r.stop], second) for r in ranges]
    return Pieces(rows, [len(r) for r in ranges], cut)
