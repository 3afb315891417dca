"""The seam: which twin of a primitive runs, NumPy's or C's.

A primitive is a NumPy function marked `@accelerated`. Where the native backend is on and has a
twin of that name, the twin is called first; it either returns the result or a `Declined` with its
reason, and then the NumPy body runs. Nothing else in the package knows that C exists.
"""

import functools
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

CHOICES = ("auto", "numpy", "native")


class Declined(str):
    """Why a native twin leaves a call to the NumPy body: `Declined("float64 input")`."""


_choice: ContextVar[str | None] = ContextVar("numpy_erniem_backend", default=None)
_calls: Counter[tuple[str, str]] = Counter()
_lock = threading.Lock()


@functools.cache
def _native() -> tuple[dict[str, Callable], str]:
    """Twins by the name of their primitive, and where they come from or why there are none."""
    try:
        from numpy_erniem import native
    except ImportError as error:
        return {}, f"the C kernels are not built ({error})"
    return native.TWINS, native.description()


def _checked(choice: str) -> str:
    if choice not in CHOICES:
        raise ValueError(f"backend {choice!r} is not one of {', '.join(CHOICES)}")
    twins, reason = _native() if choice == "native" else ({}, "")
    if choice == "native" and not twins:
        raise ValueError(
            f"backend 'native' cannot be used: {reason}; install with a C compiler, or use 'auto'"
        )
    return choice


def backend_choice() -> str:
    """The backend asked for: by `use_backend`, else by NUMPY_ERNIEM_BACKEND, else "auto"."""
    return _choice.get() or _checked(os.environ.get("NUMPY_ERNIEM_BACKEND", "auto"))


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

    @functools.wraps(body)
    def primitive(*args, **kwargs):
        if backend_choice() == "numpy":
            return body(*args, **kwargs)
        twin = _native()[0].get(name)
        if twin is None:
            return body(*args, **kwargs)
        result = twin(*args, **kwargs)
        declined = isinstance(result, Declined)
        with _lock:
            _calls[name, result if declined else "native"] += 1
        return body(*args, **kwargs) if declined else result

    primitive.body = body
    return primitive


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
        for (name, where), count in sorted(_calls.items()):
            calls.setdefault(name, {})[str(where)] = count
    backend = "native" if twins and backend_choice() != "numpy" else "numpy"
    return {"backend": backend, "native": description, "calls": calls}


def reset_backend_report() -> None:
    """Set the counts of `backend_report` to zero."""
    with _lock:
        _calls.clear()
