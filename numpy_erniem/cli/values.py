"""Values of rows."""

import json
from typing import Any


def text_of(value: Any, field: str) -> str:
    """The text of a row: a line, or the value of a column; ValueError where it has none."""
    if isinstance(value, str):
        return value
    if field not in value:
        there = ", ".join(value) or "none"
        raise ValueError(f"has no {field!r}, only {there}; name the key of the text with --field")
    text = value[field]
    if not isinstance(text, str):
        raise ValueError(f"has {_shown(text)} as {field!r}, not a text")
    return text


def list_of(value: Any) -> Any:
    """A list that a row has; in a cell of a table it is JSON, such as ["a", "b"]."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"has a list that is not JSON: {error}") from None
    return value


def _shown(value: Any) -> str:
    """A value in an error."""
    return "no value" if value is None else f"the {type(value).__name__} {str(value)[:40]!r}"
