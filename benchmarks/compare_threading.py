"""OpenMP, the pool and serial beside each other: `python -m benchmarks --parts threading`.

Each kind of threads runs the base model in a process of its own. They take turns, round by round,
after their outputs were compared.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measuring
from benchmarks.workers import Worker, progress

KINDS = ("openmp", "pool", "serial")


def rows(folder: Path, threads: int, sizes: measuring.Sizes, rounds: int) -> Iterator[Any]:
    """Best and median seconds of each kind of threads at each size.

    Raises
    ------
    DifferentError
        The vectors of two kinds are not the same, bit for bit.
    """
    workers = measuring.start_workers([f"native, {kind}" for kind in KINDS], folder, threads)
    try:
        compare(workers, *sizes[0])
        yield from measuring.time_by_size(workers, sizes, rounds)
    finally:
        for worker in workers:
            worker.end()


def compare(workers: list[Worker], B: int, T: int) -> None:
    """Compare the vectors of all workers, bit for bit."""
    first = None
    for worker in workers:
        progress(f"{worker.engine}: {B} × {T}")
        got = worker.ask(B, T, 0)
        if "missing" in got:
            raise measuring.DifferentError(f"{worker.engine} gave no vectors: {got['missing']}")
        path = Path(got["file"])
        values = np.load(path)
        path.unlink()
        first = values if first is None else first
        if not np.array_equal(values, first):
            raise measuring.DifferentError(f"{worker.engine}: not the same bits; nothing was timed")
