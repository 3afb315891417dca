"""The files of an input and their formats, found before any of them is read."""

from collections.abc import Sequence
from pathlib import Path

from numpy_erniem.checks import warn

FORMATS = {
    "text": (".txt", ".text"),
    "jsonl": (".jsonl", ".ndjson"),
    "json": (".json",),
    "csv": (".csv",),
    "tsv": (".tsv", ".tab"),
    "parquet": (".parquet", ".pq"),
}
STANDARD_INPUT = "-"


def find_files(paths: Sequence[str], kind: str | None) -> list[tuple[str, str]]:
    """The files of some paths with their formats, before any of them is read.

    Parameters
    ----------
    paths : sequence of str
        Files, folders (all files in them, by name, but no folders), or "-" for standard input.
    kind : str, optional
        A name in `FORMATS` for all files; left out, by their names. Standard input is then "lines":
        text, unless its first line is JSON, which is refused.

    Returns
    -------
    list of (path, format)

    Raises
    ------
    FileNotFoundError
        There is no such path, or a link in a folder leads nowhere.
    ValueError
        A folder without files, or a name that does not tell the format.

    Warns
    -----
    UserWarning
        There are folders in a folder; they are not read.
    """
    found = []
    for path in paths:
        if path == STANDARD_INPUT:
            if kind == "parquet":
                raise ValueError("standard input cannot be parquet, which is not read in order")
            found.append((path, kind or "lines"))
        elif Path(path).is_dir():
            found += [(str(p), kind or format_of(p)) for p in _files_in(path)]
        elif not Path(path).exists():
            raise FileNotFoundError(f"{path} does not exist")
        else:
            found.append((path, kind or format_of(path)))
    return found


def _files_in(folder: str) -> list[Path]:
    """The files of a folder by name, except for hidden ones."""
    inside = sorted(p for p in Path(folder).iterdir() if p.name[0] != ".")
    files = [p for p in inside if p.is_file()]
    for path in inside:
        if not path.exists():
            raise FileNotFoundError(f"{path} is a link that leads nowhere")
    if not files:
        raise ValueError(f"{folder} is a folder without files")
    others = [p.name for p in inside if p not in files]
    if others:
        warn(f"{folder}: not read, because they are no files: {', '.join(others[:9])}")
    return files


def format_of(path: str | Path) -> str:
    """The format that the name of a file tells, .gz or not; ValueError where it tells none."""
    name = Path(path).name.lower()
    suffix = Path(name.removesuffix(".gz")).suffix
    for kind, suffixes in FORMATS.items():
        if suffix in suffixes and not (kind == "parquet" and name.endswith(".gz")):
            return kind
    known = ", ".join(s for suffixes in FORMATS.values() for s in suffixes)
    raise ValueError(f"{path}: its name does not tell its format; rename it ({known}) or name it")
