"""Text for streams that may not hold every character: a terminal that is not UTF-8, a pipe."""

import io
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from numpy_erniem.engines.errors import DataError


def open_closed_streams() -> None:
    """Read nothing from standard streams that are closed, and write to them nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 (open to the end)
            setattr(sys, name, stream)


def flush_output() -> None:
    """Write what standard output holds back.

    Raises
    ------
    BrokenPipeError
        The reader has gone.
    DataError
        Standard output does not take it, such as a file on a disk that is full.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DataError(f"standard output: {error.strerror or error}") from None


def drop_output() -> None:
    """Forget what standard output does not take; else Python tells of it again when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError, ValueError):  # a stream without a number
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


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
