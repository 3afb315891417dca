"""Rows of files: plain text, JSON lines, JSON, CSV, TSV and Parquet, read one after another.

A row that cannot be read is a record with an error, so that whoever reads decides what to do. A
file that cannot be read any further raises a `DataError`.
"""

import codecs
import csv
import gzip
import io
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Any, NamedTuple

from numpy_erniem.checkpoint.json_files import load_data
from numpy_erniem.engines.encoding import check_encoding
from numpy_erniem.engines.errors import DataError
from numpy_erniem.engines.input_paths import STANDARD_INPUT
from numpy_erniem.engines.parquet import read_parquet

MOST_OF_A_FIELD = 1 << 30  # characters of a field of CSV; the csv module's own limit is 131,072
JSON_BEGINS = re.compile(r'\s*([{\[]\s*$|\{\s*"|\[\s*[{"])')  # an object or array of several lines


class Record(NamedTuple):
    """A row of a file.

    Attributes
    ----------
    where : str
        What an error calls it, such as "a.csv line 3".
    value : str or dict of str to Any
        A line of text, or the columns of a row.
    error : str or None
        Why it cannot be read; `value` is then "".
    """

    where: str
    value: Any
    error: str | None = None


def read_records(
    files: Sequence[tuple[str, str]], encoding: str = "utf-8", columns: Sequence[str] = ()
) -> Iterator[Record]:
    """The rows of files, one file after another.

    Parameters
    ----------
    files : sequence of (path, format)
        From `find_files`.
    encoding : str
        Of text files; a byte order mark of UTF-8 is skipped.
    columns : sequence of str
        The columns that are used; others of Parquet files are not read.

    Yields
    ------
    Record

    Raises
    ------
    DataError
        A file is empty, damaged, or has not the columns.
    """
    for path, kind in files:
        is_empty = True
        if kind == "parquet":
            records = _read_parquet(path, columns)
        else:
            records = _read_text_file(path, kind, encoding, columns)
        for record in records:
            is_empty = False
            yield record
        if is_empty:
            raise DataError(f"{_name(path)} is empty; it needs at least one row")


def _name(path: str) -> str:
    return "standard input" if path == STANDARD_INPUT else path


def _read_text_file(
    path: str, kind: str, encoding: str, columns: Sequence[str]
) -> Iterator[Record]:
    name = _name(path)
    check_encoding(encoding)  # before anything is opened
    opened: Any = gzip.open if path.lower().endswith(".gz") else open
    file: IO[bytes] = sys.stdin.buffer if path == STANDARD_INPUT else opened(path, "rb")
    lines = _Lines(file, name, encoding)
    try:
        if kind == "json":
            yield from _read_json(lines)
        elif kind in ("csv", "tsv"):
            yield from _read_table(lines, "," if kind == "csv" else "\t", columns)
        else:
            is_begun = kind != "lines"
            for record in lines:
                if not is_begun and record.value.strip():
                    is_begun = True
                    _refuse_json(record)
                if kind != "jsonl" or record.error is not None or record.value.strip():
                    yield _parsed(record) if kind == "jsonl" else record
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{name} is not valid gzip after line {lines.number}: {error}") from None
    finally:
        if path != STANDARD_INPUT:
            file.close()


class _Lines:
    """The lines of a binary file as records, decoded one by one."""

    def __init__(self, file: IO[bytes], name: str, encoding: str) -> None:
        self.file, self.name, self.number, self.text = file, name, 0, ""  # with the line end
        self.encoding = codecs.lookup(encoding).name
        self.is_utf8 = self.encoding in ("utf-8", "utf-8-sig")

    def __iter__(self) -> Iterator[Record]:
        for raw in self._raw_lines():
            self.number += 1
            where = f"{self.name} line {self.number}"
            if self.number == 1 and self.is_utf8:
                raw = raw.removeprefix(codecs.BOM_UTF8)
            self.text = "\n"
            try:
                self.text = raw.decode(self.encoding)
                yield Record(where, self.text.rstrip("\r\n"))
            except UnicodeDecodeError as error:
                what = f"is not {self.encoding.upper()}: {error.reason} at byte {error.start}"
                yield Record(where, "", f"{what}; name its encoding")

    def _raw_lines(self) -> Iterator[bytes]:
        if self.encoding.startswith(("utf-16", "utf-32")):  # whose bytes hold other line feeds
            text = io.TextIOWrapper(self.file, self.encoding, newline="\n")
            name, self.encoding = self.encoding, "utf-8"
            try:
                yield from (line.encode("utf-8") for line in text)
            except UnicodeError as error:
                where = f"{self.name} behind line {self.number}"
                raise DataError(f"{where} is not {name.upper()}: {error}") from None
            finally:
                text.detach()
        else:
            yield from self.file


def _refuse_json(record: Record) -> None:
    """A first line that is a JSON object or array, or begins one, is hardly meant as a text."""
    is_whole = record.value.lstrip().startswith(("{", "[")) and "not JSON" not in (
        _parsed(record).error or ""
    )
    if is_whole or JSON_BEGINS.match(record.value):
        raise DataError(
            f"{record.where} is JSON, and nothing tells that it is; choose the format json or "
            "jsonl, or text for lines as they stand"
        )


def _parsed(record: Record) -> Record:
    """A line of JSON lines."""
    if record.error is not None:
        return record
    try:
        value = load_data(record.value)
    except (ValueError, RecursionError) as error:
        return Record(record.where, "", f"is not JSON: {error}")
    return _checked(record.where, value)


def _checked(where: str, value: Any) -> Record:
    wrong = None if isinstance(value, str | dict) else type(value).__name__
    error = wrong and f"is a JSON {wrong}, not a text or an object"
    return Record(where, "" if wrong else value, error)


def _read_json(lines: _Lines) -> Iterator[Record]:
    """The items of a JSON array, which is read as a whole."""
    records = list(lines)
    wrong = next((r for r in records if r.error is not None), None)
    if wrong is not None:
        raise DataError(f"{wrong.where} {wrong.error}")
    if not records:
        return
    try:
        values = load_data("\n".join(r.value for r in records))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{lines.name} is not JSON: {error}") from None
    if not isinstance(values, list):
        raise DataError(f"{lines.name} holds a JSON {type(values).__name__}, not an array of rows")
    yield from (_checked(f"{lines.name} item {n}", v) for n, v in enumerate(values, 1))


def _read_table(lines: _Lines, delimiter: str, columns: Sequence[str]) -> Iterator[Record]:
    errors: dict[int, str] = {}

    def texts() -> Iterator[str]:
        for record in lines:
            if record.error is not None:
                errors[lines.number] = record.error
            yield lines.text  # whose line end belongs to a field in quotes

    csv.field_size_limit(MOST_OF_A_FIELD)
    rows = csv.reader(texts(), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    first = 1
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{lines.name} line {lines.number}: {error}") from None
        where, first = f"{lines.name} line {first}", lines.number + 1
        broken = next(iter(errors.values()), None)
        errors.clear()
        if header is None:
            if broken is not None:
                raise DataError(f"{where} {broken}")
            header = _header(row, where, columns)
        elif broken is not None:
            yield Record(where, "", broken)
        elif row and len(row) != len(header):
            yield Record(where, "", f"has {len(row)} columns, the header has {len(header)}")
        elif row or len(header) == 1:  # a blank line is the empty field of a single column
            yield Record(where, dict(zip(header, row or [""], strict=True)))


def _header(row: list[str], where: str, columns: Sequence[str]) -> list[str]:
    twice = [name for n, name in enumerate(row) if name in row[:n]]
    if twice:
        raise DataError(f"{where}: the column {twice[0]!r} is there twice")
    for column in columns:
        if column not in row:
            raise DataError(f"{where}: there is no column {column!r}; there are {', '.join(row)}")
    return row


def _read_parquet(path: str, columns: Sequence[str]) -> Iterator[Record]:
    for number, row in enumerate(read_parquet(path, columns), 1):
        yield Record(f"{path} row {number}", row)
