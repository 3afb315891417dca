"""Parquet files, by pyarrow."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

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
    """The rows of a file as dicts with these columns; DataError where it is damaged."""
    arrow = require_pyarrow(path)
    try:
        with arrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            missing = [column for column in columns if column not in names]
            if missing:
                raise DataError(
                    f"{path}: there is no column {missing[0]!r}; there are {', '.join(names)}"
                )
            for batch in file.iter_batches(1024, columns=list(columns) or None):
                yield from batch.to_pylist()
    except (arrow.ArrowException, OSError) as error:
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

    Raises
    ------
    DataError
        The values of a column have no common type.
    """
    arrow = require_pyarrow(rows.name)
    try:
        schema = _schema(arrow, rows, columns, vector)
        with arrow.parquet.ParquetWriter(out, schema) as writer:
            for group in _groups(rows):
                writer.write_table(arrow.Table.from_pylist(group, schema))
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


def _schema(arrow: Any, rows: Path, columns: Sequence[str], vector: str) -> Any:
    """Types of the columns that hold for every row."""
    schema = arrow.schema([(name, arrow.null()) for name in columns])
    for group in _groups(rows):
        found = [(name, arrow.array([row.get(name) for row in group]).type) for name in columns]
        schema = arrow.unify_schemas([schema, arrow.schema(found)], promote_options="permissive")
    if vector in columns and not arrow.types.is_null(schema.field(vector).type):
        place = schema.get_field_index(vector)
        schema = schema.set(place, arrow.field(vector, arrow.list_(arrow.float32())))
    return schema
