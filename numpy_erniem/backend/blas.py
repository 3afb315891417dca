"""The threads of the OpenBLAS that comes with NumPy, which runs NumPy's own products."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np


@functools.cache
def openblas() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """Functions that get and set the threads of the OpenBLAS in NumPy's wheel, or None."""
    try:
        import ctypes
    except ImportError:  # a Python that was built without it
        return None
    folder = Path(np.__file__).parent
    for path in [*folder.parent.glob("numpy.libs/*openblas*"), *folder.glob(".dylibs/*openblas*")]:
        library = ctypes.CDLL(str(path))  # NumPy has loaded it: this returns the same library
        for name in ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}"):
            try:
                return (
                    getattr(library, name.format("get_num_threads")),
                    getattr(library, name.format("set_num_threads")),
                )
            except AttributeError:
                continue
    return None


def get_blas_threads() -> int | None:
    """Return how many threads NumPy's products may use; None where that is not known."""
    found = openblas()
    return None if found is None else found[0]()


def set_blas_threads(n: int) -> None:
    """Let NumPy's products use n threads; do nothing where another library runs them."""
    found = openblas()
    if found is not None:
        found[1](n)
