"""A line on the screen about work that takes longer than two seconds."""

import time
from typing import IO

QUIET = 2  # seconds until the first line


class Progress:
    """Print how much is done and how long the rest may take.

    On a terminal the line is rewritten; elsewhere one is printed every ten seconds.

    Parameters
    ----------
    file : text file
        Such as sys.stderr.
    unit : str
        What is counted, such as "texts".
    scale : float
        How many of what is counted make one unit: 1e6 for bytes that are shown as "MB".
    """

    def __init__(self, file: IO[str], unit: str, scale: float = 1) -> None:
        self.file, self.unit, self.scale = file, unit, scale
        self.is_terminal = file.isatty()
        self.started = self.last = time.monotonic()
        self.shown = False

    def __call__(self, done: int, total: int) -> None:
        """Say that `done` of `total` are done, if it is time for a line."""
        now = time.monotonic()
        self.shown |= now - self.started > QUIET and done < total
        due = now - self.last > (0.2 if self.is_terminal else 10) or done == total
        if not self.shown or not due:
            return
        self.last = now
        left = (now - self.started) / done * (total - done)
        start, end = ("\r", "\n" if done == total else "") if self.is_terminal else ("", "\n")
        print(
            f"{start}{done / self.scale:.0f} of {total / self.scale:.0f} {self.unit}, "
            f"{left:.0f} s left ",
            end=end,
            file=self.file,
            flush=True,
        )
