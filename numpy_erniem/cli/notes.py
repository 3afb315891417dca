"""What a command tells beside its results, on standard error, through `logging`.

The library writes to the logger "numpy_erniem". A command shows its lines by their level:

| level | what | shown |
|---|---|---|
| DEBUG | what is read and what runs it | with --verbose |
| INFO | notes, such as that an index was written | unless --quiet |
| REMARK | what a user should know about the results | always |
| WARNING | warnings of Python, and of the library | always |
"""

import io
import logging
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

REMARK = 25  # between INFO and WARNING
ROOT = logging.getLogger("numpy_erniem")


class Lines(logging.Handler):
    """Write each message as one line: "erniem: ..."."""

    def __init__(self) -> None:
        super().__init__()
        self.started = time.time()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message, with the seconds since the start where it is for debugging."""
        start = ""
        if record.levelno >= logging.WARNING:
            start = "warning: "
        elif record.levelno <= logging.DEBUG:
            start = f"{record.created - self.started:.2f} s: "
        print(f"erniem: {start}{' '.join(record.getMessage().split())}", file=sys.stderr)


@contextmanager
def notes_shown(quiet: bool = False, verbose: bool = False) -> Iterator[None]:
    """Show notes and warnings inside the block.

    Parameters
    ----------
    quiet : bool
        No notes and no progress; remarks and warnings are shown all the same.
    verbose : bool
        What is read and what runs it, too.
    """
    before, handler = (ROOT.level, ROOT.propagate), Lines()
    ROOT.setLevel(REMARK if quiet else logging.DEBUG if verbose else logging.INFO)
    ROOT.propagate = False
    ROOT.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = _show_warning
            yield
    finally:
        ROOT.removeHandler(handler)
        ROOT.level, ROOT.propagate = before
        ROOT.setLevel(before[0])


def _show_warning(message: Warning | str, *_: Any) -> None:
    ROOT.warning("%s", message)


def note(text: str) -> None:
    """Tell what was done; --quiet leaves it out."""
    ROOT.info("%s", text)


def remark(text: str) -> None:
    """Tell what a user should know about the results, with --quiet, too."""
    ROOT.log(REMARK, "%s", text)


def detail(text: str) -> None:
    """Tell what --verbose asks for."""
    ROOT.debug("%s", text)


def progress_file() -> IO[str]:
    """Where progress is shown: standard error, or nowhere with --quiet."""
    return sys.stderr if ROOT.isEnabledFor(logging.INFO) else io.StringIO()
