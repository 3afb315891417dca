"""Parts that all tables share: Markdown, and the line about the machine."""

from collections.abc import Iterable
from typing import Any

Part = dict[str, Any]

OURS = ("native", "numpy")


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def limits(part: Part) -> str:
    """One line about the machine and what it could do at best in that run."""
    return (
        f"{part['machine']}. Multiply-add peak {part['peak']:.0f} GFLOP/s, "
        f"reading memory {part['bandwidth']:.0f} GB/s.\n"
    )
