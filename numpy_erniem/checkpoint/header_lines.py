"""The first line of a table: the names of its columns, or already an example."""

from collections.abc import Mapping, Sequence

# Columns of free text, in which the name of a column may be a text like any other.
FREE_TEXT = ("text", "text_pair", "token", "source", "target", "query")


def read_header(
    line: str, where: str, columns: Sequence[Sequence[str]], aliases: Mapping[str, str]
) -> list[str] | None:
    r"""The names of the columns, if a line is a header; None if it is an example.

    Parameters
    ----------
    line : str
        Tab-separated.
    where : str
        What an error calls the line.
    columns : sequence of sequences of str
        The sets of columns that an example may have.
    aliases : mapping of str to str
        Other names of columns, in lower case.

    Returns
    -------
    list of str, or None
        In the order of the line; an unknown name stays as it is.

    Raises
    ------
    ValueError
        The line names some columns of the file, but not all that are needed, or they are quoted.

    Examples
    --------
    >>> read_header("Label\tSentence", "line 1", [("text", "label")], {"sentence": "text"})
    ['label', 'text']
    >>> read_header("a sentence\tgood", "line 1", [("text", "label")], {}) is None
    True
    """
    fields = [field.strip() for field in line.removeprefix("#").split("\t")]
    names = [known_name(field, aliases) for field in fields]
    bare = [known_name(field.strip("\"'"), aliases) for field in fields]
    if bare != names and any(set(needed) <= set(bare) for needed in columns):
        raise ValueError(
            f"{where} is a header in quotes, {fields[0]}; quotes are not read: write the table "
            "without them, or JSON lines"
        )
    if any(set(needed) <= set(names) for needed in columns):
        twice = [name for n, name in enumerate(names) if name in names[:n]]
        if twice:
            raise ValueError(f"{where} is a header that names {twice[0]} twice; name it once")
        return names
    for needed in columns:
        if len(needed) == len(names):
            triples = zip(needed, names, fields, strict=True)
            found = [(c, f) for c, n, f in triples if c == n and c not in FREE_TEXT]
            if found:
                column, field = found[0]
                raise ValueError(
                    f"{where} looks like a header, because it has {field!r} as a value of the "
                    f"column {column}; name the columns {', '.join(needed)}, or remove the line; "
                    "if it is an example, move it down"
                )
    return None


def known_name(field: str, aliases: Mapping[str, str]) -> str:
    """The name of a column as it is used here, in lower case."""
    name = field.lower()
    return aliases.get(name, name)
