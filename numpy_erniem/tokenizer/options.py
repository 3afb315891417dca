"""Options of the tokenizer and of a call, checked before any work is done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from numpy_erniem.checks import nearest
from numpy_erniem.tokenizer.lengths import LengthLimits

PADDING = {
    False: "do_not_pad",
    None: "do_not_pad",
    True: "longest",
    "longest": "longest",
    "max_length": "max_length",
    "do_not_pad": "do_not_pad",
}
TRUNCATION = {
    False: "do_not_truncate",
    True: "longest_first",
    "longest_first": "longest_first",
    "only_first": "only_first",
    "only_second": "only_second",
    "do_not_truncate": "do_not_truncate",
}
BARE_UNDERLINE = ("hf", "paddle")
SP_MODEL_KWARGS = ("enable_sampling", "nbest_size", "alpha", "num_threads")


@dataclass(slots=True)
class Options:
    """The options of one call. `ErnieMTokenizer.__call__` documents them."""

    add_special_tokens: bool = True
    padding: Any = False
    truncation: Any = None
    max_length: int | None = None
    stride: int = 0
    is_split_into_words: bool = False
    pad_to_multiple_of: int | None = None
    return_tensors: str | None = None
    return_token_type_ids: bool | None = None
    return_attention_mask: bool | None = None
    return_overflowing_tokens: Any = False
    return_special_tokens_mask: bool = False
    return_offsets_mapping: bool = False
    return_length: bool = False
    verbose: bool = True
    split_special_tokens: bool | None = None

    @classmethod
    def of(cls, keywords: dict[str, Any], caller: str) -> Options:
        """Make options of keyword arguments; an unknown name is a TypeError."""
        refuse_unknown(keywords, OPTION_NAMES, caller)
        return cls(**keywords)

    @property
    def truncates(self) -> bool:
        """Whether tokens may be removed (after `check_options`)."""
        return self.truncation != "do_not_truncate"

    @property
    def windows(self) -> bool:
        """Whether a long text becomes several rows."""
        return self.return_overflowing_tokens == "windows"


OPTION_NAMES = frozenset(option.name for option in fields(Options))


def refuse_unknown(keywords: Iterable[str], known: Iterable[str], caller: str) -> None:
    """Refuse keywords that are not known.

    Parameters
    ----------
    keywords, known : iterable of str
    caller : str
        Who was given them, for the message.

    Raises
    ------
    TypeError
        An unknown keyword; the message names the nearest known one.
    """
    known = set(known)
    for name in keywords:
        if name not in known:
            raise TypeError(
                f"{caller} got an unknown keyword argument {name!r}{nearest(name, list(known))}"
            )


@dataclass(frozen=True)
class TextOptions:
    """How a text becomes tokens. `ErnieMTokenizer` documents the options.

    Raises
    ------
    TypeError
        An unknown key of `sp_model_kwargs`.
    ValueError
        An unknown rule as `bare_underline`, or a sampling that has nothing to sample from.
    """

    do_lower_case: bool = False
    split_special_tokens: bool = False
    cut_pieces: bool = True
    bare_underline: str = "hf"
    lower_special_tokens: bool = False
    final_underline: bool = False
    marks_alone: bool = False
    sp_model_kwargs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = self.sp_model_kwargs
        refuse_unknown(settings, SP_MODEL_KWARGS, "sp_model_kwargs")
        if settings.get("enable_sampling") and settings.get("nbest_size") in (0, 1):
            raise ValueError(
                f"nbest_size={settings['nbest_size']} leaves nothing to sample from; use -1 for "
                "all segmentations, or a number above 1"
            )
        if self.bare_underline not in BARE_UNDERLINE:
            raise ValueError(
                f"bare_underline={self.bare_underline!r} is unknown; use one of "
                f"{', '.join(BARE_UNDERLINE)}"
            )
        object.__setattr__(self, "sp_model_kwargs", dict(settings))


def strategy(value: Any, names: dict[Any, str], option: str) -> str:
    """Name of a strategy of padding or truncation.

    Parameters
    ----------
    value : bool, str, None or member of an enumeration
    names : dict
        `PADDING` or `TRUNCATION`.
    option : str
        For the message.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        An unknown strategy.
    """
    value = getattr(value, "value", value)  # upstream has enumerations
    try:
        return names[value]
    except (KeyError, TypeError):
        valid = ", ".join(repr(name) for name in names if name is not None)
        raise ValueError(f"{option}={value!r} is unknown; use one of {valid}") from None


def check_side(side: str, option: str) -> str:
    """Return `side`.

    Raises
    ------
    ValueError
        A side other than "left" and "right".
    """
    if side not in ("left", "right"):
        raise ValueError(f"{option}={side!r} is unknown; use 'left' or 'right'")
    return side


def check_integer(value: Any, option: str, least: int) -> None:
    """Check that a number is an integer of at least some value.

    Parameters
    ----------
    value : int
    option : str
        For the message.
    least : int

    Raises
    ------
    TypeError
        A value that is not an integer.
    ValueError
        A smaller value.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{option} is an integer, got {type(value).__name__} {value!r}")
    if value < least:
        raise ValueError(f"{option}={value} is too small; it must be at least {least}")


def check_options(options: Options, limits: LengthLimits) -> Options:
    """Check the options against each other, and fill in what follows from them.

    Parameters
    ----------
    options : Options
        Changed in place: strategies get the name that code compares with, `max_length` is filled
        in where it is needed.
    limits : LengthLimits

    Returns
    -------
    Options
        The same object.

    Raises
    ------
    ValueError
        Options that contradict each other, or an unknown strategy.
    TypeError
        A number that is not an integer.
    """
    o = options
    if o.max_length is not None:
        check_integer(o.max_length, "max_length", 1)
    if o.pad_to_multiple_of is not None:
        check_integer(o.pad_to_multiple_of, "pad_to_multiple_of", 1)
    check_integer(o.stride, "stride", 0)
    if o.truncation is None and o.max_length is not None and o.padding is False:
        limits.warn_once.log(
            "truncation",
            f"max_length={o.max_length} was given without truncation; texts are cut as with "
            "truncation=True (pass it to silence this)",
            o.verbose,
        )
        o.truncation = True
    o.truncation = strategy(o.truncation or False, TRUNCATION, "truncation")
    if o.padding is True and o.max_length is not None and not o.truncates:
        limits.warn_once.warn(
            "padding",
            f"max_length={o.max_length} has no effect with padding=True and no truncation; use "
            "padding='max_length' to pad to it",
            o.verbose,
        )
    o.padding = strategy(o.padding, PADDING, "padding")
    _fill_in_max_length(o, limits)
    _check_combinations(o)
    _check_results(o)
    return o


def _fill_in_max_length(o: Options, limits: LengthLimits) -> None:
    if o.max_length is None and (o.truncates or o.padding == "max_length"):
        limits.warn_if_corrected(o.verbose)
        o.max_length = limits.model_max_length
    elif o.truncates and o.max_length > limits.model_max_length:
        limits.warn_once.warn(
            "model_max_length",
            f"max_length={o.max_length} exceeds what the model takes, "
            f"{limits.model_max_length} tokens; texts are cut to {limits.model_max_length} (set "
            "tokenizer.model_max_length if your model takes more)",
            o.verbose,
        )
        o.max_length = limits.model_max_length


def _check_combinations(o: Options) -> None:
    if o.return_token_type_ids and not o.add_special_tokens:
        raise ValueError(
            "return_token_type_ids=True needs add_special_tokens=True: the types of a pair are "
            "defined on '[CLS] A [SEP] [SEP] B [SEP]'"
        )
    if o.truncates and o.stride >= o.max_length:
        raise ValueError(
            f"stride={o.stride} must be smaller than max_length={o.max_length}, else windows "
            "would never move on"
        )
    padded = o.padding != "do_not_pad" and o.pad_to_multiple_of is not None
    if padded and o.truncates and o.max_length % o.pad_to_multiple_of:
        raise ValueError(
            f"max_length={o.max_length} is not a multiple of "
            f"pad_to_multiple_of={o.pad_to_multiple_of}, so texts cut to max_length would be "
            "padded beyond it; choose a multiple"
        )


def _check_results(o: Options) -> None:
    if o.return_tensors not in (None, "np", "pt"):
        raise ValueError(f"return_tensors={o.return_tensors!r} is unknown; use None, 'np' or 'pt'")
    if o.return_overflowing_tokens not in (False, True, None, "windows"):
        raise ValueError(
            f"return_overflowing_tokens={o.return_overflowing_tokens!r} is unknown; use False, "
            "True (the tokens cut off) or 'windows' (one row per window)"
        )
    if o.windows and not o.truncates:
        raise ValueError(
            "return_overflowing_tokens='windows' needs truncation; pass truncation=True, or "
            "'only_second' for a question and its document"
        )
    if o.return_overflowing_tokens and o.max_length is None:
        raise ValueError(
            "return_overflowing_tokens=True needs a length to overflow; pass max_length and "
            "truncation=True"
        )
