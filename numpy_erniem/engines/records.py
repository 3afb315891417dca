"""Rows of files: plain text, JSON lines, JSON, CSV, TSV and Parquet, read one after another.

A row that cannot be read is a record with an error, so that whoever reads decides what to do. A
file that cannot be read any further raises a `DataError`.
"""

import codecs
import csv
import gzip
import io
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from numpy_erniem.checkpoint.json_files import load_unique
from numpy_erniem.engines.encoding import check_encoding
from numpy_erniem.engines.errors import DataError
from numpy_erniem.engines.parquet import read_parquet

FORMATS = {
    "text": (".txt", ".text"),
    "jsonl": (".jsonl", ".ndjson"),
    "json": (".json",),
    "csv": (".csv",),
    "tsv": (".tsv", ".tab"),
    "parquet": (".parquet", ".pq"),
}
STANDARD_INPUT = "-"
MOST_OF_A_FIELD = 1 << 30  # characters of a field of CSV; the csv module's own limit is 131,072


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


def find_files(paths: Sequence[str], kind: str | None) -> list[tuple[str, str]]:
    """The files of some paths with their formats, before any of them is read.

    Parameters
    ----------
    paths : sequence of str
        Files, folders (all files in them, by name), or "-" for standard input.
    kind : str, optional
        A name in `FORMATS` for all files; left out, by their names. Standard input is then "lines":
        text, unless its first line is JSON, which is refused.

    Returns
    -------
    list of (path, format)

    Raises
    ------
    FileNotFoundError
        There is no such path.
    ValueError
        A folder without files, or a name that does not tell the format.
    """
    found = []
    for path in paths:
        if path == STANDARD_INPUT:
            if kind == "parquet":
                raise ValueError("standard input cannot be parquet, which is not read in order")
            found.append((path, kind or "lines"))
        elif Path(path).is_dir():
            inside = sorted(p for p in Path(path).iterdir() if p.is_file() and p.name[0] != ".")
            if not inside:
                raise ValueError(f"{path} is a folder without files")
            found += [(str(p), kind or format_of(p)) for p in inside]
        elif not Path(path).exists():
            raise FileNotFoundError(f"{path} does not exist")
        else:
            found.append((path, kind or format_of(path)))
    return found


def format_of(path: str | Path) -> str:
    """The format that the name of a file tells, .gz or not; ValueError where it tells none."""
    name = Path(path).name.lower()
    suffix = Path(name.removesuffix(".gz")).suffix
    for kind, suffixes in FORMATS.items():
        if suffix in suffixes and not (kind == "parquet" and name.endswith(".gz")):
            return kind
    known = ", ".join(s for suffixes in FORMATS.values() for s in suffixes)
    raise ValueError(f"{path}: its name does not tell its format; rename it ({known}) or name it")


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
    if path == STANDARD_INPUT:
        file: IO[bytes] = sys.stdin.buffer
    else:
        file = (gzip.open if path.lower().endswith(".gz") else open)(path, "rb")  # type: ignore
    lines = _Lines(file, name, encoding)
    try:
        if kind == "json":
            yield from _read_json(lines)
        elif kind in ("csv", "tsv"):
            yield from _read_table(lines, "," if kind == "csv" else "\t", columns)
        else:
            for record in lines:
                if kind == "lines" and lines.number == 1:
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
    """A first line that is a JSON object or array is hardly meant as a text."""
    if record.value.lstrip().startswith(("{", "[")) and "not JSON" not in (
        _parsed(record).error or ""
    ):
        raise DataError(
            f"{record.where} is JSON, and nothing tells that it is; choose the format jsonl, or "
            "text for lines as they stand"
        )


def _parsed(record: Record) -> Record:
    """A line of JSON lines."""
    if record.error is not None:
        return record
    try:
        value = load_unique(record.value)
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
        values = load_unique("\n".join(r.value for r in records))
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
