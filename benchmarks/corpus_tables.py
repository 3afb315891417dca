"""The tables of `benchmarks.corpus`: speed of each engine, and where our time goes."""

from collections.abc import Callable
from typing import Any

from benchmarks.markdown import Part, is_ours, limits, table, type_of

BATCHES = {"packed": "{} tokens, packed", "sorted": "{}, sorted", "come": "{}, as they come"}


def corpus_table(part: Part) -> str:
    """Texts to vectors, a row for each engine and kind of batch; then where our time goes."""
    rows = [row for row in part["rows"] if "refused" not in row]
    refused = [row["refused"] for row in part["rows"] if "refused" in row]

    def both(value: Callable[[str], float], digits: int) -> str:
        return f"{value('best'):.{digits}f} ({value('median'):.{digits}f})"

    def cells(row: dict[str, Any]) -> list[str]:
        same_type = type_of(row["engine"])
        peers = [r for r in rows if type_of(r["engine"]) == same_type and not is_ours(r["engine"])]
        fastest = {of: min((r[of] for r in peers), default=0) for of in ("best", "median")}
        return [
            row["engine"],
            BATCHES[row["order"]].format(row["batch"]),
            both(lambda of: row["tokens"] / row[of], 0),
            both(lambda of: fastest[of] / row[of], 2) if peers else "–",
            both(lambda of: row["flops"] / row[of] / row["peak"] / 1e9, 2),
            f"{row['difference']:.1e}",
            f"{row['cosine']:.7f}",
            f"{row['mean_cosine']:.7f}",
            f"{row['runs']}",
        ]

    head = ["engine", "batches", "tokens/s", "of the fastest peer", "of the peak"]
    head += ["largest difference", "smallest cosine", "mean cosine", "runs"]
    measured = limits({**part, **rows[0]}).rstrip()  # the limits in the minutes of the runs
    return "\n".join(
        [
            f"{measured} {texts_line(rows[0])}\n",
            table(head, map(cells, rows)),
            *(f"Not timed: {why}.\n" for why in refused),
            parts_table(rows),
        ]
    )


def texts_line(row: dict[str, Any]) -> str:
    """What the texts of a row are: where they come from, how many, and how long."""
    shortest, middle, longest = row["lengths"]
    source = "made texts" if row["source"] == "made" else f"texts of {row['source']}"
    return (
        f"{row['texts']} {source} of {shortest} to {longest} tokens, the middle one of "
        f"{middle:.0f}; {row['tokens']} tokens together."
    )


def parts_table(rows: list[dict[str, Any]]) -> str:
    """Where our time goes: share of each part, with GFLOP/s of those that multiply."""
    lines = []
    for row in (row for row in rows if "parts" in row):
        linear = row["linear_flops"]
        work = {"linear maps": linear, "attention": row["flops"] - linear}
        whole = sum(row["parts"].values())
        for name, seconds in row["parts"].items():
            speed = work[name] / seconds / 1e9 if name in work else None
            lines.append(
                [
                    row["engine"],
                    f"{row['batch']} tokens, packed",
                    name,
                    f"{seconds / whole:.1%}",
                    f"{speed:.0f}" if speed else "–",
                    f"{speed / row['peak']:.2f}" if speed else "–",
                ]
            )
    head = ["engine", "batches", "part", "of the time", "GFLOP/s", "of the peak"]
    return table(head, lines) if lines else ""
