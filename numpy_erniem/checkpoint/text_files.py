"""Text files read line by line: plain or gzipped, JSON lines or tab-separated columns.

Files are streamed, and every error names the file and the line.
"""

import gzip
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any

from numpy_erniem.checkpoint.header_lines import read_header
from numpy_erniem.checks import warn

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
    path: str | os.PathLike,
    columns: Sequence[Sequence[str]],
    aliases: Mapping[str, str] | None = None,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The examples of a file as dicts, each with its place for errors, such as "a.tsv line 3".

    Parameters
    ----------
    path : path
        .jsonl or .ndjson: a JSON object in each line; else tab-separated columns, whose names may
        stand in the first line, in any order. Blank lines are skipped.
    columns : sequence of sequences of str
        The sets of columns that an example may have. A line of TSV has the set with its number of
        columns; a JSON object, or a table with a header, has the largest set whose names are all
        there.
    aliases : mapping of str to str, optional
        Other names of columns, in lower case, and what they stand for.

    Yields
    ------
    where : str
    values : dict of str to Any
        With TSV, the values are texts that are not blank.

    Raises
    ------
    ValueError
        A line with another number of columns or an empty one, a line that is no JSON object or
        lacks a key, half a header, a file without examples, or what `read_lines` refuses.
    """
    found, aliases = False, aliases or {}
    if is_json_lines(path):
        for where, value in read_json_lines(path):
            found = True
            yield where, _json_columns(value, where, columns, aliases)
    else:
        for where, values in _table_rows(path, columns, aliases):
            found = True
            yield where, values
    if not found:
        raise ValueError(f"{path} has no example; it needs one in each line")


def _table_rows(
    path: str | os.PathLike, columns: Sequence[Sequence[str]], aliases: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """The lines of a table behind its header, if it has one."""
    is_first, header = True, None
    for number, line in read_lines(path):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        if is_first:
            is_first, header = False, read_header(line, where, columns, aliases)
            if header is not None:
                used = max((c for c in columns if set(c) <= set(header)), key=len)
                left = [name for name in header if name not in used]
                if left:
                    warn(f"{where} names the columns {', '.join(left)}, which are not read")
                continue
        yield where, parse_columns(line, where, columns if header is None else [used], header)


def parse_columns(
    line: str,
    where: str,
    columns: Sequence[Sequence[str]],
    header: Sequence[str] | None = None,
) -> dict[str, str]:
    """Split a line at its tabs.

    Parameters
    ----------
    line : str
    where : str
        What an error calls the line.
    columns : sequence of sequences of str
        The sets of columns that it may have, told apart by their number.
    header : sequence of str, optional
        The columns of the whole table, of which those of the only set are taken.

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
        if len(header or names) == len(fields):
            values = dict(zip(header or names, fields, strict=True))
            values = {name: values[name] for name in names}
            blank = [name for name, value in values.items() if not value.strip()]
            if blank:
                raise ValueError(f"{where}: {blank[0]} is empty")
            return values
    allowed = " or ".join(", ".join(names) for names in (columns if header is None else [header]))
    raise ValueError(f"{where} has {len(fields)} columns, tab-separated; allowed: {allowed}")


def _json_columns(
    value: Any, where: str, columns: Sequence[Sequence[str]], aliases: Mapping[str, str]
) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is a JSON {type(value).__name__}, not an object")
    meant: dict[str, str] = {}
    for key in sorted(value.keys() & aliases.keys()):
        name = aliases[key]
        if name not in value and name in meant:
            both = " and ".join(sorted((key, meant[name])))
            raise ValueError(f"{where} has {both}, which both mean {name}; name one of them {name}")
        meant[name] = key
    value = {name: value[key] for name, key in meant.items()} | value
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
