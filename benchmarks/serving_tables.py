"""The table of `benchmarks.serving`, and its place in a page."""

import re

from benchmarks.markdown import Part, setup, table

MARKS = re.compile(r"(<!-- serving -->\n).*?(<!-- /serving -->)", re.DOTALL)


def serving_table(part: Part) -> str:
    """The machine, and a line for each row."""
    lines = [
        [row["what"], f"{row['best']:.2f}" if "best" in row else "", f"{row['median']:.2f}"]
        for row in part["rows"]
    ]
    return f"{setup(part)}\n\n" + table(["what", "best", "median"], lines)


def fill_in(document: str, part: Part) -> str:
    """Put the table between the marks <!-- serving --> and <!-- /serving --> of a document.

    Raises
    ------
    ValueError
        It has not these marks.
    """
    text = serving_table(part)
    document, found = MARKS.subn(lambda m: f"{m[1]}\n{text}\n{m[2]}", document)
    if not found:
        raise ValueError("the document has no marks <!-- serving --> ... <!-- /serving -->")
    return document
