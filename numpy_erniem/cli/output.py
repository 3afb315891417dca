"""Text for streams that may not hold every character: a terminal that is not UTF-8, a pipe."""

import io
import json
import os
import sys
from pathlib import Path
from typing import IO, Any


def open_closed_streams() -> None:
    """Read nothing from standard streams that are closed, and write to them nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def escape_other_characters(file: IO[str]) -> None:
    r"""Let a stream write characters that are not in its encoding as escapes, such as \u6253."""
    if isinstance(file, io.TextIOWrapper) and file.errors in ("strict", "surrogateescape"):
        file.reconfigure(errors="backslashreplace")


def json_text(value: Any, file: IO[str], indent: int | None = None) -> str:
    """A value as JSON for a stream, in ASCII where the stream's encoding does not hold a character.

    Halves of surrogate pairs, which no encoding holds, are escaped, too.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode(file.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text
