"""The tables of `benchmarks.scaling`: speed by processes and threads; what many texts take."""

from typing import Any

from benchmarks.markdown import Part, limits, table, type_of

Row = dict[str, Any]

MANY = 1_000_000_000  # texts
MACHINES = (10, 100)
TYPES = ("float32", "bfloat16", "int8")
COUNTED = ("texts", "tokens")
HOUR, DAY = 3600, 86400  # seconds


def scaling_table(part: Part) -> str:
    """Speed by processes and threads; then time and cost of `MANY` texts."""
    rows = part["rows"]
    length = rows[0]["tokens"] / rows[0]["texts"]
    head = ["numbers", "processes × threads", "texts/s", "tokens/s", "of one core, for each core"]
    lines = []
    for row in rows:
        name = row["engine"]
        one = next(r for r in rows if r["engine"] == name and r["processes"] * r["threads"] == 1)
        cores = row["processes"] * row["threads"]
        share = row["processes"] * one["median"] / row["median"] / cores
        speeds = [f"{speed_of(row, of):.0f} ({speed_of(row, of, 'median'):.0f})" for of in COUNTED]
        layout = f"{row['processes']} × {row['threads']}"
        lines.append([kind_of(row), layout, *speeds, f"{share:.2f}"])
    told = f"{limits(part).rstrip()} {rows[0]['texts']} texts ({rows[0]['source']}), "
    told += f"{length:.0f} tokens each on average."
    return "\n".join([told + "\n", table(head, lines), many_table(rows)])


def speed_of(row: Row, of: str, which: str = "best") -> float:
    """Texts or tokens a second, of all processes together."""
    return row["processes"] * row[of] / row[which]


def kind_of(row: Row) -> str:
    """The number type of a row, with the engine where it is not the native one."""
    engine = row["engine"].split("-")[0]
    return type_of(row["engine"]) + ("" if engine == "native" else f", {engine}")


def many_table(rows: list[Row]) -> str:
    """Days and cost of `MANY` texts, by number type; by the median."""
    cores = max(row["processes"] * row["threads"] for row in rows)
    head = [f"days for {MANY:,} texts", "one core", f"one machine of {cores} cores"]
    head += [f"{n} machines" for n in MACHINES]
    head += ["core hours", f"cost at {rows[0]['price']:g} a core hour"]
    lines = []
    for kind in TYPES:
        own = [row for row in rows if row["engine"] in ("native", f"native-{kind}")]
        own = [row for row in own if kind_of(row) == kind]
        if not own:
            lines.append([kind, *["–"] * (len(head) - 1)])
            continue

        def fastest(cores: int, own: list[Row] = own) -> float:
            return max(
                speed_of(row, "texts", "median")
                for row in own
                if row["processes"] * row["threads"] == cores
            )

        days = [MANY / fastest(n) / DAY for n in (1, cores)]
        days += [days[1] / n for n in MACHINES]
        hours = MANY / fastest(cores) / HOUR * cores
        cost = f"{hours * own[0]['price']:,.0f}"
        lines.append([kind, *(f"{n:,.1f}" for n in days), f"{hours:,.0f}", cost])
    return table(head, lines)
