"""The measurements, as rows of plain numbers: start and memory, engines by size, growth.

Shapes: B texts of T tokens; 12 layers, D = 768, F = 3072 as in the base model.
"""

import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import tables
from benchmarks.tables import flops
from benchmarks.workers import Worker, progress, start, wait_until_quiet

Row = dict[str, Any]
Sizes = list[tuple[int, int]]  # B, T

LARGEST_DIFFERENCE = 1e-4  # of any two engines' hidden states
TEXT = "native, from text"  # ours with its tokenizer; only its start and memory are measured


class DifferentError(Exception):
    """An engine's output differs, so its times cannot be compared."""


def start_workers(engines: list[str], folder: Path, threads: int) -> list[Worker]:
    """Start a process for each engine that is installed."""
    workers = [start(engine, folder, threads) for engine in engines]
    return [worker for worker in workers if worker is not None]


def version_of(engine: str) -> str:
    """The version of a peer's package; empty for our own engines."""
    try:
        return "" if engine.startswith(tables.OURS) else metadata.version(engine)
    except metadata.PackageNotFoundError:
        return ""


def start_and_memory(workers: list[Worker]) -> Iterator[Row]:
    """Measure each engine: seconds to the first vectors, and peak memory at 8 × 128.

    Parameters
    ----------
    workers : list of Worker
        The first one's vectors are the reference.

    Yields
    ------
    dict
        "engine", "version", "seconds", "peak_kb", and "difference", the largest from the reference.

    Raises
    ------
    DifferentError
        An engine's vectors differ from the reference by more than LARGEST_DIFFERENCE.
    """
    first = None
    for worker in workers:
        progress(f"{worker.engine}: 8 × 128")
        got = worker.ask(8, 128, 0)
        if "missing" in got:
            raise DifferentError(f"{worker.engine} gave no vectors: {got['missing']}")
        path = Path(got["file"])
        values = np.load(path)
        path.unlink()
        first = values if first is None else first
        difference = float(np.abs(values - first).max())
        if not difference <= LARGEST_DIFFERENCE:
            raise DifferentError(
                f"{worker.engine} differs from {workers[0].engine} by {difference}, more than "
                f"{LARGEST_DIFFERENCE}; nothing was timed"
            )
        yield {
            "engine": worker.engine,
            "version": version_of(worker.engine),
            "seconds": worker.startup,
            "peak_kb": got["peak_kb"],
            "difference": difference,
        }


def runs_of(B: int, T: int) -> int:
    """Runs of a size in one turn: as many as take 1.5 s at 200 GFLOP/s, at most 40."""
    return max(1, min(40, int(300e9 / flops(B, T))))


def time_by_size(workers: list[Worker], sizes: Sizes, rounds: int) -> Iterator[Row]:
    """Time each engine at each size, in turns; yield the best and the median of its runs."""
    begun, work = time.perf_counter(), sum(flops(*size) for size in sizes)
    workers, done = list(workers), 0
    for B, T in sizes:
        times: dict[str, list[float]] = {worker.engine: [] for worker in workers}
        for n in range(rounds):
            spent = time.perf_counter() - begun
            progress(f"{done / work:.0%} after {spent:.0f} s; {B} × {T}, round {n + 1} of {rounds}")
            for worker in list(workers):
                wait_until_quiet()
                got = worker.ask(B, T, runs_of(B, T))
                if "missing" in got:
                    progress(f"{worker.engine} is left out from here: {got['missing']}")
                    workers.remove(worker)
                times[worker.engine] += got.get("times", [])
            done += flops(B, T) / rounds
        for engine, seconds in times.items():
            if seconds:
                yield {
                    **{"B": B, "T": T, "engine": engine, "runs": len(seconds)},
                    **{"best": min(seconds), "median": median(seconds)},
                }


def growth(folder: Path, threads: int, sizes: Sizes) -> Iterator[Row]:
    """Measure time and peak memory of our kernels, in a new process for each size."""
    for B, T in sizes:
        progress(f"growth: {B} × {T}")
        wait_until_quiet()
        worker = Worker("native", folder, threads)
        base = worker.ready.get("peak_kb", 0)
        got = worker.ask(B, T, runs_of(B, T))
        worker.end()
        if "missing" in got:
            progress(f"{B} × {T} is left out: {got['missing']}")
            continue
        times = got["times"]
        yield {
            **{"B": B, "T": T, "best": min(times), "median": median(times)},
            **{"base_kb": base, "peak_kb": got["peak_kb"]},
        }
