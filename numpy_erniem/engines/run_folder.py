"""The output folder of a run over many files: a file for each block, and a log of what is done.

A *block* is a part of an input file: a fixed number of rows, one after another, less in the last
one. The rows of block 3 of `a.jsonl` are in `a.jsonl.000003.parquet`. Such a file is there complete
or not at all, so what is there is done.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy_erniem.checkpoint.atomic import check_writable
from numpy_erniem.engines.input_paths import STANDARD_INPUT
from numpy_erniem.engines.journal import check_same_options
from numpy_erniem.engines.records import Record

LOG = ".erniem-run.jsonl"  # options in its first line; then what is known of each input file
BLOCK_ROWS = 10_000
BLOCK_CHARACTERS = 1 << 26  # a block ends earlier where its texts are longer than this in all


@dataclass
class InputFile:
    """An input file, and what is known of it.

    Attributes
    ----------
    path, kind : str
        As of `find_files`.
    done : set of int
        Its blocks that are written.
    blocks : int or None
        How many blocks it has, once it was read to its end.
    noted : dict
        What the log says: "size" and "mtime" of the file, then "blocks", how many it has, or
        "error", why it is not complete in this run; an error of an earlier run is in the log alone.
    """

    path: str
    kind: str
    done: set[int] = field(default_factory=set)
    blocks: int | None = None
    noted: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name, with which the names of its blocks begin."""
        return Path(self.path).name

    @property
    def is_written(self) -> bool:
        """Whether all its blocks are written."""
        blocks = self.blocks
        return blocks is not None and sum(number < blocks for number in self.done) == blocks


class RunFolder:
    """An output folder.

    Parameters
    ----------
    folder : path
        It is made where it is missing.
    options : dict
        Plain values on which the output depends.
    suffix : str
        The ending of the blocks' names.
    """

    def __init__(
        self, folder: str | os.PathLike[str], options: Mapping[str, Any], suffix: str
    ) -> None:
        self.folder, self.suffix = Path(folder).absolute(), suffix
        self.options = json.loads(json.dumps(options))
        self.log = self.folder / LOG

    def block(self, name: str, number: int) -> Path:
        """The file of a block; by name, the blocks of a file are in order."""
        return self.folder / f"{name}.{number:06d}{self.suffix}"

    def begin(self, files: Sequence[tuple[str, str]]) -> list[InputFile]:
        """What is known of the input files; the log is begun or goes on.

        Parameters
        ----------
        files : sequence of (path, format)
            From `find_files`.

        Returns
        -------
        list of InputFile

        Raises
        ------
        ValueError
            The folder is of another run, or of none; an input file has changed since its blocks
            were written; two have the same name; standard input.
        OSError
            The folder cannot be written to.
        """
        found = [InputFile(path, kind) for path, kind in files]
        by_name: dict[str, InputFile] = {}
        for file in found:
            if file.path == STANDARD_INPUT:
                raise ValueError("standard input is not read in blocks; give files or folders")
            if file.name in by_name:
                raise ValueError(
                    f"{by_name[file.name].path} and {file.path} have the same name, and so would "
                    "their outputs; run each for itself"
                )
            by_name[file.name] = file
        noted = self._open()
        self._find_blocks(by_name)
        for file in found:
            file.noted = self._checked(file, noted.get(file.name, {}))
            file.blocks = file.noted.get("blocks")
        return found

    def note(self, file: InputFile, **values: Any) -> None:
        """Note of a file how many "blocks" it has, or which "error" it has."""
        _merge(file.noted, values)
        self._append({"file": file.name, **values})

    def _open(self) -> dict[str, dict[str, Any]]:
        """What the log says of each file; it is made where it is missing."""
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f"{self.folder} is a file; the output of blocks is a folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        check_writable(self.log)
        names = (path.name for path in self.folder.iterdir())
        has_files = any(not name.startswith((".saving-", LOG)) for name in names)
        if has_files and self.log.exists():
            return self._read()
        if has_files:
            raise ValueError(
                f"{self.folder} has files, and no {LOG} of an earlier run; give a new folder"
            )
        self.log.unlink(missing_ok=True)  # of a run that wrote nothing
        self._append({"options": self.options})
        return {}

    def _read(self) -> dict[str, dict[str, Any]]:
        """The log; a line that was not written to its end is cut off."""
        content = self.log.read_bytes()
        good = content.rfind(b"\n") + 1
        noted: dict[str, dict[str, Any]] = {}
        before = None
        try:
            for line in content[:good].splitlines():
                values = json.loads(line)
                if before is None:
                    before = dict(**values["options"])
                else:
                    _merge(noted.setdefault(values.pop("file"), {}), values)
            if before is None:
                raise ValueError
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise ValueError(f"{self.log} is damaged; give a new folder") from None
        run = f"the run in {self.folder}"
        check_same_options(before, self.options, run, "give the same, or another folder")
        if good < len(content):
            os.truncate(self.log, good)
        return noted

    def _find_blocks(self, by_name: Mapping[str, InputFile]) -> None:
        """Find the blocks that are written."""
        pattern = re.compile(r"(.+)\.(\d{6,})" + re.escape(self.suffix), re.DOTALL)
        with os.scandir(self.folder) as entries:
            for entry in entries:
                match = pattern.fullmatch(entry.name)
                if match and match[1] in by_name:
                    by_name[match[1]].done.add(int(match[2]))

    def _checked(self, file: InputFile, noted: dict[str, Any]) -> dict[str, Any]:
        """What the log says of a file; it is noted where it is new, and anew where it is mended."""
        status = Path(file.path).stat()
        now = {"size": status.st_size, "mtime": status.st_mtime_ns}
        if {name: noted.get(name) for name in now} == now:
            return {name: value for name, value in noted.items() if name != "error"}
        if file.done and "error" not in noted:
            raise ValueError(
                f"{file.path} has changed since its rows in {self.folder} were written; give "
                f"another folder, or delete {file.name}.*{self.suffix} in it"
            )
        for number in file.done:
            self.block(file.name, number).unlink()
        file.done.clear()
        self._append({"file": file.name, **now})
        return now

    def _append(self, values: Mapping[str, Any]) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(values) + "\n")


def blocks_of(records: Iterator[Record], rows: int = BLOCK_ROWS) -> Iterator[list[Record]]:
    """The records in blocks. Where reading fails, only the blocks before come; then the error."""
    block: list[Record] = []
    characters = 0
    for record in records:
        block.append(record)
        characters += _characters(record.value)
        if len(block) == rows or characters > BLOCK_CHARACTERS:
            yield block
            block, characters = [], 0
    if block:
        yield block


def _characters(value: Any) -> int:
    """About how long the text of a value is; it is the same in every run."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list | tuple) else 8


def _merge(noted: dict[str, Any], values: dict[str, Any]) -> None:
    """Add a line of the log to those before: a file that is seen anew begins anew."""
    if not set(values) <= {"size", "mtime", "blocks", "error"}:
        raise ValueError
    numbers = [value for name, value in values.items() if name != "error"]
    if not all(type(n) is int for n in numbers) or type(values.get("error", "")) is not str:
        raise ValueError
    for name in ("blocks", "error"):
        noted.pop(name, None)
    noted.update(values)
