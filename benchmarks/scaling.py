"""Our kernels over processes and threads: python -m benchmarks --parts scaling.

Every process embeds all texts, at the same time as the others; the vectors of all are compared.
The table for a thousand million texts multiplies these speeds: processes share nothing.
"""

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import measuring
from benchmarks.corpus_race import vectors_of
from benchmarks.corpus_worker import make_rows
from benchmarks.engines import link_or_copy
from benchmarks.markdown import is_ours
from benchmarks.workers import Worker, progress, wait_until_quiet
from numpy_erniem.pipelines.packing import BATCH_TOKENS

Row = dict[str, Any]

PRICE = 0.05  # of a core for an hour; what is paid differs widely


def layouts(cores: int) -> list[tuple[int, int]]:
    """Processes and threads in each: one core, all cores in one process, a process for each core.

    Examples
    --------
    >>> layouts(2), layouts(1)
    ([(1, 1), (1, 2), (2, 1)], [(1, 1)])
    """
    return list(dict.fromkeys([(1, 1), (1, cores), (cores, 1)]))


def folder_of_process(folder: Path, number: int) -> Path:
    """A folder with the same files, in which a process can write its vectors."""
    own = folder / f"process{number}"
    others = shutil.ignore_patterns("process*", "*.npy", "*.onnx")
    shutil.copytree(folder, own, ignore=others, copy_function=link_or_copy, dirs_exist_ok=True)
    return own


def run_all(workers: Sequence[Worker]) -> tuple[float, list[np.ndarray]]:
    """Let all workers embed all texts at the same time; seconds until the last one is ready."""
    with ThreadPoolExecutor(len(workers)) as threads:
        started = perf_counter()
        answers = list(threads.map(lambda w: vectors_of(w, "packed", BATCH_TOKENS, 1), workers))
        return perf_counter() - started, [vectors for vectors, _ in answers]


def scaling_rows(
    folder: Path, texts: list[str], engines: Sequence[str], cores: int, rounds: int, price: float
) -> Iterator[Row]:
    """Time each engine of ours in each layout.

    Parameters
    ----------
    folder : Path
        With a model, its tokenizer and texts.json.
    texts : list of str
    engines : sequence of str
    cores : int
    rounds : int
    price : float
        Of a core for an hour.

    Yields
    ------
    dict

    Raises
    ------
    DifferentError
        Two processes gave different vectors.
    """
    tokens = sum(map(len, make_rows(folder)(texts)))
    for engine in filter(is_ours, engines):
        first = None
        for processes, threads in layouts(cores):
            with ExitStack() as stack:
                workers = []
                for n in range(processes):
                    path = folder_of_process(folder, n)
                    workers.append(Worker(engine, path, threads, "benchmarks.corpus_worker"))
                    stack.callback(workers[-1].end)
                if "missing" in workers[0].ready:
                    progress(f"({engine} is left out: {workers[0].ready['missing']})")
                    break
                seconds = []
                for n in range(rounds + 1):  # the first one warms up
                    progress(f"{engine}, {processes} × {threads} threads: run {n} of {rounds}")
                    wait_until_quiet()
                    taken, vectors = run_all(workers)
                    first = vectors[0] if first is None else first
                    if not all(np.array_equal(first, other) for other in vectors):
                        raise measuring.DifferentError(f"{engine}: processes differ in a vector")
                    seconds.append(taken)
            timed = seconds[1:] or seconds
            yield {
                "engine": engine,
                "processes": processes,
                "threads": threads,
                "texts": len(texts),
                "tokens": tokens,
                "best": min(timed),
                "median": median(timed),
                "runs": len(timed),
                "price": price,
            }
