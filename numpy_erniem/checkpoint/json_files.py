"""JSON from others: of a sensible size, without duplicate keys; and text that can be written."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from numpy_erniem.checkpoint.lfs import refuse_pointer

LARGEST = 64_000_000  # bytes; indexes and configs have about a thousandth of it


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises
    ------
    ValueError
        The file is larger than `LARGEST`, is not a JSON object, or has a key twice.
    """
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"{path} has {size} bytes; at most {LARGEST} are read")
    return parse_object(path, path.read_bytes())


def to_json(value: Any, *, indent: int | None = None, sort_keys: bool = False) -> str:
    """A value as JSON that UTF-8 can hold.

    Parameters
    ----------
    value : object
    indent : int, optional
    sort_keys : bool

    Returns
    -------
    str
        With all characters as they are. If a text has half of a surrogate pair, which no encoding
        holds, everything that is not ASCII is escaped.
    """
    text = json.dumps(value, indent=indent, sort_keys=sort_keys, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent, sort_keys=sort_keys)
    return text


def parse_object(path: Path, text: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Parameters
    ----------
    path : Path
        Named in errors.
    text : bytes
        UTF-8.

    Raises
    ------
    ValueError
        The text is not a JSON object, has a key twice, or is a pointer of Git LFS.
    """
    refuse_pointer(path, text)
    parsed = parse_json(path, text)
    if not isinstance(parsed, dict):
        raise ValueError(f"{path} holds a JSON {type(parsed).__name__}, not an object")
    return parsed


def parse_json(path: Path | str, text: bytes) -> Any:
    """Parse any JSON.

    Parameters
    ----------
    path : Path or str
        Named in errors.
    text : bytes
        UTF-8.

    Raises
    ------
    ValueError
        The text is not JSON, or an object has a key twice.
    """
    try:
        return load_unique(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None


def load_unique(text: str) -> Any:
    """A value of JSON; ValueError for a text that is no JSON, or an object with a key twice."""
    return json.loads(text, object_pairs_hook=_unique)


def load_data(text: str) -> Any:
    """`load_unique` of what strangers wrote: also ValueError for numbers that JSON cannot hold."""
    return json.loads(
        text, object_pairs_hook=_unique, parse_constant=_refuse_number, parse_float=_finite
    )


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:99]} is not a finite number, as all of JSON are; write null")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        (first, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"duplicate key {first[:100]!r}")
    return keys
