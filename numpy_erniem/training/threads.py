"""Threads of training: inside the native kernels, or a thread for each part of a batch.

A native kernel divides its own work, and its result has the same bits for any number of threads; so
has the whole step. NumPy's formulas are computed for parts of a batch, each in its own thread, as
NumPy releases the GIL while it computes; BLAS uses one thread each meanwhile. The results of the
parts are summed in order: the result is bit-identical for a fixed number of parts.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from itertools import pairwise
from typing import Any

import numpy as np

from numpy_erniem.backend.blas import openblas
from numpy_erniem.backend.cores import MAX_THREADS, available_cores
from numpy_erniem.backend.dispatch import backend_report, change_num_threads, get_num_threads

counted_cores = functools.cache(available_cores)  # not in each step: it reads many files


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let the C kernels, and NumPy's BLAS if it is OpenBLAS, use one thread inside the block."""
    pools = [(get_num_threads, change_num_threads), *filter(None, [openblas()])]
    before = [get() for get, _ in pools]
    for _, put in pools:
        put(1)
    try:
        yield
    finally:
        for (_, put), n in zip(pools, before, strict=True):
            put(n)


@contextmanager
def parts_of_batch(threads: int) -> Iterator[int]:
    """Into how many parts a batch is divided inside the block: `threads`, or 1 for native kernels.

    The kernels use `threads` threads inside the block then.
    """
    if backend_report()["backend"] != "native":
        yield threads
        return
    before = get_num_threads()
    change_num_threads(min(max(1, threads), MAX_THREADS))
    try:
        yield 1
    finally:
        change_num_threads(before)


def in_threads(work: Callable[..., Any], parts: Sequence[Any]) -> list[Any]:
    """[work(part) for part in parts], in a thread for each part, but no more than cores.

    A single part needs no thread.
    """
    if len(parts) == 1:
        return [work(parts[0])]
    workers = min(len(parts), counted_cores())
    with one_thread_each(), ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(copy_context().run, work, part) for part in parts]
        return [job.result() for job in jobs]


def cut(n: int, parts: int) -> list[slice]:
    """Divide 0..n into at most `parts` slices of nearly the same length, none of them empty."""
    edges = np.linspace(0, n, max(1, min(parts, n)) + 1).round().astype(int)
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]
