"""Results → a picture: speed below the machine's peak, and growth with batch and length."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.pages import Machine, parts_called
from benchmarks.tables import gflops, sizes_and_engines
from numpy_erniem.plots.drawing import COLOURS, GREY

FIGURE = (11, 8)  # inches
REPRODUCIBLE = {"svg.hashsalt": "performance", "svg.fonttype": "none"}


def draw(machines: Sequence[Machine], path: Path) -> None:
    """Draw engines and growth, each of the machine that measured it last, as .svg or .png."""
    from matplotlib import pyplot

    with pyplot.rc_context(REPRODUCIBLE):
        figure = pyplot.figure(figsize=FIGURE, layout="constrained")
        above, below = figure.subfigures(2, 1)
        for part in parts_called(machines, "engines")[:1]:
            draw_engines(above.subplots(), part)
            above.suptitle(title(part))
        for part in parts_called(machines, "growth")[:1]:
            draw_growth(below.subplots(1, 2), part["rows"])
            below.suptitle(title(part))
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
        pyplot.close(figure)


def title(part: dict[str, Any]) -> str:
    """The machine and the day."""
    return f"{part['machine'].partition(';')[0]}, {part['date']}"


def draw_engines(axes: Any, part: dict[str, Any]) -> None:
    """Bars of GFLOP/s by size: the median filled, the best as an outline, the peak as a line."""
    by_size, engines = sizes_and_engines(part)
    width = 0.8 / len(engines)
    for n, (engine, colour) in enumerate(zip(engines, COLOURS, strict=False)):
        present = [(at, rows[engine]) for at, rows in enumerate(by_size.values()) if engine in rows]
        x = [at + (n - (len(engines) - 1) / 2) * width for at, _ in present]
        medians = [gflops(row, "median") for _, row in present]
        axes.bar(x, medians, width * 0.9, color=colour, label=engine)
        bests = [gflops(row) for _, row in present]
        axes.bar(x, bests, width * 0.9, fill=False, edgecolor=colour, linewidth=0.8)
    axes.axhline(part["peak"], color=GREY, linestyle="--")
    axes.set_ylim(0, part["peak"] * 1.1)
    axes.text(-0.5, part["peak"] * 1.025, "multiply-add peak of the machine", color=GREY)
    axes.set_xticks(range(len(by_size)), [f"{B} × {T}" for B, T in by_size])
    axes.set_xlabel("texts × tokens")
    axes.set_ylabel("GFLOP/s, median (outline: best)")
    axes.legend(ncols=len(engines), loc="upper center", bbox_to_anchor=(0.5, 1.14), frameon=False)


def draw_growth(axes: Any, rows: list[dict[str, Any]]) -> None:
    """Time and memory against the number of tokens in the batch, one line for each length."""
    lengths = sorted({row["T"] for row in rows})
    for T, colour in zip(lengths, COLOURS, strict=False):
        chosen = sorted((row["B"] * T, row) for row in rows if row["T"] == T)
        tokens = [n for n, _ in chosen]
        style = {"color": colour, "marker": "o", "label": f"{T} tokens per text"}
        seconds = [row["best"] for _, row in chosen]
        axes[0].plot(tokens, [s * 1e6 / n for s, n in zip(seconds, tokens, strict=True)], **style)
        axes[1].plot(tokens, [row["peak_kb"] / 1024 for _, row in chosen], **style)
    axes[0].set_xscale("log")
    axes[0].set_ylabel("native, µs per token")
    axes[1].set_ylabel("native, largest memory, MB")
    for one in axes:
        one.set_ylim(0, one.dataLim.ymax * 1.08)
        one.set_xlabel("tokens in the batch")
    axes[0].legend(frameon=False)
