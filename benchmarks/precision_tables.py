"""The tables of `benchmarks.precision`: agreement and memory, and speed by number type."""

from typing import Any

from benchmarks.markdown import TYPES, Part, is_ours, limits, megabytes, table, type_of


def agreement_table(part: Part) -> str:
    """Start, memory and agreement with our float32, a row for each engine."""
    head = ["engine", "first vectors after, s", "peak memory at 8 × 128, MB"]
    head += ["lowest cosine with float32", "mean"]
    return f"{limits(part)}\n" + table(
        head,
        [
            [
                f"{row['engine']} {row['version']}".rstrip(),
                f"{row['seconds']:.2f}",
                megabytes(row["peak_kb"]),
                f"{row['lowest']:.5f}",
                f"{row['mean']:.5f}",
            ]
            for row in part["rows"]
        ],
    )


def lead(rows: dict[str, dict[str, Any]], name: str, of: str) -> float | None:
    """The time of the fastest peer in a number type, divided by that of our default kernel."""
    peers = [row[of] for e, row in rows.items() if type_of(e) == name and not is_ours(e)]
    ours = rows.get(default_engine(name))
    return min(peers) / ours[of] if ours and peers else None


def default_engine(name: str) -> str:
    """The engine of our default kernel of a number type."""
    return "native" if name == "float32" else f"native-{name}"


def speed(rows: dict[str, dict[str, Any]], name: str, float32_peak: float) -> list[str]:
    """Our GOP/s in a number type, and its part of the peak of these kernels."""
    ours = rows.get(default_engine(name))
    if not ours:
        return ["–", "–"]
    gops = ours["flops"] / ours["best"] / 1e9
    peak = {"float32": float32_peak, **ours.get("peaks", {})}.get(name)
    return [f"{gops:.0f}", f"{gops / peak:.2f}" if peak else "–"]


def precision_table(part: Part) -> str:
    """Milliseconds, best (median), a row for each size; then our lead in each number type."""
    by_size: dict[tuple[int, int], dict[str, dict[str, Any]]] = {}
    for row in part["rows"]:
        by_size.setdefault((row["B"], row["T"]), {})[row["engine"]] = row
    engines = list(dict.fromkeys(row["engine"] for row in part["rows"]))
    times, leads = [], []
    for (B, T), rows in by_size.items():
        found = [rows.get(engine) for engine in engines]
        cells = [f"{1e3 * r['best']:.1f} ({1e3 * r['median']:.1f})" if r else "–" for r in found]
        times.append([f"{B} × {T}", *cells])
        line = [f"{B} × {T}"]
        for name in TYPES:
            both = [lead(rows, name, of) for of in ("best", "median")]
            line.append(f"{both[0]:.2f} ({both[1]:.2f})" if None not in both else "–")
            line += speed(rows, name, part["peak"])
        leads.append(line)
    head = ["lead"] + [text for name in TYPES for text in (name, f"{name}, GOP/s", "of the peak")]
    first = table(["milliseconds", *engines], times)
    peaks = part["rows"][0].get("peaks", {})
    narrow = ", ".join(f"of {name} {peak:.0f} GOP/s" for name, peak in peaks.items())
    told = limits(part).rstrip("\n") + (f" Peak {narrow}." if narrow else "") + "\n"
    return f"{told}\n{first}\n{table(head, leads)}"
