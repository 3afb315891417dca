"""Parts that all tables share: Markdown, and the line about the machine."""

from collections.abc import Iterable
from typing import Any

Part = dict[str, Any]

OURS = ("native", "numpy")
TYPES = ("int8", "bfloat16", "float32")


def is_ours(engine: str) -> bool:
    """Whether an engine is ours, in any number type: "native", "native-int8", "numpy"."""
    return engine.split("-")[0] in OURS


def type_of(engine: str) -> str:
    """The number type of an engine's linear maps, from its name.

    Examples
    --------
    >>> type_of("openvino-int8-bfloat16"), type_of("native")
    ('int8', 'float32')
    """
    return next((name for name in TYPES if f"-{name}" in engine), "float32")


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def setup(part: Part) -> str:
    """The line about the machine, its name in bold, with what a reader has to know of the run."""
    name, mark, rest = part["machine"].partition(";")
    line = f"**{name}**{mark}{rest}."
    if "note" in part:
        line += f" {part['note']}."
    if part.get("left_out"):
        line += f" Left out: {', '.join(part['left_out'])}."
    return line


def limits(part: Part) -> str:
    """The line about the machine and what it could do at best in that run."""
    return (
        f"{setup(part)} Multiply-add peak {part['peak']:.0f} GFLOP/s, "
        f"reading memory {part['bandwidth']:.0f} GB/s.\n"
    )


def megabytes(kilobytes: float) -> str:
    """Memory in MB; a dash where the system does not tell it."""
    return f"{kilobytes / 1024:.0f}" if kilobytes else "–"
