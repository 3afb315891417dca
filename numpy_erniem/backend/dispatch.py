"""Dispatch: choose the NumPy or the C implementation of each primitive.

A primitive is a NumPy function marked `@accelerated`. Where the native backend is on and has a
kernel of that name, the kernel is called first. It returns either the result or an `Unsupported`
with its reason; in that case the NumPy body runs. Nothing else in the package knows that C exists.
"""

import functools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from numpy_erniem.backend.cores import check_num_threads
from numpy_erniem.backend.counts import CallCounts
from numpy_erniem.backend.missing import why
from numpy_erniem.backend.unsupported import Unsupported

CHOICES = ("auto", "numpy", "native")
THREADING = ("openmp", "pool", "serial")  # every name there is; a build may have fewer

LOG = logging.getLogger(__name__)
_choice: ContextVar[str | None] = ContextVar("numpy_erniem_backend", default=None)
_native_calls = CallCounts()  # by the name of the primitive
_unsupported_calls = CallCounts()  # by (name, reason)


@functools.cache
def _module() -> Any:
    """The module with the native kernels, or the reason why it cannot be imported."""
    try:
        from numpy_erniem.backend import native
    except ImportError as error:
        return why(error)
    return native


@functools.cache
def _native() -> tuple[dict[str, Callable], str]:
    """Native kernels by the name of their primitive; a line on them, or why there are none."""
    module = _module()
    if isinstance(module, str):
        return {}, module
    settings = _settings()
    LOG.debug(
        "%s; %d threads (%s)",
        settings.description(),
        settings.threads_in_use(),
        settings.get_threading(),
    )
    return module.KERNELS, settings.description()


@functools.cache
def _settings() -> Any:
    """The module that sets what the kernels run on; None where they are not built."""
    try:
        from numpy_erniem.backend import settings
    except ImportError:
        return None
    return settings


def _checked(choice: str) -> str:
    if choice not in CHOICES:
        raise ValueError(f"backend {choice!r} is not one of {', '.join(CHOICES)}")
    kernels, reason = _native() if choice == "native" else ({}, "")
    if choice == "native" and not kernels:
        raise ValueError(f"backend 'native' cannot be used: {reason}. Or use 'auto'")
    return choice


@functools.cache
def _environment_choice() -> str:
    return _checked(os.environ.get("NUMPY_ERNIEM_BACKEND", "auto"))


def backend_choice() -> str:
    """Return the backend asked for: by `use_backend`, else by NUMPY_ERNIEM_BACKEND, else "auto".

    The environment variable is read once.
    """
    return _choice.get() or _environment_choice()


@contextmanager
def use_backend(choice: str) -> Iterator[None]:
    """Choose the backend inside a `with` block, for the current thread or task.

    Parameters
    ----------
    choice : {"auto", "numpy", "native"}
        "numpy": the formulas of `ops` alone. "auto": C kernels where they are built and take the
        arguments. "native": the same, and an error where they are not built.

    Raises
    ------
    ValueError
        For another name, or for "native" without built kernels.
    """
    token = _choice.set(_checked(choice))
    try:
        yield
    finally:
        _choice.reset(token)


def accelerated(body: Callable) -> Callable:
    """Mark a NumPy function as a primitive that a native kernel of the same name may replace."""
    name = body.__name__
    native, unsupported = _native_calls.mine, _unsupported_calls.mine

    @functools.wraps(body)
    def primitive(*args, **kwargs):
        choice = _choice.get() or _environment_choice()
        kernel = _native()[0].get(name) if choice != "numpy" else None
        if kernel is None:
            return body(*args, **kwargs)
        result = kernel(*args, **kwargs)
        if type(result) is not Unsupported:
            native.counts[name] += 1
            return result
        unsupported.counts[name, result] += 1
        return body(*args, **kwargs)

    primitive.body = body
    return primitive


def prepare(layers: Iterable[Mapping[str, Any]]) -> None:
    """Pack the weights of layers for the native backend; do nothing where NumPy is in use.

    Parameters
    ----------
    layers : iterable of dict
        "weight" and "bias" of linear layers and layer norms. Arrays that are not frozen are left
        out: they can change, and are packed for every call.
    """
    module = _module()
    if not isinstance(module, str) and backend_choice() != "numpy":
        for w in layers:
            module.prepare(w)


def backend_report() -> dict:
    """Tell what ran where, and why.

    Returns
    -------
    dict
        "backend": "native" or "numpy", what a call would use now; "native": a line on the built
        kernels, or why there are none; "kernels": for each number type of a weight the kernel that
        multiplies it, empty where none are built; "threading": what `get_threading` returns;
        "strassen": what `get_strassen` returns; "calls": for each primitive a dict from "native",
        or the reason why the kernel did not run, to the number of calls since
        `reset_backend_report` (calls under the NumPy backend are not counted).
    """
    kernels, description = _native()
    settings = _settings()
    counts = {(name, "native"): count for name, count in _native_calls.totals().items()}
    counts |= _unsupported_calls.totals()
    calls: dict[str, dict[str, int]] = {}
    for (name, where), count in sorted(counts.items()):
        calls.setdefault(name, {})[str(where)] = count
    backend = "native" if kernels and backend_choice() != "numpy" else "numpy"
    return {
        "backend": backend,
        "native": description,
        "kernels": settings.kernels() if settings else {},
        "threading": get_threading(),
        "strassen": get_strassen(),
        "calls": calls,
    }


def reset_backend_report() -> None:
    """Set the counts of `backend_report` to zero."""
    _native_calls.reset()
    _unsupported_calls.reset()


def set_num_threads(n: int) -> None:
    """Let each C kernel use n threads, the calling one included.

    The number at first is NUMPY_ERNIEM_NUM_THREADS, else OMP_NUM_THREADS, else the number of cores
    that this process may use, by its affinity and its container's CPU quota. A kernel never uses
    more threads than there are cores, because they would wait for each other; the cores are counted
    at the start and here. Results do not depend on it. NumPy's own products keep their threads.

    Parameters
    ----------
    n : int
        1 to 1024.

    Raises
    ------
    ValueError
        Unless n is in 1..1024.
    """
    check_num_threads(n)
    if settings := _settings():
        settings.set_num_threads(n)


def change_num_threads(n: int) -> None:
    """Do as `set_num_threads`, without counting the cores again, which means to read many files.

    Parameters
    ----------
    n : int
        1 to 1024; a ValueError for others.
    """
    check_num_threads(n)
    if settings := _settings():
        settings.change_num_threads(n)


def get_num_threads() -> int:
    """Return how many threads a C kernel may use; 1 where they are not built.

    It is the number that was set. A kernel uses fewer where there are fewer cores, and one thread
    under "serial"; `threads_in_use` tells.
    """
    settings = _settings()
    return settings.get_num_threads() if settings else 1


def threads_in_use() -> int:
    """Return how many threads a C kernel uses at most; 1 where they are not built."""
    settings = _settings()
    return settings.threads_in_use() if settings else 1


def set_threading(name: str) -> None:
    """Choose who runs the threads of the C kernels, in the whole process and from now on.

    The first choice is NUMPY_ERNIEM_THREADING, else the pool.
    Results do not depend on it. In the child of a fork OpenMP cannot be used: the pool takes its
    place there. Without C kernels only the name is checked.

    Parameters
    ----------
    name : {"openmp", "pool", "serial"}
        "openmp": the threads of the compiler's OpenMP library. "pool": threads of this package.
        "serial": the calling thread alone.

    Raises
    ------
    ValueError
        For another name, or where it cannot be used; the message lists what can.
    """
    if name not in THREADING:
        raise ValueError(f"threading {name!r} is not one of {', '.join(THREADING)}")
    if settings := _settings():
        settings.set_threading(name)


def set_strassen(wanted: bool) -> None:
    """Choose whether large products use Strassen's algorithm, in the whole process.

    It is off at first, unless NUMPY_ERNIEM_STRASSEN is 1. It has an eighth fewer multiplications,
    in products of 96 rows or more with a weight of 512 by 512 or more. It costs accuracy, most
    where a large feature is read by small weights, as in many trained models; and the last bits of
    a text then depend on the other texts of a batch, except in packed batches, which never use it.
    Without C kernels only the type is checked.

    Parameters
    ----------
    wanted : bool

    Raises
    ------
    TypeError
        For anything but True or False.
    """
    if not isinstance(wanted, bool):
        raise TypeError(f"set_strassen takes True or False, not {wanted!r}")
    if settings := _settings():
        settings.set_strassen(wanted)


def get_strassen() -> bool:
    """Return whether large products use Strassen's algorithm; False without C kernels."""
    settings = _settings()
    return settings.get_strassen() if settings else False


def get_threading() -> str:
    """Return who runs the threads of the C kernels; "serial" where they are not built.

    Returns
    -------
    {"openmp", "pool", "serial"}
    """
    settings = _settings()
    return settings.get_threading() if settings else "serial"
