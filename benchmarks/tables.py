"""Results → Markdown: the tables of docs/performance.md, docs/kernels.md and the README.

A part ("start", "engines", "growth", "threading", "linear", "ladder", "search", "corpus",
"scaling", "agreement", "precision", the last two also with "_large") is a dict: {"machine": one
line, "date", "version": ours, "peak": GFLOP/s of multiply-adds, "bandwidth": GB/s, "rows": a list
of dicts, "left_out": engines that are not installed}, and where there is one, a "note".
"""

from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.corpus_tables import corpus_table
from benchmarks.markdown import OURS, Part, limits, megabytes, setup, table
from benchmarks.precision_tables import agreement_table, precision_table
from benchmarks.scaling_tables import scaling_table

LAYERS, D, F = 12, 768, 3072  # ERNIE-M base


def flops(B: int, T: int, layers: int = LAYERS, width: int = D, inner: int = F) -> int:
    """Operations of the linear maps and of attention for B texts of T tokens; two per multiply-add.

    Examples
    --------
    >>> flops(1, 8)
    1361313792
    """
    return linear_flops(B * T, layers, width, inner) + 4 * B * T * T * layers * width


def linear_flops(tokens: int, layers: int = LAYERS, width: int = D, inner: int = F) -> int:
    """Operations of the linear maps alone."""
    return 2 * tokens * layers * (4 * width * width + 2 * width * inner)


def gflops(row: dict[str, Any], of: str = "best") -> float:
    """GFLOP/s of a row with "B", "T" and seconds under "best" and "median"."""
    return flops(row["B"], row["T"]) / row[of] / 1e9


def start_table(part: Part) -> str:
    """Start and memory, a row for each engine."""
    head = ["engine", "first vectors after, s", "peak memory at 8 × 128, MB", "largest difference"]
    return f"{limits(part)}\n" + table(
        head,
        [
            [
                f"{row['engine']} {row['version']}".rstrip(),
                f"{row['seconds']:.2f}",
                megabytes(row["peak_kb"]),
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

    def of_peak(rows: dict[str, Part], of: str) -> str:
        return f"{gflops(rows['native'], of) / part['peak']:.2f}" if "native" in rows else "–"

    def with_last(lines: Iterable[list[str]], last) -> Iterable[list[str]]:
        for line, rows in zip(lines, by_size.values(), strict=True):
            yield [*line, f"{last(rows, 'best')} ({last(rows, 'median')})"]

    def milliseconds(row: dict[str, Any], of: str) -> float:
        return 1e3 * row[of]

    times = table(["milliseconds", *engines, "lead"], with_last(cells(milliseconds, 1), lead))
    rates = table(
        ["GFLOP/s", *engines, "native, of the peak"], with_last(cells(gflops, 0), of_peak)
    )
    return f"{limits(part)}\n{times}\n{rates}"


def growth_table(part: Part) -> str:
    """Time and memory of our kernels by batch and length."""
    head = ["batch × tokens", "milliseconds", "µs per token", "GFLOP/s", "peak memory, MB"]
    head.append("more than at 1 × 8, KB per token")
    rows = []
    for row in part["rows"]:
        tokens = row["B"] * row["T"]
        rows.append(
            [
                f"{row['B']} × {row['T']}",
                f"{row['best'] * 1e3:.1f} ({row['median'] * 1e3:.1f})",
                f"{row['best'] * 1e6 / tokens:.0f}",
                f"{gflops(row):.0f}",
                megabytes(row["peak_kb"]),
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


def linear_table(part: Part) -> str:
    """Single products beside the machine's limits, a row for each size."""
    head = ["rows", "weight", "µs", "GFLOP/s", "of the peak", "GB/s", "of the bandwidth"]
    rows = []
    for row in part["rows"]:
        speed = 2 * row["m"] * row["n"] * row["k"] / row["seconds"] / 1e9
        read = 4 * row["n"] * row["k"] / row["seconds"] / 1e9
        rows.append(
            [
                f"{row['m']}",
                f"{row['n']} × {row['k']}",
                f"{row['seconds'] * 1e6:.0f}",
                f"{speed:.0f}",
                f"{speed / row['peak']:.2f}",
                f"{read:.1f}",
                f"{read / row['bandwidth']:.2f}",
            ]
        )
    return f"{limits(part)}\n" + table(head, rows)


def ladder_table(part: Part) -> str:
    """One product, from three loops to the fastest kernel, a row for each step."""
    rows = [[row["rung"], f"{row['gflops']:.{int(row['gflops'] < 10)}f}"] for row in part["rows"]]
    told = f"{setup(part)} One thread, except where a row says another number."
    return f"{told}\n\n" + table(["step", "GFLOP/s"], rows)


def search_table(part: Part) -> str:
    """Searches beside the time in which the machine can read or multiply, whichever is longer."""
    head = ["vectors", "in", "queries", "ms", "queries/s", "GB/s", "GFLOP/s", "of the limit"]
    rows = []
    for row in part["rows"]:
        read, multiply = 4 * row["n"] * row["d"], 2 * row["n"] * row["d"] * row["q"]
        limit = max(read / row["bandwidth"], multiply / row["peak"]) / 1e9
        rows.append(
            [
                f"{row['n']} × {row['d']}",
                row["place"],
                f"{row['q']}",
                f"{row['seconds'] * 1e3:.0f}",
                f"{row['q'] / row['seconds']:.0f}",
                f"{read / row['seconds'] / 1e9:.1f}",
                f"{multiply / row['seconds'] / 1e9:.0f}",
                f"{limit / row['seconds']:.2f}",
            ]
        )
    return f"{limits(part)}\n" + table(head, rows)


TABLES: dict[str, Callable[[Part], str]] = {
    "start": start_table,
    "engines": engines_table,
    "growth": growth_table,
    "threading": threading_table,
    "linear": linear_table,
    "ladder": ladder_table,
    "search": search_table,
    "corpus": corpus_table,
    "scaling": scaling_table,
    "agreement": agreement_table,
    "agreement_large": agreement_table,
    "precision": precision_table,
    "precision_large": precision_table,
}
