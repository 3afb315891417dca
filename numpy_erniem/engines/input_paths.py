"""The files of an input and their formats, found before any of them is read."""

from collections.abc import Sequence
from pathlib import Path

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
