"""Threads that work on parts of a batch: NumPy releases the GIL while it computes.

Each thread computes its own products, so BLAS and the C kernels use one thread each meanwhile. The
results of the parts are summed in order: the result is bit-identical for a fixed number of parts.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from itertools import pairwise
from typing import Any

import numpy as np

from numpy_erniem.backend.blas import openblas
from numpy_erniem.backend.cores import available_cores
from numpy_erniem.backend.dispatch import get_num_threads, set_num_threads


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let the C kernels, and NumPy's BLAS if it is OpenBLAS, use one thread inside the block."""
    pools = [(get_num_threads, set_num_threads), *filter(None, [openblas()])]
    before = [get() for get, _ in pools]
    for _, put in pools:
        put(1)
    try:
        yield
    finally:
        for (_, put), n in zip(pools, before, strict=True):
            put(n)


def in_threads(work: Callable[..., Any], parts: Sequence[Any]) -> list[Any]:
    """[work(part) for part in parts], in a thread for each part, but no more than cores.

    A single part needs no thread.
    """
    if len(parts) == 1:
        return [work(parts[0])]
    workers = min(len(parts), available_cores())
    with one_thread_each(), ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(copy_context().run, work, part) for part in parts]
        return [job.result() for job in jobs]


def cut(n: int, parts: int) -> list[slice]:
    """Divide 0..n into at most `parts` slices of nearly the same length, none of them empty."""
    edges = np.linspace(0, n, max(1, min(parts, n)) + 1).round().astype(int)
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]
