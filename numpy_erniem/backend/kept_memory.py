"""Memory of results that is kept for the next ones, while a program trains."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def memory_is_kept() -> Iterator[None]:
    """Keep all memory of native results for the next ones, inside a `with` block.

    For training: each step needs as much memory as the one before. Else most of it goes back to the
    system after each step, which hands it out again page by page, each cleared at first touch. The
    whole process keeps memory then; blocks may be nested. Without C kernels nothing is done.
    """
    try:
        from numpy_erniem.backend.settings import keep_much_memory
    except ImportError:
        yield
        return
    keep_much_memory(True)
    try:
        yield
    finally:
        keep_much_memory(False)
