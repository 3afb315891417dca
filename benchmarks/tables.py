"""Results → Markdown: the tables of docs/performance.md.

Results are a dict from a part ("start", "engines", "growth", "threading") to {"machine": a line,
"peak": GFLOP/s of multiply-adds, "bandwidth": GB/s, "rows": what `measuring` yields}.
"""

import re
from collections.abc import Iterable
from typing import Any

Part = dict[str, Any]

LAYERS, D, F = 12, 768, 3072
OURS = ("native", "numpy")


def flops(B: int, T: int) -> int:
    """Operations of the linear layers and of attention; two per multiply-add.

    Examples
    --------
    >>> flops(1, 8)
    1361313792
    """
    return 2 * B * T * LAYERS * (4 * D * D + 2 * D * F + 2 * T * D)


def rate(row: dict[str, Any], of: str = "best") -> float:
    """GFLOP/s of a row with "B", "T" and seconds."""
    return flops(row["B"], row["T"]) / row[of] / 1e9


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def limits(part: Part) -> str:
    """One sentence about the machine and its limits on that day."""
    return (
        f"{part['machine']}. Multiply-add peak {part['peak']:.0f} GFLOP/s, "
        f"reading memory {part['bandwidth']:.0f} GB/s.\n"
    )


def start_table(part: Part) -> str:
    """Start and memory, a row for each engine."""
    head = ["engine", "first vectors after, s", "peak at 8 × 128, MB", "largest difference"]
    return f"{limits(part)}\n" + table(
        head,
        [
            [
                f"{row['engine']} {row['version']}".rstrip(),
                f"{row['seconds']:.2f}",
                f"{row['peak_kb'] / 1024:.0f}",
                f"{row['difference']:.1e}",
            ]
            for row in part["rows"]
        ],
    )


def sizes_and_engines(part: Part) -> tuple[dict[tuple[int, int], dict[str, Part]], list[str]]:
    """Rows by size and engine, and the engines, in the order in which they were measured."""
    by_size: dict[tuple[int, int], dict[str, Part]] = {}
    for row in part["rows"]:
        by_size.setdefault((row["B"], row["T"]), {})[row["engine"]] = row
    return by_size, list(dict.fromkeys(row["engine"] for row in part["rows"]))


def engines_table(part: Part) -> str:
    """Milliseconds, then GFLOP/s: best (median) of each engine, a row for each size."""
    by_size, engines = sizes_and_engines(part)

    def cells(value, digits) -> Iterable[list[str]]:
        for (B, T), rows in by_size.items():
            yield [
                f"{B} × {T}",
                *(
                    f"{value(rows[e], 'best'):.{digits}f} ({value(rows[e], 'median'):.{digits}f})"
                    if e in rows
                    else "–"
                    for e in engines
                ),
            ]

    def lead(rows: dict[str, Part], of: str) -> str:
        peers = [row[of] for engine, row in rows.items() if engine not in OURS]
        return f"{min(peers) / rows['native'][of]:.2f}" if peers and "native" in rows else "–"

    def share(rows: dict[str, Part], of: str) -> str:
        return f"{rate(rows['native'], of) / part['peak']:.2f}" if "native" in rows else "–"

    def also(lines: Iterable[list[str]], last) -> Iterable[list[str]]:
        for line, rows in zip(lines, by_size.values(), strict=True):
            yield [*line, f"{last(rows, 'best')} ({last(rows, 'median')})"]

    def milliseconds(row: dict[str, Any], of: str) -> float:
        return 1e3 * row[of]

    times = table(["milliseconds", *engines, "lead"], also(cells(milliseconds, 1), lead))
    rates = table(["GFLOP/s", *engines, "native, of the peak"], also(cells(rate, 0), share))
    return f"{limits(part)}\n{times}\n{rates}"


def growth_table(part: Part) -> str:
    """Time and memory of our kernels by batch and length."""
    head = ["batch × tokens", "milliseconds", "µs a token", "GFLOP/s", "peak, MB"]
    head.append("above 1 × 8, KB a token")
    rows = []
    for row in part["rows"]:
        tokens = row["B"] * row["T"]
        rows.append(
            [
                f"{row['B']} × {row['T']}",
                f"{row['best'] * 1e3:.1f} ({row['median'] * 1e3:.1f})",
                f"{row['best'] * 1e6 / tokens:.0f}",
                f"{rate(row):.0f}",
                f"{row['peak_kb'] / 1024:.0f}",
                f"{(row['peak_kb'] - row['base_kb']) / tokens:.0f}",
            ]
        )
    return f"{limits(part)}\n" + table(head, rows)


def threading_table(part: Part) -> str:
    """Milliseconds of each kind of threads, best (median), a row for each size."""
    by_size, engines = sizes_and_engines(part)
    head = ["batch × tokens", *(engine.removeprefix("native, ") for engine in engines)]
    head.append("openmp / pool")
    lines = []
    for (B, T), found in by_size.items():
        rows = [found.get(engine) for engine in engines]
        times = [f"{1e3 * r['best']:.1f} ({1e3 * r['median']:.1f})" if r else "–" for r in rows]
        openmp, pool = found.get("native, openmp"), found.get("native, pool")
        ratios = [f"{openmp[of] / pool[of]:.3f}" for of in ("best", "median") if openmp and pool]
        lines.append([f"{B} × {T}", *times, f"{ratios[0]} ({ratios[1]})" if ratios else "–"])
    return f"{limits(part)}\n" + table(head, lines)


TABLES = {
    "start": start_table,
    "engines": engines_table,
    "growth": growth_table,
    "threading": threading_table,
}


def filled_in(document: str, results: dict[str, Part]) -> str:
    """The document with the tables of these results between <!-- PART --> and <!-- /PART -->.

    Raises
    ------
    ValueError
        The document has no such place.
    """
    for name, part in results.items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not place.search(document):
            raise ValueError(f"the document has no <!-- {name} --> ... <!-- /{name} -->")
        text = TABLES[name](part)
        document = place.sub(lambda m, text=text: f"{m[1]}\n{text}\n{m[2]}", document)
    return document
