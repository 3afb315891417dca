"""Checking the options of a call, before any work is done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from numpy_erniem.tokenizer.limits import LengthLimits

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


@dataclass(slots=True)
class Options:
    """The options of one call; what each means is told at `ErnieMTokenizer.__call__`."""

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

    @classmethod
    def of(cls, keywords: dict[str, Any], caller: str) -> Options:
        """Make options from keyword arguments, refusing unknown names."""
        refuse_unknown(keywords, OPTION_NAMES, caller)
        return cls(**keywords)

    @property
    def truncates(self) -> bool:
        """Whether anything may be cut off (after `check`)."""
        return self.truncation != "do_not_truncate"

    @property
    def windows(self) -> bool:
        """Whether a long text becomes several rows."""
        return self.return_overflowing_tokens == "windows"


OPTION_NAMES = frozenset(field.name for field in fields(Options))


def refuse_unknown(keywords: Iterable[str], known: Iterable[str], caller: str) -> None:
    """Raise TypeError for a keyword that is not known, naming the nearest that is."""
    known = set(known)
    for name in keywords:
        if name not in known:
            import difflib  # slow to import, and seldom needed

            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
            raise TypeError(f"{caller} got an unknown keyword argument {name!r}; {hint}")


def named(value: Any, names: dict[Any, str], option: str) -> str:
    """Look up the name of a strategy.

    Raises
    ------
    ValueError
        If there is no such strategy.
    """
    value = getattr(value, "value", value)  # upstream's enumerations
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
        If it is neither ``"left"`` nor ``"right"``.
    """
    if side not in ("left", "right"):
        raise ValueError(f"{option}={side!r} is unknown; use 'left' or 'right'")
    return side


def check_integer(value: Any, option: str, least: int) -> None:
    """Raise TypeError unless `value` is an integer, ValueError if it is below `least`."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{option} is an integer, got {type(value).__name__} {value!r}")
    if value < least:
        raise ValueError(f"{option}={value} is too small; it must be at least {least}")


def check(options: Options, limits: LengthLimits) -> Options:
    """Check the options against each other and fill in what follows from them.

    Parameters
    ----------
    options : Options
        Changed in place: names of strategies become canonical, `max_length` is filled in.
    limits : object
        The tokenizer's `LengthLimits`.

    Raises
    ------
    ValueError
        If options contradict each other or name no known strategy.
    TypeError
        If a number is not an integer.
    """
    o = options
    if o.max_length is not None:
        check_integer(o.max_length, "max_length", 1)
    if o.pad_to_multiple_of is not None:
        check_integer(o.pad_to_multiple_of, "pad_to_multiple_of", 1)
    check_integer(o.stride, "stride", 0)
    if o.truncation is None and o.max_length is not None and o.padding is False:
        limits._notices.log(
            "truncation",
            f"max_length={o.max_length} was given without truncation; texts are cut as with "
            "truncation=True, say so to silence this",
            o.verbose,
        )
        o.truncation = True
    o.truncation = named(o.truncation or False, TRUNCATION, "truncation")
    if o.padding is True and o.max_length is not None and not o.truncates:
        limits._notices.warn(
            "padding",
            f"max_length={o.max_length} has no effect with padding=True and no truncation; use "
            "padding='max_length' to pad to it",
            o.verbose,
        )
    o.padding = named(o.padding, PADDING, "padding")
    _fill_in_max_length(o, limits)
    _check_combinations(o)
    return o


def _fill_in_max_length(o: Options, limits: LengthLimits) -> None:
    if o.max_length is None and o.padding == "max_length" and not limits._length_is_known:
        raise ValueError(
            "padding='max_length' needs a length, and the tokenizer has no model_max_length; pass "
            "max_length=..., or padding=True to pad to the longest text"
        )
    if o.max_length is None and (o.truncates or o.padding == "max_length"):
        limits._warn_if_length_corrected(o.verbose)
        o.max_length = limits.model_max_length
    elif o.truncates and o.max_length > limits.model_max_length:
        limits._notices.warn(
            "model_max_length",
            f"max_length={o.max_length} exceeds what the model takes, "
            f"{limits.model_max_length} tokens; texts are cut to the latter (set "
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
            f"stride={o.stride} must be smaller than max_length={o.max_length}, or windows would "
            "never move on"
        )
    padded = o.padding != "do_not_pad" and o.pad_to_multiple_of is not None
    if padded and o.truncates and o.max_length % o.pad_to_multiple_of:
        raise ValueError(
            f"max_length={o.max_length} is not a multiple of "
            f"pad_to_multiple_of={o.pad_to_multiple_of}, so texts cut to the one would be padded "
            "beyond it; choose a multiple"
        )
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
