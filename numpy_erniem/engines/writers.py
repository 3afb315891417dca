"""Rows into files, as they come: JSON lines, CSV, NumPy arrays and Parquet.

A writer knows how many bytes of its file are good. When a run is resumed, the file is cut there.
"""

import base64
import csv
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import numpy as np

from numpy_erniem.checkpoint.atomic import atomic_file
from numpy_erniem.checkpoint.json_files import to_json
from numpy_erniem.engines.journal import journal_path
from numpy_erniem.engines.output_paths import VECTOR, link_target
from numpy_erniem.engines.parquet import write_parquet


class Writer:
    """JSON lines to a file, or to a stream.

    Parameters
    ----------
    path : Path
    columns : sequence of str
        Of every row, in order; a row may lack some.
    start : int
        Bytes of the file that are kept; 0 begins a new file.
    width : int
        Numbers of a vector, where the rows have one.
    """

    def __init__(self, path: Path, columns: Sequence[str], start: int = 0, width: int = 0) -> None:
        self.path, self.columns, self.width = path, list(columns), width
        if start and not self.target.exists():
            raise ValueError(
                f"{self.target} has the rows of the run to resume, and is not there any more; "
                f"delete {journal_path(path)} and run anew"
            )
        if start and self.target.stat().st_size < start:
            raise ValueError(
                f"{self.target} is shorter than the run that is resumed had left it; delete "
                f"{journal_path(path)} and run anew"
            )
        self.file: IO[bytes] = self.target.open("r+b" if start else "wb")
        self.file.truncate(start)
        self.file.seek(start)
        self.begin(start)

    @property
    def target(self) -> Path:
        """The file that is written to."""
        return self.path

    def begin(self, start: int) -> None:
        """Write what comes before the first row, if `start` is 0."""

    def write(self, row: Mapping[str, Any]) -> None:
        """Write a row."""
        self.file.write(json_line(row).encode("utf-8"))

    def flush(self) -> int:
        """Hand everything to the system; how many bytes are good."""
        self.file.flush()
        return self.file.tell()

    def abandon(self) -> None:
        """Close the file as it is; a run may go on from where it is good."""
        with suppress(OSError):  # what is still in memory does not fit, either
            self.file.close()

    def close(self) -> None:
        """Finish the file."""
        self.file.flush()
        with suppress(OSError):  # a device or a pipe
            os.fsync(self.file.fileno())
        self.file.close()


class StreamWriter(Writer):
    """JSON lines to standard output, each at once."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def write(self, row: Mapping[str, Any]) -> None:
        """Write a row."""
        text = json_line(row)
        try:
            text.encode(self.stream.encoding or "utf-8")
        except UnicodeEncodeError:
            text = json.dumps(plain(row)) + "\n"
        self.stream.write(text)
        self.stream.flush()

    def flush(self) -> int:
        """Everything is handed on already."""
        return 0

    def abandon(self) -> None:
        """The stream stays open."""

    def close(self) -> None:
        """The stream stays open."""


class CsvWriter(Writer):
    """A table with a header; lists and objects are JSON in their cell."""

    def begin(self, start: int) -> None:
        """The header."""
        file = _Encoded(self.file)
        self.rows = csv.writer(file, lineterminator="\n")
        self.quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        if not start:
            self.rows.writerow(self.columns)

    def write(self, row: Mapping[str, Any]) -> None:
        """Write a row."""
        values = plain(row)
        cells = [_cell(values.get(name)) for name in self.columns]
        # The csv module of some Pythons leaves a carriage return, a line end, without quotes.
        returns = any(isinstance(cell, str) and "\r" in cell for cell in cells)
        (self.quoted if returns else self.rows).writerow(cells)


class NpyWriter(Writer):
    """The vectors of the rows as an array (rows, width) of float32; an error is a row of NaN."""

    HEADER = 128  # bytes, enough for any number of rows

    def begin(self, start: int) -> None:
        """The header."""
        self.count = (start - self.HEADER) // (4 * self.width) if start else 0
        if not start:
            self.file.write(self._header())

    def write(self, row: Mapping[str, Any]) -> None:
        """Write the vector of a row."""
        vector = row.get(VECTOR, np.full(self.width, np.nan))
        self.file.write(np.ascontiguousarray(vector, "<f4").tobytes())
        self.count += 1

    def flush(self) -> int:
        """Write the number of rows into the header, too, so that the file can be read."""
        self.file.seek(0)
        self.file.write(self._header())
        self.file.seek(0, os.SEEK_END)
        return super().flush()

    def close(self) -> None:
        """Finish the file."""
        self.flush()
        super().close()

    def _header(self) -> bytes:
        buffer = io.BytesIO()
        shape = (self.count, self.width)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(buffer, header)
        text = buffer.getvalue()[10:].rstrip()  # behind magic string, version and length
        length = self.HEADER - 10
        return buffer.getvalue()[:8] + length.to_bytes(2, "little") + text.ljust(length - 1) + b"\n"


class ParquetWriter(Writer):
    """A Parquet file, made at the end of JSON lines in a hidden file beside it."""

    @property
    def target(self) -> Path:
        """The hidden file."""
        return self.path.with_name(f".{self.path.name}.rows")

    def close(self) -> None:
        """Make the Parquet file, and remove the hidden file."""
        super().close()
        with atomic_file(link_target(self.path)) as out:
            write_parquet(self.target, out, self.columns, VECTOR)
        self.target.unlink()


WRITERS: dict[str, type[Writer]] = {
    ".jsonl": Writer,
    ".ndjson": Writer,
    ".csv": CsvWriter,
    ".npy": NpyWriter,
    ".parquet": ParquetWriter,
}


def writer_of(path: Path | None, columns: Sequence[str], start: int = 0, width: int = 0) -> Writer:
    """The writer for a path, or for standard output where there is none.

    Parameters
    ----------
    path : Path, optional
        From `check_output`.
    columns : sequence of str
    start : int
        Bytes that are kept.
    width : int
        Numbers of a vector, where the rows have one.

    Returns
    -------
    Writer
    """
    if path is None:
        return StreamWriter(sys.stdout)
    return WRITERS[path.suffix.lower()](path, columns, start, width)


def plain(value: Any) -> Any:
    """A value as JSON has it.

    A float32 is the shortest decimal number that means the same. Of what only Parquet holds, dates
    and times are ISO 8601, bytes base64, and decimals, durations and UUIDs their usual text.
    """
    if isinstance(value, Mapping):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return [float(str(v)) for v in value] if value.ndim == 1 else [plain(v) for v in value]
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Decimal | timedelta | UUID):
        return str(value)
    return value.item() if isinstance(value, np.generic) else value


def json_line(row: Mapping[str, Any]) -> str:
    """A row as a line of JSON; halves of surrogate pairs, which no encoding holds, are escaped."""
    return to_json(plain(row)) + "\n"


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return to_json(value)
    return "" if value is None else value


class _Encoded:
    """What the csv module writes to: text for a binary file."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def write(self, text: str) -> None:
        """Write text as UTF-8; halves of surrogate pairs become escapes."""
        self.file.write(text.encode("utf-8", "backslashreplace"))
