"""The parts of `python -m benchmarks`: what each measures, and on which model."""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import (
    compare_threading,
    corpus,
    engines,
    limits,
    measuring,
    precision,
    precision_engines,
    search,
)
from benchmarks.results import Results
from benchmarks.workers import progress

FLOAT32 = "native,numpy,torch,onnxruntime,openvino"
PARTS = {
    "start": "start and memory of every engine, compared with our float32 before",
    "engines": "the same, then times of every engine in float32, by batch and length",
    "growth": "time and memory of our kernels by batch and length",
    "threading": "our kernels with OpenMP, the pool and one thread",
    "linear": "single products beside the limits of the machine",
    "ladder": "the steps of docs/kernels.md",
    "search": "exact search among 1,000,000 vectors beside the limits of the machine",
    "precision": "float32, bfloat16 and int8: start, memory, agreement, times",
    "large": "the same on a model of 24 layers × 1024",
    "corpus": "texts of mixed lengths to vectors, every engine and number type",
    "scaling": "ours over processes and threads, and what 1,000,000,000 texts take",
}
DEFAULT = "engines,growth"
# part → the marks of what it writes
MARKS = {
    **{name: {name} for name in PARTS},
    "engines": {"start", "engines"},
    "precision": {"agreement", "precision"},
    "large": {"agreement_large", "precision_large"},
}
TRIAL = {  # sizes of the model of a trial
    "vocab_size": 32_000,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
}


def engines_of(part: str, given: str | None) -> list[str]:
    """The engines of a part: those that were given, or all that it can compare."""
    every = {
        "precision": precision.ENGINES,
        "large": precision.ENGINES,
        "corpus": f"{FLOAT32},{precision.ENGINES}",
        "scaling": "native,native-bfloat16,native-int8",
    }
    return list(dict.fromkeys((given or every.get(part, FLOAT32)).split(",")))


def prepare_folder(folder: Path, sizes: dict[str, int], names: list[str]) -> None:
    """Make a random model where the folder has none, and its ONNX export if an engine needs it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "config.json").exists():
        progress("making a random model")
        engines.make_model(folder, **sizes)
    engines.export_if_needed(folder, names)


class Measurement:
    """One run of the command: its options, its folder for models, and what it writes.

    Parameters
    ----------
    options : argparse.Namespace
        From `benchmarks.options.arguments`.
    results : Results
    folder : Path
        The random model of the base size; those of other parts are in folders below it.
    """

    def __init__(self, options: argparse.Namespace, results: Results, folder: Path) -> None:
        self.options, self.results, self.folder = options, results, folder
        self.sizes = TRIAL if options.trial else {}
        self.alone = {
            "linear": lambda: limits.linear_rows((1, 8) if options.trial else limits.ROWS),
            "ladder": limits.ladder_rows,
            "search": lambda: search.search_rows(5000 if options.trial else search.VECTORS),
        }

    def run(self, part: str) -> None:
        """Measure one part.

        Raises
        ------
        DifferentError
            An engine gave other vectors; its times would mean nothing.
        SystemExit
            The corpus cannot be used.
        """
        if part in self.alone:
            self.results.measure(part, self.alone[part]())
        elif part in ("corpus", "scaling"):
            self.run_corpus(part)
        elif part in ("precision", "large"):
            self.run_precision(part)
        else:
            names = engines_of(part, self.options.engines) if part in ("start", "engines") else []
            prepare_folder(self.folder, self.sizes, names)
            getattr(self, f"run_{part}")()

    def run_start(self, then_times: bool = False) -> None:
        """Start, memory and comparison of the engines in float32, then their times if asked for."""
        names = engines_of("engines", self.options.engines)
        if self.options.tokenizer is not None:
            engines.add_tokenizer(self.folder, self.options.tokenizer)
            if "native" in names:
                names.insert(names.index("native") + 1, measuring.TEXT)
        workers = measuring.start_workers(names, self.folder, self.options.threads)
        try:
            self.results.measure("start", measuring.start_and_memory(workers), names)
            timed = [worker for worker in workers if worker.engine != measuring.TEXT]
            for worker in workers:
                if worker not in timed:
                    worker.end()
            if then_times:
                rows = measuring.time_by_size(timed, self.options.sizes, self.options.rounds)
                self.results.measure("engines", rows, [n for n in names if n != measuring.TEXT])
        finally:
            for worker in workers:
                worker.end()

    def run_engines(self) -> None:
        """Start, memory and comparison of the engines in float32, then times at every size."""
        self.run_start(then_times=bool(self.options.sizes))

    def run_growth(self) -> None:
        """Time and memory of our kernels by size."""
        sizes = self.options.growth_sizes
        rows = measuring.growth(self.folder, self.options.threads, sizes)
        self.results.measure("growth", rows)

    def run_threading(self) -> None:
        """Our kernels with each kind of threads."""
        options = self.options
        rows = compare_threading.rows(self.folder, options.threads, options.sizes, options.rounds)
        self.results.measure("threading", rows)

    def run_precision(self, part: str) -> None:
        """Agreement and times of all number types, on the base model or on a large one."""
        folder, sizes, suffix = self.folder, self.sizes, ""
        if part == "large":
            folder, suffix = folder / "large", "_large"
            sizes = sizes or {**precision.LARGE, "vocab_size": precision.VOCABULARY}
        names = engines_of(part, self.options.engines)
        prepare_folder(folder, sizes, names)
        precision.measure(folder, names, self.options, self.results, suffix)

    def run_corpus(self, part: str) -> None:
        """Texts to vectors: of a file with a checkpoint, or made texts with the random model."""
        names = engines_of(part, self.options.engines)
        if self.options.model is None:
            prepare_folder(self.folder, self.sizes, names)
            for message in precision_engines.prepare(self.folder, names):
                progress(f"left out: {message}")
        folder = corpus.work_folder(self.folder, self.options.model, self.options.tokenizer)
        rows = corpus.measured(part, self.options, names, folder)
        self.results.measure(part, rows, names)


def measure(options: argparse.Namespace, results: Results) -> Iterator[str]:
    """Measure all parts that were asked for; one that fails stops no other.

    Yields
    ------
    str
        What failed, one line for each part.
    """
    begun = time.perf_counter()
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        measurement = Measurement(options, results, folder)
        for n, part in enumerate(options.parts):
            spent = (time.perf_counter() - begun) / 60
            progress(f"part {n + 1} of {len(options.parts)}, {part}, after {spent:.0f} minutes")
            try:
                measurement.run(part)
            except (measuring.DifferentError, SystemExit) as error:
                progress("")
                yield f"{part}: {error}"
