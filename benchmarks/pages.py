"""Tables of all machines → documents: what stands between the marks of a page.

A mark is the name of a part, or "summary", "losses" and "machines", which are made of several
parts. The tables of all machines stand below each other, those measured last first.
"""

import re
from collections.abc import Sequence
from typing import Any

from benchmarks.markdown import TYPES, Part, setup
from benchmarks.precision_tables import lead
from benchmarks.tables import TABLES, sizes_and_engines

PEERS = {"torch": "torch", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
MADE = ("summary", "losses", "machines")  # of several parts
Machine = dict[str, Any]


def parts_called(machines: Sequence[Machine], name: str) -> list[Part]:
    """The parts of one name, one for each machine that has it, the last measured first."""
    found = [one["parts"][name] for one in machines if name in one["parts"]]
    return sorted(found, key=lambda part: part.get("date", ""), reverse=True)


def texts(machines: Sequence[Machine]) -> dict[str, str]:
    """Mark → the text between it and its end, for all that was measured on some machine."""
    names = [name for name in TABLES if any(name in one["parts"] for one in machines)]
    found = {
        name: "\n".join(TABLES[name](part).rstrip() + "\n" for part in parts_called(machines, name))
        for name in names
    }
    if machines:
        found["machines"] = machine_list(machines)
    if summaries := list(map(summary, with_both(machines, "start", "engines"))):
        found["summary"] = "\n".join(summaries)
    if "engines" in found or "precision" in found:
        found["losses"] = losses(machines)
    return found


def with_both(machines: Sequence[Machine], one: str, other: str) -> list[Machine]:
    """The machines that have two parts, the last measured first."""
    found = [machine for machine in machines if {one, other} <= set(machine["parts"])]
    return sorted(found, key=lambda machine: machine["parts"][other].get("date", ""), reverse=True)


def summary(machine: Machine) -> str:
    """A list for the README: how often as fast as each peer, by the median; memory; start."""
    part = machine["parts"]["engines"]
    by_size, engines = sizes_and_engines(part)
    start = {row["engine"]: row for row in machine["parts"]["start"]["rows"]}
    lines = [f"{setup(part).rstrip('.')}; base model, float32:", ""]
    for engine in (e for e in engines if e in PEERS):
        ratios = [
            rows[engine]["median"] / rows["native"]["median"]
            for rows in by_size.values()
            if engine in rows and "native" in rows
        ]
        if not ratios:
            continue
        line = f"- {min(ratios):.2f} to {max(ratios):.2f} times as fast as {PEERS[engine]}"
        ours, theirs = (start.get(name, {}).get("peak_kb") for name in ("native", engine))
        if ours and theirs:
            line += f", which takes {theirs / ours:.1f} times the memory"
        lines.append(line)
    if text := start.get("native, from text"):
        lines.append(f"- {text['seconds']:.2f} s from the start of Python to the vector of a text")
    return "\n".join(lines) + "\n"


def losses(machines: Sequence[Machine]) -> str:
    """A list of the sizes at which a peer is faster, by the median, with our lead."""
    lines = []
    for part_name in ("engines", "precision", "precision_large"):
        for part in parts_called(machines, part_name):
            for name in TYPES:
                by_size, _ = sizes_and_engines(part)
                found = {size: lead(rows, name, "median") for size, rows in by_size.items()}
                lost = [f"{B} × {T} ({x:.2f})" for (B, T), x in found.items() if x and x < 1]
                if any(found.values()):
                    where = f"{part['machine'].partition(';')[0]}, {part['date']}"
                    kind = name + (", 24 layers × 1024" if part_name.endswith("_large") else "")
                    lines.append(f"- {where}, {kind}: {', '.join(lost) or 'none'}\n")
    return "".join(lines)


def machine_list(machines: Sequence[Machine]) -> str:
    """What each machine is, and which parts were measured on it when, with which version."""
    lines = []
    for one in machines:
        caches = ", ".join(f"{name} {size}" for name, size in one["caches"].items())
        facts = {
            "processor": one["model"],
            "instruction sets": " ".join(one["features"]),
            "caches of a core": caches,
            "memory": f"{one['memory_gb']} GB" if one["memory_gb"] else "",
            "system": one["system"],
        }
        lines.append(f"- **{one['name']}**")
        lines += [f"    - {name}: {fact or 'not recorded'}" for name, fact in facts.items()]
        runs: dict[str, list[str]] = {}
        for name, part in one["parts"].items():
            runs.setdefault(f"{part['date']} with {part['version']}", []).append(name)
        lines += [f"    - measured on {when}: {', '.join(names)}" for when, names in runs.items()]
    return "\n".join(lines) + "\n"


def marks(document: str) -> set[str]:
    """The marks <!-- PART --> ... <!-- /PART --> of a document that can be filled."""
    return {
        name
        for name in (*TABLES, *MADE)
        if f"<!-- {name} -->\n" in document and f"<!-- /{name} -->" in document
    }


def fill_in(document: str, machines: Sequence[Machine]) -> str:
    """Put the tables of results between the marks <!-- PART --> and <!-- /PART --> of a document.

    Parameters
    ----------
    document : str
        Markdown. Parts without marks in it are left out, and so are marks of parts that no machine
        has.
    machines : sequence of dict
        Records of `benchmarks.machine`, each with its "parts".

    Returns
    -------
    str
        The document, with new text between the marks.

    Raises
    ------
    ValueError
        The document has marks for none of the results.
    """
    found = 0
    written = texts(machines)
    for name, text in written.items():
        between = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        document, n = between.subn(lambda m, text=text: f"{m[1]}\n{text}\n{m[2]}", document)
        found += n
    if not found:
        wanted = ", ".join(f"<!-- {name} --> ... <!-- /{name} -->" for name in written)
        raise ValueError(f"the document has none of the marks {wanted}")
    return document
