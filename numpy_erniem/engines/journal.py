"""How far a run over rows is, kept so that it can go on after an interruption."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def journal_path(output: Path) -> Path:
    """The hidden file beside an output that says how far its run is."""
    return output.with_name(f".{output.name}.resume")


def new_path(journal: Path) -> Path:
    """The file that becomes a journal when it is complete."""
    return journal.with_name(f"{journal.name}.new")


@dataclass
class Counts:
    """What became of the rows so far.

    Attributes
    ----------
    rows : int
        Rows of the input that are done.
    errors : int
        Rows without a result.
    cut : int
        Rows whose end was left out.
    empty : int
        Rows without a token.
    tokens : int
        Tokens of all rows.
    """

    rows: int = 0
    errors: int = 0
    cut: int = 0
    empty: int = 0
    tokens: int = 0

    def add(self, other: "Counts") -> None:
        """Add what became of other rows."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def check_same_options(
    before: Mapping[str, Any], now: Mapping[str, Any], run: str, remedy: str
) -> None:
    """Raise a ValueError where a run goes on with other options.

    Parameters
    ----------
    before, now : dict
        Options of the run as it began, and as it would go on.
    run, remedy : str
        What an error calls the run, and what it tells to do.

    Raises
    ------
    ValueError
        An option differs.
    """
    for name in {**before, **now}:
        if before.get(name) != now.get(name):
            raise ValueError(
                f"{run} had {name} {before.get(name)!r}, now it is {now.get(name)!r}; {remedy}"
            )


class Journal:
    """How far a run is, in a hidden file beside its output, for as long as it is not finished.

    Parameters
    ----------
    output : Path
    options : dict
        Plain values on which the results depend.
    """

    def __init__(self, output: Path, options: Mapping[str, Any]) -> None:
        self.output, self.path = output, journal_path(output)
        self.options = json.loads(json.dumps(options))

    def begin(self, resume: bool) -> dict[str, Any]:
        """What was noted of an interrupted run; {} for a new one.

        Raises
        ------
        ValueError
            An interrupted run that is not resumed, or one that cannot be: it has other options, or
            is none.
        """
        if not self.path.exists():
            if resume and self.output.exists():
                raise ValueError(
                    f"{self.output} is not of an interrupted run: it is complete, or something "
                    "else; run without resuming to write it anew"
                )
            return {}
        noted = self._read()
        if not resume:
            raise ValueError(
                f"{self.output} is of a run that was interrupted after {noted['counts']['rows']} "
                f"rows; resume it, or delete {self.path}"
            )
        resume_it = f"resume it with the same, or delete {self.path}"
        check_same_options(noted["options"], self.options, "the run to resume", resume_it)
        return noted

    def _read(self) -> dict[str, Any]:
        """What the file says; ValueError where it is damaged."""
        try:
            noted: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
            numbers = [*vars(Counts(**noted["counts"])).values(), noted["bytes"]]
            if not all(type(n) is int and n >= 0 for n in numbers):
                raise ValueError
            dict(**noted["options"])
            bytes.fromhex(noted["digest"])
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ValueError(
                f"{self.path} is damaged, so the run cannot be resumed; delete it and run anew"
            ) from None
        return noted

    def save(self, counts: Counts, size: int, digest: str) -> None:
        """Note how far the run is.

        Parameters
        ----------
        counts : Counts
        size : int
            Bytes of the output that are good.
        digest : str
            Of the rows that are done.
        """
        noted = {
            "options": self.options,
            "counts": vars(counts),
            "bytes": size,
            "digest": digest,
        }
        new = new_path(self.path)  # complete or not there, after a kill
        new.write_text(json.dumps(noted), encoding="utf-8")
        os.replace(new, self.path)

    def finish(self) -> None:
        """The run is complete, or there is nothing to go on from."""
        self.path.unlink(missing_ok=True)
        new_path(self.path).unlink(missing_ok=True)  # where the disk was full
