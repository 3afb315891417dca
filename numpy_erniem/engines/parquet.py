"""Parquet files, by pyarrow."""

import io
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

from numpy_erniem.checks import warn
from numpy_erniem.engines.errors import DataError

GROUP = 4096  # rows that are written, and 1024 that are read, at a time


def require_pyarrow(path: str) -> Any:
    """The module pyarrow; ValueError with the way to install it, for a file, where it is not."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise ValueError(
            f"{path}: Parquet needs pyarrow: pip install 'numpy-erniem[parquet]'"
        ) from None
    return pyarrow


def read_parquet(path: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of a file as dicts with these columns, of which it has each once.

    Raises
    ------
    DataError
        It has not, or is damaged.
    """
    arrow = require_pyarrow(path)
    try:
        with arrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            missing = [column for column in columns if column not in names]
            if missing:
                raise DataError(
                    f"{path}: there is no column {missing[0]!r}; there are {', '.join(names)}"
                )
            twice = [name for name in columns or names if names.count(name) > 1]
            if twice:
                raise DataError(f"{path}: the column {twice[0]!r} is there twice")
            for batch in file.iter_batches(1024, columns=list(columns) or None):
                yield from batch.to_pylist()
    except DataError:
        raise
    except (arrow.ArrowException, OSError, ValueError, OverflowError) as error:
        # ValueError: bytes that are not UTF-8; OverflowError: a date that Python does not have
        raise DataError(f"{path} is not valid Parquet: {error}") from None


def write_parquet(rows: Path, out: IO[bytes], columns: Sequence[str], vector: str) -> None:
    """Write the rows of a file of JSON lines.

    Parameters
    ----------
    rows : Path
        One JSON object in each line.
    out : binary file
    columns : sequence of str
        A row may lack some.
    vector : str
        The column whose lists become float32.

    Warns
    -----
    UserWarning
        The values of a column have no common type in Parquet, such as numbers and texts, or only
        objects without a key: those that are no texts are written as JSON.

    Raises
    ------
    DataError
        The rows fit no table.
    """
    arrow = require_pyarrow(rows.name)
    schema, mixed = _schema(arrow, rows, columns, vector)
    if mixed:
        names = ", ".join(mixed)
        warn(f"Parquet: values of {names} have no common type there and are written as texts")
    try:
        with arrow.parquet.ParquetWriter(out, schema) as writer:
            for group in _groups(rows):
                table = [_as_texts(row, mixed) for row in group]
                writer.write_table(arrow.Table.from_pylist(table, schema))
    except arrow.ArrowException as error:
        raise DataError(f"the rows in {rows} fit no Parquet table: {error}") from None


def _groups(rows: Path) -> Iterator[list[dict[str, Any]]]:
    with rows.open(encoding="utf-8") as lines:
        while group := [_writable(json.loads(line)) for line in islice(lines, GROUP)]:
            yield group


def _writable(value: Any) -> Any:
    """The value with halves of surrogate pairs as escapes: Arrow has only UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_writable(name): _writable(v) for name, v in value.items()}
    if isinstance(value, list) and value and not isinstance(value[0], float):  # a vector
        return [_writable(v) for v in value]
    return value


def _as_texts(row: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """A row whose values in some columns are texts: themselves, or JSON."""
    values = {name: row[name] for name in columns if row.get(name) is not None}
    return row | {
        name: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)
        for name, v in values.items()
    }


def _schema(arrow: Any, rows: Path, columns: Sequence[str], vector: str) -> tuple[Any, list[str]]:
    """Types of the columns that hold for every row; columns without one are texts, and named."""
    types = dict.fromkeys(columns, arrow.null())
    mixed: list[str] = []
    for group in _groups(rows):
        for name in (name for name in columns if name not in mixed):
            try:
                found = arrow.array([row.get(name) for row in group]).type
                types[name] = _common(arrow, types[name], found)
            except (arrow.ArrowException, OverflowError):
                types[name] = arrow.string()
                mixed.append(name)
    for name in (name for name in columns if name not in mixed):
        if not _is_writable(arrow, types[name]):
            types[name] = arrow.string()
            mixed.append(name)
    if vector in columns and not arrow.types.is_null(types[vector]):
        types[vector] = arrow.list_(arrow.float32())
    return arrow.schema(list(types.items())), mixed


def _is_writable(arrow: Any, kind: Any) -> bool:
    """Whether Parquet has a type: it has none for objects without a key."""
    try:
        arrow.parquet.ParquetWriter(io.BytesIO(), arrow.schema([("column", kind)])).close()
    except arrow.ArrowException:
        return False
    return True


def _common(arrow: Any, *types: Any) -> Any:
    """The type that holds the values of two."""
    schemas = [arrow.schema([("column", kind)]) for kind in types]
    return arrow.unify_schemas(schemas, promote_options="permissive").field(0).type
