"""Where Strassen's algorithm is never used, also if `set_strassen(True)` asks for it.

The classical product computes each row by itself, always in the same order, so a row has the same
bits whatever other rows there are. Strassen's algorithm adds pairs of rows, so the last bits of one
depend on the other. Inside `independent_rows` C does not use it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_wanted: ContextVar[bool] = ContextVar("numpy_erniem_independent_rows", default=False)


@contextmanager
def independent_rows() -> Iterator[None]:
    """Let native kernels compute rows independently in a `with` block of this thread or task."""
    token = _wanted.set(True)
    try:
        yield
    finally:
        _wanted.reset(token)


def rows_are_independent() -> bool:
    """Whether the caller is inside `independent_rows`."""
    return _wanted.get()
