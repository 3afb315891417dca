"""The allow list of the unpickler, and checks of the arguments that a pickle gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ADVICE = (
    "it would run code of the file's author; if you trust them, load it where torch or Paddle is "
    "installed, save it as safetensors, and use that"
)


@dataclass(frozen=True)
class Allowed:
    """Stands for a global that a pickle may name; `build` is our function in its place, if any."""

    name: str
    build: Callable[..., Any] | None = None


@dataclass(frozen=True)
class LongText:
    """The UTF-8 bytes, still in the file, of a string that is too long to be a name."""

    utf8: memoryview


AllowList = Mapping[tuple[str, str], Allowed]


def check_shape(value: Any) -> tuple[int, ...]:
    """Return `value` if it is a tuple of at most 32 sizes; else a ValueError."""
    if type(value) is not tuple or len(value) > 32:
        raise ValueError("a shape is not a tuple of at most 32 sizes")
    for size in value:
        check_count(size, "a size")
    return value


def check_count(value: Any, what: str) -> int:
    """Return `value` if it is an integer from 0 to 2**63 - 1; else a ValueError."""
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(f"{what} is not an integer of at least 0")
    return value


def ordered_dict(*items: Any) -> dict:
    """Stands for OrderedDict(), which pickles call without arguments and fill later."""
    if items:
        raise ValueError("collections.OrderedDict is called with arguments")
    return {}


ORDERED_DICT = {
    ("collections", "OrderedDict"): Allowed("collections.OrderedDict", ordered_dict),
}
