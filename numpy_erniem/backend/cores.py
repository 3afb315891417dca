"""How many threads there can be. Imports nothing of the package, so it works without C kernels."""

import os

MAX_THREADS = 1024  # ERNIEM_MAX_THREADS in csrc/kernels.cdef.h; a test holds them equal


def available_cores() -> int:
    """Return the number of cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_num_threads(n: int, name: str = "the number of threads") -> int:
    """Return n if it is a possible number of threads.

    Parameters
    ----------
    n : int
    name : str
        What the error message calls it.

    Raises
    ------
    ValueError
        Unless n is an int in 1..1024.
    """
    if not isinstance(n, int) or not 1 <= n <= MAX_THREADS:
        raise ValueError(f"{name} is {n!r}, not a whole number in 1..{MAX_THREADS}")
    return n
