"""The allow list of the unpickler, and checks of the arguments that a pickle gives."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ADVICE = (
    "it would run code of the file's author; if you trust them, load it where torch or Paddle is "
    "installed, save it as safetensors, and use that"
)

# Tensors that are not read, by the globals of torch that make them.
OTHER_TENSORS = {
    "a quantized tensor": r"torch\._utils\._rebuild_qtensor|torch\.Q\w+Storage|torch\.q\w+",
    "a sparse tensor": r"torch\._utils\._rebuild_sparse\w+",
    "a nested tensor": r"torch\._utils\._rebuild_nested_tensor",
    "a tensor without data, of the device meta": r"torch\._utils\._rebuild_meta_tensor\w+",
    "an 8-bit float tensor, or another of a new dtype": (
        r"torch\._utils\._rebuild_tensor_v3|torch\.storage\.UntypedStorage|torch\.float8\w+"
    ),
    "a tensor of a subclass, such as a quantized one": (
        r"torch\._tensor\._rebuild_from_type_v2|torch\._utils\._rebuild_wrapper_subclass"
    ),
    "complex numbers": r"torch\.Complex\w+Storage",
    "a tensor of another device": (
        r"torch\._utils\._rebuild_(?:xla|mkldnn|device)_tensor\w*|"
        r"torch\._utils\._rebuild_device_tensor_from_\w+"
    ),
}


def other_tensor(name: str) -> str | None:
    """What a global of torch makes, if that is a tensor that is not read; None for another."""
    return next((w for w, names in OTHER_TENSORS.items() if re.fullmatch(names, name)), None)


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
