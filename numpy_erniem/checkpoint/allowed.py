"""What a pickle may name, and checks of the arguments that it gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ADVICE = (
    "it would run code of the file's author; if you trust them, load it where torch or Paddle is "
    "installed, save it as safetensors, and use that"
)


@dataclass(frozen=True)
class Allowed:
    """What stands for a global of the allow list: its name, and our function for it."""

    name: str
    build: Callable[..., Any] | None = None


@dataclass(frozen=True)
class LongText:
    """The UTF-8 bytes of a string too long to be a name; they stay in the file."""

    utf8: memoryview


AllowList = Mapping[tuple[str, str], Allowed]


def shape_of(value: Any) -> tuple[int, ...]:
    """A tuple of at most 32 sizes, checked."""
    if type(value) is not tuple or len(value) > 32:
        raise ValueError("a shape is not a tuple of at most 32 sizes")
    for size in value:
        natural(size, "a size")
    return value


def natural(value: Any, what: str) -> int:
    """An integer from 0 to 2**63 - 1, checked."""
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(f"{what} is not an integer from 0 up")
    return value


def ordered_dict(*items: Any) -> dict:
    """An empty dict: pickles make an OrderedDict empty and fill it by SETITEMS."""
    if items:
        raise ValueError("collections.OrderedDict is made with arguments")
    return {}


ORDERED_DICT = {
    ("collections", "OrderedDict"): Allowed("collections.OrderedDict", ordered_dict),
}
