"""JSON from strangers: an object, of sensible size, in which no name stands twice."""

import json
from pathlib import Path
from typing import Any

LARGEST = 64_000_000  # bytes; indexes and configs have a thousandth of it


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of sensible size."""
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"{path} has {size} bytes; at most {LARGEST} are read")
    return parse_object(path, path.read_bytes())


def parse_object(path: Path, text: bytes) -> dict[str, Any]:
    """A JSON object without repeated keys."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = dict(pairs)
        if len(keys) < len(pairs):
            raise ValueError("a name stands there twice")
        return keys

    try:
        parsed = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not good JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise ValueError(f"{path} holds a JSON {type(parsed).__name__}, not an object")
    return parsed
