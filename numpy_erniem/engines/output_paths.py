"""Where results may be written, checked before any work is done."""

import os
from collections.abc import Sequence
from pathlib import Path

from numpy_erniem.checkpoint.atomic import hidden_folder
from numpy_erniem.engines.journal import journal_path
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
        if out.exists() and not out.is_file():
            raise OSError(
                f"it is {'a folder' if out.is_dir() else 'a device or a pipe'}, not a file"
            )
        if any(out.exists() and Path(i).exists() and os.path.samefile(out, i) for i in inputs):
            raise ValueError(f"{path} is an input, too; write to another file")
        for folder in filter(os.path.isdir, inputs):
            if out.parent.is_dir() and os.path.samefile(out.parent, folder):
                raise ValueError(
                    f"{path} lies in the folder {folder}, which is an input: a later run would "
                    "read it, too; write to another folder"
                )
        _check_file(out)
    except OSError as error:
        raise type(error)(f"{path} cannot be written: {error.strerror or error}") from None
    try:
        _check_file(out.with_name(f"{journal_path(out).name}.try"))  # no other name is longer
        if out.suffix.lower() == ".parquet":
            with hidden_folder(link_target(out).parent):  # where it is made
                pass
    except OSError as error:
        raise type(error)(
            f"{path} cannot be written: its folder takes no other file, such as the one that says "
            f"how far the run is: {error.strerror or error}"
        ) from None
    return out


def _check_file(path: Path) -> None:
    """Open a file for writing as a test; what it holds stays."""
    existed = path.exists()
    path.open("ab").close()
    if not existed:
        link_target(path).unlink(missing_ok=True)


def link_target(path: Path) -> Path:
    """The file that a symbolic link leads to; of another file, its full path."""
    return Path(os.path.realpath(path))


def check_format(path: str, columns: Sequence[str]) -> None:
    """Raise a ValueError where the ending of a path is of no format that can hold the rows."""
    kind = Path(path).suffix.lower()
    if kind not in SUFFIXES:
        raise ValueError(f"{path}: an output ends in one of {', '.join(SUFFIXES)}")
    if kind == ".npy" and VECTOR not in columns:
        raise ValueError(f"{path}: an array holds vectors, and these results have none; use .jsonl")
    if kind == ".parquet":
        require_pyarrow(path)
