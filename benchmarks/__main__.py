"""python -m benchmarks: this machine's tables, ours beside every peer that is installed.

    python -m benchmarks [--folder F] [--tokenizer F] [--engines native,torch,...] [--threads N]
                         [--sizes 1x8,8x128,...] [--rounds N] [--growth-sizes 1x128,...]
                         [--growth | --no-growth | --redraw | --linear | --ladder]
                         [--json FILE] [--document FILE.md] [--plot FILE.svg]

Each engine runs in a process of its own; they take turns, round by round, so that whatever else
the machine does meets all alike. Before anything is timed their outputs are compared.
"""

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measuring, tables
from benchmarks.workers import progress

SIZES = "1x8,1x16,1x128,8x128,32x128,1x512,8x512"
GROWTH = "1x128,2x128,4x128,8x128,16x128,32x128,64x128,8x64,8x256,8x512,64x512"


def machine(threads: int) -> str:
    """One line on the processor, the software and the day."""
    from numpy_erniem.backend import settings

    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = f"{len(lines)} × {lines[0].split(':')[1].strip()}" if lines else cpu
    software = f"Python {platform.python_version()}, NumPy {np.__version__}"
    return (
        f"{cpu}; {platform.system()}, {software}; {threads} threads; {settings.description()}; "
        f"{time.strftime('%Y-%m-%d')}"
    )


class Results:
    """Parts that were measured, on the screen as they come and in a file as soon as they are there.

    Parameters
    ----------
    path : Path, optional
        JSON; parts that stand there and are not measured now are kept.
    threads : int
    """

    def __init__(self, path: Path | None, threads: int) -> None:
        self.path = path
        self.threads = threads
        self.parts: dict[str, Any] = {}
        if path is not None and path.exists():
            self.parts = json.loads(path.read_text(encoding="utf-8"))

    def measure(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        """Take rows as they are measured, beside the machine's limits before and after."""
        from benchmarks import limits

        part = {
            "machine": machine(self.threads),
            "peak": limits.multiply_add_peak(),
            "bandwidth": limits.memory_bandwidth(),
            "rows": [],
        }
        try:
            for row in rows:
                part["rows"].append(row)
        finally:  # also what was measured before an interruption
            if part["rows"]:
                part["peak"] = max(part["peak"], limits.multiply_add_peak())
                self.parts[name] = part
                self.save()
        progress("")
        print(tables.TABLES[name](part), flush=True)

    def save(self) -> None:
        """Write all parts."""
        if self.path is not None:
            self.path.write_text(json.dumps(self.parts, indent=1) + "\n", encoding="utf-8")


def prepared(folder: Path, tokenizer: Path | None) -> None:
    """Make the model in a folder that has none, and bring a tokenizer to it."""
    from benchmarks import engines

    folder.mkdir(exist_ok=True)
    if not (folder / "config.json").exists():
        progress("the random model is made, and exported to ONNX")
        engines.make_folder(folder)
    if tokenizer is not None:
        engines.add_tokenizer(folder, tokenizer)


def measure_engines(folder: Path, options: argparse.Namespace, results: Results) -> None:
    """Start, memory and equal outputs, then times at every size."""
    names = options.engines.split(",")
    if "native" in names:
        names.insert(names.index("native") + 1, measuring.TEXT)
    workers = measuring.begin(names, folder, options.threads)
    try:
        results.measure("start", measuring.start_and_memory(workers))
        timed = [worker for worker in workers if worker.engine != measuring.TEXT]
        for worker in workers:
            if worker not in timed:
                worker.end()
        if options.sizes:
            rows = measuring.by_size(timed, sizes_of(options.sizes), options.rounds)
            results.measure("engines", rows)
    finally:
        for worker in workers:
            worker.end()


def sizes_of(text: str) -> measuring.Sizes:
    """[(1, 8), (8, 128)] of "1x8,8x128"."""
    return [tuple(map(int, size.split("x"))) for size in text.split(",")]


def arguments() -> argparse.Namespace:
    from numpy_erniem.backend import settings

    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    add = parser.add_argument
    add("--folder", type=Path, help="keep the random model here for the next time")
    shared = os.environ.get("NUMPY_ERNIEM_SHARED")
    place = Path(shared, "data", "tokenizer") if shared else None
    add("--tokenizer", type=Path, default=place, help="folder of a tokenizer: start from text")
    add("--engines", default="native,numpy,torch,onnxruntime,openvino")
    add("--sizes", default=SIZES, help='batch x tokens; "" for start and memory alone')
    add("--growth-sizes", default=GROWTH)
    add("--threads", type=int, default=settings.default_threads())
    add("--rounds", type=int, default=5)
    add("--json", type=Path, metavar="FILE", help="write the results, keep parts of earlier runs")
    add("--document", type=Path, metavar="FILE", help="put the tables between <!-- marks -->")
    add("--plot", type=Path, metavar="FILE", help="draw the results: .svg or .png")
    for name, text in {
        "growth": "time and memory of our kernels by batch and length, nothing else",
        "no-growth": "everything but that",
        "redraw": "measure nothing: tables and picture of the results in --json",
        "linear": "products alone, beside the limits of the machine",
        "ladder": "the rungs of docs/kernels.md",
    }.items():
        add(f"--{name}", dest="only", action="store_const", const=name, help=text)
    options = parser.parse_args()
    if options.document and not options.document.exists():
        parser.error(f"--document {options.document}: no such file, with marks for the tables")
    return options


def main() -> None:
    from benchmarks import limits
    from numpy_erniem.backend import settings

    options = arguments()
    settings.set_num_threads(options.threads)
    if options.only in ("linear", "ladder"):
        print(f"{machine(options.threads)}\n", flush=True)
        limits.linear_alone() if options.only == "linear" else limits.ladder()
        return
    results = Results(options.json, options.threads)
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if options.only != "redraw":
            prepared(folder, options.tokenizer)
        if options.only in (None, "no-growth"):
            measure_engines(folder, options, results)
        if options.only in (None, "growth"):
            sizes = sizes_of(options.growth_sizes)
            results.measure("growth", measuring.growth(folder, options.threads, sizes))
    if options.document:
        text = options.document.read_text(encoding="utf-8")
        options.document.write_text(tables.filled_in(text, results.parts), encoding="utf-8")
    if options.plot:
        from benchmarks.plot import draw

        draw(results.parts, options.plot)


if __name__ == "__main__":
    try:
        main()
    except measuring.DifferentError as error:
        sys.exit(str(error))
    except ModuleNotFoundError as error:
        if error.name != "numpy_erniem._kernels":
            raise
        sys.exit("the C kernels are not built in this checkout; run pip install -e . first")
