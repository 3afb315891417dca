"""Text files read line by line: plain or gzipped, JSON lines or tab-separated columns.

Files are streamed, and every error names the file and the line.
"""

import gzip
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any

JSON_LINES = (".jsonl", ".ndjson")


def is_json_lines(path: str | os.PathLike) -> bool:
    """Whether the name of a file, with or without .gz, is that of JSON lines."""
    return Path(path).name.removesuffix(".gz").endswith(JSON_LINES)


def read_lines(
    path: str | os.PathLike, stream: IO[bytes] | None = None
) -> Iterator[tuple[int, str]]:
    """The number of every line, counted from 1, and its text without the line end.

    Parameters
    ----------
    path : path
    stream : binary file, optional
        Is read in place of the file `path`, which is then only its name in errors.

    Raises
    ------
    ValueError
        The file is empty, not UTF-8, or ends in .gz and is not valid gzip.
    """
    path = Path(path)
    number = 0
    with _opened(path) if stream is None else nullcontext(stream) as file:
        try:
            for number, raw in enumerate(file, 1):
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                yield number, text.rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} line {number} is not UTF-8: {error.reason}") from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path} is not valid gzip after line {number}: {error}") from None
    if not number:
        raise ValueError(f"{path} is empty; it needs at least one line")


def _opened(path: Path) -> IO[bytes]:
    return (gzip.open if path.suffix == ".gz" else open)(path, "rb")


def parse_json(text: str, where: str) -> Any:
    """The value of a JSON text; `where` is what an error calls it, such as "a.jsonl line 3".

    Raises
    ------
    ValueError
        The text is not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON: {error}") from None


def read_json_lines(
    path: str | os.PathLike, stream: IO[bytes] | None = None
) -> Iterator[tuple[str, Any]]:
    """The JSON value of every line that is not blank, with its place for errors.

    Parameters
    ----------
    path, stream
        As in `read_lines`.

    Raises
    ------
    ValueError
        A line is not JSON, or what `read_lines` refuses.
    """
    for number, line in read_lines(path, stream):
        if line.strip():
            where = f"{path} line {number}"
            yield where, parse_json(line, where)


def read_records(
    path: str | os.PathLike, columns: Sequence[Sequence[str]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The examples of a file as dicts, each with its place for errors, such as "a.tsv line 3".

    Parameters
    ----------
    path : path
        .jsonl or .ndjson: a JSON object in each line; else tab-separated columns. Blank lines are
        skipped.
    columns : sequence of sequences of str
        The sets of columns that an example may have. A line of TSV has the set with its number of
        columns; a JSON object has the largest set whose names are all among its keys.

    Yields
    ------
    where : str
    values : dict of str to Any
        With TSV, the values are texts that are not blank.

    Raises
    ------
    ValueError
        A line with another number of columns or an empty one, a line that is no JSON object or
        lacks a key, a file without examples, or what `read_lines` refuses.
    """
    found = False
    if is_json_lines(path):
        for where, value in read_json_lines(path):
            found = True
            yield where, _json_columns(value, where, columns)
    else:
        for number, line in read_lines(path):
            if line.strip():
                found, where = True, f"{path} line {number}"
                yield where, parse_columns(line, where, columns)
    if not found:
        raise ValueError(f"{path} has only blank lines; it needs one example in each line")


def parse_columns(line: str, where: str, columns: Sequence[Sequence[str]]) -> dict[str, str]:
    """Split a line at its tabs.

    Parameters
    ----------
    line : str
    where : str
        What an error calls the line.
    columns : sequence of sequences of str
        The sets of columns that it may have, told apart by their number.

    Returns
    -------
    dict of str to str

    Raises
    ------
    ValueError
        Another number of columns, or a blank one.
    """
    fields = line.split("\t")
    for names in columns:
        if len(names) == len(fields):
            values = dict(zip(names, fields, strict=True))
            blank = [name for name, value in values.items() if not value.strip()]
            if blank:
                raise ValueError(f"{where}: {blank[0]} is empty")
            return values
    allowed = " or ".join(", ".join(names) for names in columns)
    raise ValueError(f"{where} has {len(fields)} columns, tab-separated; allowed: {allowed}")


def _json_columns(value: Any, where: str, columns: Sequence[Sequence[str]]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is a JSON {type(value).__name__}, not an object")
    for names in sorted(columns, key=len, reverse=True):
        if all(name in value for name in names):
            return {name: value[name] for name in names}
    needed = " or ".join(", ".join(names) for names in columns)
    raise ValueError(f"{where} has the keys {', '.join(value) or 'none'}; needed: {needed}")


def text_field(values: dict[str, Any], name: str, where: str) -> str:
    """A field that must be text and not blank; an integer becomes its digits.

    Parameters
    ----------
    values : dict of str to Any
        From `read_records`.
    name : str
    where : str
        What an error calls the example.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        A value of another type, or blank.
    """
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise ValueError(f"{where}: {name} must be a text, not {value!r}")
    return str(value)
