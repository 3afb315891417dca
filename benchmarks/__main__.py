"""python -m benchmarks: measure this machine, our engines and every peer that is installed.

    python -m benchmarks [--sizes 1x8,8x128] [--json FILE] [--document FILE.md] [--plot FILE.svg]
    python -m benchmarks --growth | --threading | --linear | --ladder | --search
    python -m benchmarks --precision [--large]
    python -m benchmarks --corpus FILE --model FOLDER [--scaling]
    python -m benchmarks --redraw --json FILE --document FILE.md

Each engine runs in a process of its own. They take turns, round by round, so that other work on
the machine slows all of them alike. Their outputs are compared before anything is timed.
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

from benchmarks import compare_threading, measuring, tables
from benchmarks.workers import progress

SIZES = "1x8,1x16,1x128,8x128,32x128,1x512,8x512"
ENGINES = "native,numpy,torch,onnxruntime,openvino"
GROWTH = "1x128,2x128,4x128,8x128,16x128,32x128,64x128,8x64,8x256,8x512,64x512"


def machine(threads: int) -> str:
    """One line on the processor, the software, the kernels, the threads and the day."""
    from numpy_erniem import backend_report
    from numpy_erniem.backend import settings

    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = f"{len(lines)} × {lines[0].split(':')[1].strip()}" if lines else cpu
    threading = backend_report()["threading"]
    return "; ".join(
        [
            cpu,
            f"{platform.system()}, Python {platform.python_version()}, {numpy_and_blas()}",
            f"{threads} threads ({threading})",
            settings.description(),
            time.strftime("%Y-%m-%d"),
        ]
    )


def numpy_and_blas() -> str:
    """NumPy's version, with the library behind its products where NumPy names it."""
    try:
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"NumPy {np.__version__} ({blas['name']} {blas['version']})"
    except (KeyError, TypeError):
        return f"NumPy {np.__version__}"


class Results:
    """The parts that were measured; each is printed and written to a file when it is complete.

    Parameters
    ----------
    path : Path, optional
        A JSON file. Parts in it that are not measured again are kept.
    threads : int
    """

    def __init__(self, path: Path | None, threads: int) -> None:
        self.path = path
        self.threads = threads
        self.parts: dict[str, Any] = {}
        if path is not None and path.exists():
            self.parts = json.loads(path.read_text(encoding="utf-8"))

    def measure(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        """Collect the rows of a part, and measure the machine's limits before and after."""
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
        finally:  # rows that were measured before an interruption are kept
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


def prepare_folder(
    folder: Path, tokenizer: Path | None, only_ours: bool, sizes: dict[str, int] | None = None
) -> None:
    """Make a random model where the folder has none, and copy a tokenizer's files into it."""
    from benchmarks import engines

    folder.mkdir(exist_ok=True)
    if not (folder / "config.json").exists():
        progress("making a random model" if only_ours else "making a random model, also as ONNX")
        make = engines.make_model if only_ours else engines.make_folder
        make(folder, **(sizes or {}))
    if tokenizer is not None:
        engines.add_tokenizer(folder, tokenizer)


def measure_engines(folder: Path, options: argparse.Namespace, results: Results) -> None:
    """Measure start and memory and compare the outputs, then measure times at every size."""
    names = options.engines.split(",")
    if "native" in names:
        names.insert(names.index("native") + 1, measuring.TEXT)
    workers = measuring.start_workers(names, folder, options.threads)
    try:
        results.measure("start", measuring.start_and_memory(workers))
        timed = [worker for worker in workers if worker.engine != measuring.TEXT]
        for worker in workers:
            if worker not in timed:
                worker.end()
        if options.sizes:
            rows = measuring.time_by_size(timed, parse_sizes(options.sizes), options.rounds)
            results.measure("engines", rows)
    finally:
        for worker in workers:
            worker.end()


def parse_sizes(text: str) -> measuring.Sizes:
    """Texts and tokens: "1x8,8x128" → [(1, 8), (8, 128)]."""
    return [tuple(map(int, size.split("x"))) for size in text.split(",")]


WHAT = {
    "growth": "time and memory of our kernels by batch and length, alone",
    "no-growth": "start and engines alone",
    "threading": "our kernels with OpenMP, the pool and one thread, alone",
    "linear": "single products beside the limits of the machine, alone",
    "ladder": "the steps of docs/kernels.md, alone",
    "search": "exact search among 1,000,000 vectors beside the limits of the machine, alone",
    "precision": "float32, bfloat16 and int8 of ours and the peers, alone",
    "redraw": "nothing: tables and picture are made from the results in --json",
}


def add_what_and_how(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose what is measured, and with which model, engines and sizes."""
    from numpy_erniem.backend import settings

    what = parser.add_argument_group("what is measured (default: start, engines and growth)")
    for name, text in WHAT.items():
        what.add_argument(f"--{name}", dest="only", action="store_const", const=name, help=text)
    shared = os.environ.get("NUMPY_ERNIEM_SHARED")
    add = parser.add_argument_group("how").add_argument
    add("--folder", type=Path, help="keep the random model in this folder and use it again")
    add(
        "--tokenizer",
        type=Path,
        default=Path(shared, "data", "tokenizer") if shared else None,
        help="folder with vocab.txt and sentencepiece.bpe.model: also measure the start from text",
    )
    add(
        "--engines",
        help=f"engines to run, separated by commas (default: {ENGINES}; with --precision "
        "also those of the other number types)",
    )
    add("--large", action="store_true", help="with --precision: a model of 24 layers × 1024")
    add("--sizes", default=SIZES, help='texts x tokens; "" for none (default: %(default)s)')
    add("--growth-sizes", default=GROWTH, help="the same for growth (default: %(default)s)")
    add("--threads", type=int, default=settings.default_threads(), help="default: %(default)s")
    add("--rounds", type=int, default=5, help="turns of each engine (default: %(default)s)")


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure start, memory and speed of our kernels and of every engine that is "
        "installed, on a random model of the base size. Outputs are compared first.",
    )
    from benchmarks import corpus, precision

    add_what_and_how(parser)
    corpus.add_options(parser)
    add = parser.add_argument_group("where results are written, besides the screen").add_argument
    add("--json", type=Path, metavar="FILE", help="all results; other parts of the file are kept")
    add(
        "--document",
        type=Path,
        metavar="FILE",
        action="append",
        default=[],
        help="Markdown with <!-- marks --> between which tables are put; may be given again",
    )
    add("--plot", type=Path, metavar="FILE", help="a picture of the results: .svg or .png")
    options = parser.parse_args()
    if options.only == "redraw" and not (options.json and options.json.exists()):
        parser.error("--redraw needs --json FILE with results of an earlier run")
    if options.engines is None:
        options.engines = precision.ENGINES if options.only == "precision" else ENGINES
    if options.large and options.only != "precision":
        parser.error("--large goes with --precision")
    corpus.check_options(parser, options)
    for document in options.document:
        if not document.exists():
            parser.error(f"--document {document}: no such file, with marks for the tables")
    return options


def measure(options: argparse.Namespace, results: Results) -> None:
    """Measure what was asked for."""
    from benchmarks import corpus, limits, precision, search

    alone = {
        "linear": limits.linear_rows,
        "ladder": limits.ladder_rows,
        "search": search.search_rows,
    }
    if options.only in alone:
        results.measure(options.only, alone[options.only]())
        return
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if options.corpus:
            name = "scaling" if options.scaling else "corpus"
            results.measure(name, corpus.measured(options, folder))
            return
        if options.only == "precision":
            sizes = {**precision.LARGE, "vocab_size": precision.VOCABULARY} if options.large else {}
            prepare_folder(folder, options.tokenizer, False, sizes)
            precision.measure(folder, options, results)
            return
        only_ours = options.only in ("growth", "threading")
        prepare_folder(folder, options.tokenizer, only_ours)
        if options.only == "threading":
            sizes = parse_sizes(options.sizes)
            rows = compare_threading.rows(folder, options.threads, sizes, options.rounds)
            results.measure("threading", rows)
            return
        if options.only != "growth":
            measure_engines(folder, options, results)
        if options.only != "no-growth":
            sizes = parse_sizes(options.growth_sizes)
            results.measure("growth", measuring.growth(folder, options.threads, sizes))


def main() -> None:
    """Measure, then write documents and picture."""
    from numpy_erniem.backend import settings

    options = arguments()
    settings.set_num_threads(options.threads)
    results = Results(options.json, options.threads)
    if options.only != "redraw":
        measure(options, results)
    for document in options.document:
        text = document.read_text(encoding="utf-8")
        document.write_text(tables.fill_in(text, results.parts), encoding="utf-8")
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
