"""Telling the user something: warnings that point at the user's line, and each only once."""

from __future__ import annotations

from numpy_erniem.checks import warn


class Notices:
    """What one tokenizer has said already.

    A warning says that the result is not what the options ask for. What upstream merely logs is
    logged here too.
    """

    def __init__(self) -> None:
        self.said: set[str] = set()

    def warn(self, name: str, message: str, verbose: bool = True) -> None:
        """Warn, if the warning of that name was not given before."""
        if verbose and name not in self.said:
            self.said.add(name)
            warn(message)

    def log(self, name: str, message: str, verbose: bool = True) -> None:
        """Log a warning, if the one of that name was not logged before."""
        if verbose and name not in self.said:
            self.said.add(name)
            import logging  # slow to import, and seldom needed

            logging.getLogger(__name__.rpartition(".")[0]).warning(message)
