"""Work on parts of a batch in threads: NumPy lets go of the interpreter while it computes.

Each thread runs its own products, so BLAS and the C kernels are held at one thread meanwhile. What
is summed afterwards is summed in the order of the parts: as many parts give the same bits.
"""

import ctypes
import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.backend.dispatch import get_num_threads, set_num_threads


@functools.cache
def _openblas() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """How to read and set the threads of the OpenBLAS in NumPy's wheel; None with another BLAS."""
    folder = Path(np.__file__).parent
    for path in [*folder.parent.glob("numpy.libs/*openblas*"), *folder.glob(".dylibs/*openblas*")]:
        library = ctypes.CDLL(str(path))  # already loaded: this finds it again
        for name in ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}"):
            try:
                return (
                    getattr(library, name.format("get_num_threads")),
                    getattr(library, name.format("set_num_threads")),
                )
            except AttributeError:
                continue
    return None


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Hold the C kernels, and NumPy's BLAS so far as we know how, at one thread."""
    pools = [(get_num_threads, set_num_threads), *filter(None, [_openblas()])]
    before = [get() for get, _ in pools]
    for _, put in pools:
        put(1)
    try:
        yield
    finally:
        for (_, put), n in zip(pools, before, strict=True):
            put(n)


def in_threads(work: Callable[..., Any], parts: Sequence[Any]) -> list[Any]:
    """[work(part) for part in parts], a thread for each part; one part alone needs none."""
    if len(parts) == 1:
        return [work(parts[0])]
    with one_thread_each(), ThreadPoolExecutor(len(parts)) as pool:
        jobs = [pool.submit(copy_context().run, work, part) for part in parts]
        return [job.result() for job in jobs]


def cut(n: int, parts: int) -> list[slice]:
    """0..n in at most `parts` slices of nearly the same length, none empty."""
    edges = np.linspace(0, n, max(1, min(parts, n)) + 1).round().astype(int)
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]
