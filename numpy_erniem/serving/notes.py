"""Warnings of a pipeline: told to the client whose request led to them, and not to the log."""

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from numpy_erniem.serving.logs import log

_collecting = threading.local()


@contextlib.contextmanager
def collect_notes(notes: list[str]) -> Iterator[None]:
    """Put what this thread warns of into a list, where `keep_warnings` was called."""
    _collecting.notes = notes
    try:
        yield
    finally:
        _collecting.notes = None


def show_warning(
    message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """What `warnings` calls for each warning.

    Outside of `collect_notes` the log is told the category and the place, not the message, which
    may quote a text.

    Parameters
    ----------
    message : Warning
    category : type
    filename : str
    lineno : int
    file, line : object
        Not read.
    """
    notes = getattr(_collecting, "notes", None)
    if notes is None:
        log("warning", logging.WARNING, category=category.__name__, at=f"{filename}:{lineno}")
    elif str(message) not in notes:
        notes.append(str(message))


def keep_warnings() -> None:
    """Let every warning of the process come to `show_warning` from now on."""
    warnings.simplefilter("always")
    warnings.showwarning = show_warning
