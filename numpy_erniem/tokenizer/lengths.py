"""How long a row may be: what the model takes, and which part of a longer text stays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from numpy_erniem.checks import warn
from numpy_erniem.tokenizer.rows import num_special_tokens

# ERNIE-M has 514 position embeddings, of which it never uses the first two.
MODEL_TAKES = 512
POSITIONS = 514
# Upstream writes 1e30 for "no limit".
NO_LIMIT = 10**20
EVERYTHING = slice(None)


class WarnOnce:
    """Warnings and log entries of one tokenizer; each is given once.

    A warning says that the result is not what the options ask for. What upstream only logs is
    logged here too.

    Parameters
    ----------
    verbose : bool
        False: none is given.
    """

    def __init__(self, verbose: bool = True) -> None:
        self.verbose = verbose
        self.given: set[str] = set()

    def warn(self, name: str, message: str, verbose: bool = True) -> None:
        """Warn, unless the warning of that name was given before.

        Parameters
        ----------
        name : str
        message : str
        verbose : bool
            False: do nothing.
        """
        if verbose and self.verbose and name not in self.given:
            self.given.add(name)
            warn(message)

    def log(self, name: str, message: str, verbose: bool = True) -> None:
        """Log a warning, unless the one of that name was logged before.

        Parameters
        ----------
        name : str
        message : str
        verbose : bool
            False: do nothing.
        """
        if verbose and self.verbose and name not in self.given:
            self.given.add(name)
            import logging  # slow to import, and seldom needed

            logging.getLogger(__name__.rpartition(".")[0]).warning(message)


class LengthLimits:
    """How many tokens the model takes, and warnings about it.

    Parameters
    ----------
    model_max_length : int, optional
        512 if it is left out.
    verbose : bool
        False: no warnings.

    Raises
    ------
    TypeError
        A length that is not a number.
    ValueError
        A length below 1.
    """

    def __init__(self, model_max_length: int | None = None, verbose: bool = True) -> None:
        self.model_max_length = model_max_length
        self.warn_once = WarnOnce(verbose)

    @property
    def verbose(self) -> bool:
        """Whether warnings are given."""
        return self.warn_once.verbose

    @verbose.setter
    def verbose(self, value: bool) -> None:
        self.warn_once.verbose = value

    @property
    def model_max_length(self) -> int:
        """How many tokens the model takes: 512 unless set, and also where 514 was set.

        Published configurations say 514, which is the number of position embeddings.
        """
        return self._model_max_length

    @model_max_length.setter
    def model_max_length(self, value: int | None) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise TypeError(f"model_max_length is an integer, got {type(value).__name__} {value!r}")
        if value is not None and value < 1:
            raise ValueError(f"model_max_length={value} is too small; ERNIE-M takes {MODEL_TAKES}")
        self.is_known = value is not None and value < NO_LIMIT
        self.is_corrected = value == POSITIONS
        usual = value is None or not self.is_known or self.is_corrected
        self._model_max_length = MODEL_TAKES if usual else int(value)

    @property
    def max_len_single_sentence(self) -> int:
        """How many tokens of a single text fit."""
        return self.model_max_length - num_special_tokens()

    @property
    def max_len_sentences_pair(self) -> int:
        """How many tokens of a pair fit."""
        return self.model_max_length - num_special_tokens(pair=True)

    def warn_if_corrected(self, verbose: bool) -> None:
        """Warn that 512 is used where 514 was set."""
        if self.is_corrected:
            self.warn_once.warn(
                "corrected",
                f"model_max_length={POSITIONS} counts position embeddings, of which ERNIE-M uses "
                f"{MODEL_TAKES}; {MODEL_TAKES} is used",
                verbose,
            )


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
