"""Dispatch: choose the NumPy or the C implementation of each primitive.

A primitive is a NumPy function marked `@accelerated`. Where the native backend is on and has a
kernel of that name, the kernel is called first; it returns either the result or an `Unsupported`
with its reason, and then the NumPy body runs. Nothing else in the package knows that C exists.
"""

import functools
import itertools
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from numpy_erniem.backend.unsupported import Unsupported

CHOICES = ("auto", "numpy", "native")


class _Tally:
    """A count that threads raise at once without a lock: `next` is a single step for them."""

    def __init__(self) -> None:
        self.add = itertools.count().__next__
        self._before = 0  # what was counted before a reset, and by looking

    def value(self) -> int:
        value = self.add() - self._before
        self._before += 1
        return value

    def reset(self) -> None:
        self._before = self.add() + 1


_choice: ContextVar[str | None] = ContextVar("numpy_erniem_backend", default=None)
_native_calls: dict[str, _Tally] = {}
_declined_calls: Counter[tuple[str, str]] = Counter()
_lock = threading.Lock()


@functools.cache
def _modules() -> Any:
    """The modules of the kernels and of their settings, or why they cannot be imported."""
    try:
        from numpy_erniem.backend import native, settings
    except ImportError as error:
        return f"the C kernels are not built ({error})"
    return native, settings


@functools.cache
def _native() -> tuple[dict[str, Callable], str]:
    """Twins by the name of their primitive, and where they come from or why there are none."""
    modules = _modules()
    if isinstance(modules, str):
        return {}, modules
    native, settings = modules
    return native.KERNELS, settings.description()


def _fresh_lock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # the thread that held it may be gone in the child
    os.register_at_fork(after_in_child=_fresh_lock)


def _checked(choice: str) -> str:
    if choice not in CHOICES:
        raise ValueError(f"backend {choice!r} is not one of {', '.join(CHOICES)}")
    twins, reason = _native() if choice == "native" else ({}, "")
    if choice == "native" and not twins:
        raise ValueError(
            f"backend 'native' cannot be used: {reason}; install with a C compiler, or use 'auto'"
        )
    return choice


@functools.cache
def _environment_choice() -> str:
    return _checked(os.environ.get("NUMPY_ERNIEM_BACKEND", "auto"))


def backend_choice() -> str:
    """The backend asked for: by `use_backend`, else by NUMPY_ERNIEM_BACKEND, else "auto".

    The environment is looked at once.
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
    """Mark a NumPy function as a primitive that a C twin of the same name may replace."""
    name = body.__name__
    ran_native = _native_calls.setdefault(name, _Tally()).add

    @functools.wraps(body)
    def primitive(*args, **kwargs):
        choice = _choice.get() or _environment_choice()
        twin = _native()[0].get(name) if choice != "numpy" else None
        if twin is None:
            return body(*args, **kwargs)
        result = twin(*args, **kwargs)
        if type(result) is not Unsupported:
            ran_native()
            return result
        with _lock:
            _declined_calls[name, result] += 1
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
    modules = _modules()
    if not isinstance(modules, str) and backend_choice() != "numpy":
        for w in layers:
            modules[0].prepare(w)


def backend_report() -> dict:
    """What ran where, and why.

    Returns
    -------
    dict
        "backend": "native" or "numpy", what a call would use now; "native": a line on the built
        kernels, or why there are none; "calls": per primitive a dict from "native" or a reason for
        declining to the number of calls since `reset_backend_report` (calls under the NumPy
        backend are not counted).
    """
    twins, description = _native()
    with _lock:
        calls: dict[str, dict[str, int]] = {}
        counts = {(name, "native"): tally.value() for name, tally in _native_calls.items()}
        for (name, where), count in sorted((counts | _declined_calls).items()):
            if count:
                calls.setdefault(name, {})[str(where)] = count
    backend = "native" if twins and backend_choice() != "numpy" else "numpy"
    return {"backend": backend, "native": description, "calls": calls}


def reset_backend_report() -> None:
    """Set the counts of `backend_report` to zero."""
    with _lock:
        _declined_calls.clear()
        for tally in _native_calls.values():
            tally.reset()


def set_num_threads(n: int) -> None:
    """Let each C kernel use n threads, the calling one included.

    At first it is NUMPY_ERNIEM_NUM_THREADS, else OMP_NUM_THREADS, else the number of cores that
    this process may use. Results do not depend on it. NumPy's own products keep their threads.

    Raises
    ------
    ValueError
        Unless n is in 1..1024.
    """
    if not isinstance(n, int) or not 1 <= n <= 1024:
        raise ValueError(f"the number of threads is {n!r}, not a whole number in 1..1024")
    modules = _modules()
    if not isinstance(modules, str):
        modules[1].set_num_threads(n)


def get_num_threads() -> int:
    """How many threads a C kernel uses; 1 where they are not built."""
    modules = _modules()
    return 1 if isinstance(modules, str) else modules[1].get_num_threads()
