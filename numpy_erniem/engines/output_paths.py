"""Where results may be written, checked before any work is done."""

import os
from collections.abc import Sequence
from pathlib import Path

from numpy_erniem.engines.parquet import require_pyarrow

SUFFIXES = (".jsonl", ".ndjson", ".csv", ".npy", ".parquet")
VECTOR = "vector"  # the column that an .npy holds


def check_output(path: str, inputs: Sequence[str], columns: Sequence[str]) -> Path:
    """The path of an output, after everything was checked that could fail at the end.

    Parameters
    ----------
    path : str
    inputs : sequence of str
        Paths of the inputs, files and folders. None may be the output, or hold it.
    columns : sequence of str
        Of the rows.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        The name does not tell the format, is that of an input or in a folder that is one, or needs
        a column that is missing.
    OSError
        The file cannot be written.
    """
    out = Path(path)
    check_format(path, columns)
    try:
        if out.is_dir():
            raise IsADirectoryError
        if any(out.exists() and Path(i).exists() and os.path.samefile(out, i) for i in inputs):
            raise ValueError(f"{path} is an input, too; write to another file")
        for folder in filter(os.path.isdir, inputs):
            if out.parent.is_dir() and os.path.samefile(out.parent, folder):
                raise ValueError(
                    f"{path} lies in the folder {folder}, which is an input: a later run would "
                    "read it, too; write to another folder"
                )
        existed = out.exists()
        out.open("ab").close()
        if not existed:
            out.unlink()
    except OSError as error:
        why = error.strerror or "it is a folder, not a file"
        raise type(error)(f"{path} cannot be written: {why}") from None
    return out


def check_format(path: str, columns: Sequence[str]) -> None:
    """Raise a ValueError where the ending of a path is of no format that can hold the rows."""
    kind = Path(path).suffix.lower()
    if kind not in SUFFIXES:
        raise ValueError(f"{path}: an output ends in one of {', '.join(SUFFIXES)}")
    if kind == ".npy" and VECTOR not in columns:
        raise ValueError(f"{path}: an array holds vectors, and these results have none; use .jsonl")
    if kind == ".parquet":
        require_pyarrow(path)
