"""Results by machine: a JSON file that keeps the records of every machine it was measured on."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, tables
from benchmarks.markdown import Part
from benchmarks.workers import progress


class FormatError(ValueError):
    """A file is not one that this program wrote."""


def read_machines(path: Path) -> list[machine.Record]:
    """The machines of a file of results, each with its "parts".

    Raises
    ------
    FormatError
        The file has no list of machines.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["machines"]
        known = all(isinstance(one["name"], str) and one["parts"].items() for one in found)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise FormatError(f"{path} has no list of machines with their parts: {error!r}") from None
    if not known:
        raise FormatError(f"{path}: each machine needs a name and parts")
    return found


class Results:
    """The parts that were measured; each is printed and written to a file when it is complete.

    Parameters
    ----------
    path : Path, optional
        A JSON file. Other machines in it are kept, and parts that are not measured again.
    threads : int
    trial : bool, default False
        The parts are marked as those of a trial, whose figures mean nothing.

    Attributes
    ----------
    machines : list of dict
        All machines of the file, and this one if something was measured.
    """

    def __init__(self, path: Path | None, threads: int, trial: bool = False) -> None:
        self.path, self.threads, self.trial = path, threads, trial
        there = path is not None and path.exists()
        self.machines = read_machines(path) if path is not None and there else []

    def own(self) -> machine.Record:
        """The record of this machine, with what the system tells today."""
        now = machine.record()
        for known in self.machines:
            if machine.is_same(known, now):
                known |= now
                return known
        self.machines.append({**now, "parts": {}})
        return self.machines[-1]

    def measure(
        self, name: str, rows: Iterable[dict[str, Any]], engines: Sequence[str] = ()
    ) -> None:
        """Collect the rows of a part, and measure the machine's limits before and after.

        Parameters
        ----------
        name : str
            A part of `tables.TABLES`.
        rows : iterable of dict
        engines : sequence of str
            What was asked for; an engine that no row has is told as left out.
        """
        from benchmarks import limits  # which needs the kernels

        part: Part = {
            "machine": machine.setup(machine.record()["name"], self.threads),
            **{"date": machine.today(), "version": machine.version()},
            "peak": limits.multiply_add_peak(),
            "bandwidth": limits.memory_bandwidth(),
            "rows": [],
        }
        if self.trial:
            part["note"] = "A trial with a small model: these figures mean nothing"
        complete = False
        try:
            for row in rows:
                part["rows"].append(row)
            complete = True
        finally:  # rows that were measured before an interruption are kept
            if not complete:
                part["note"] = "Interrupted: rows are missing"
            measured = {row.get("engine") for row in part["rows"]}
            part["left_out"] = [engine for engine in engines if engine not in measured]
            if part["rows"]:
                part["peak"] = max(part["peak"], limits.multiply_add_peak())
                self.own()["parts"][name] = part
                self.save()
        progress("")
        if part["rows"]:
            print(tables.TABLES[name](part), flush=True)

    def save(self) -> None:
        """Write all machines."""
        if self.path is not None:
            text = json.dumps({"machines": self.machines}, indent=1, ensure_ascii=False)
            self.path.write_text(text + "\n", encoding="utf-8")
