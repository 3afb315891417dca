"""The folder in which the workers of a server share their counts."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "erniem-metrics-"


class CountsFolder:
    """A new folder for temporary files, locked by the processes that use it.

    Processes that are forked from this one hold the lock, too. The last one that leaves removes the
    folder. Where all of them were killed, the next server removes it.

    Attributes
    ----------
    path : str
    """

    def __init__(self) -> None:
        for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            _remove_unused(str(left))
        lock = None
        while lock is None:
            self.path = tempfile.mkdtemp(prefix=PREFIX)
            lock = _lock(self.path)
        self._lock = lock

    def leave(self) -> None:
        """Use the folder no longer; remove it if no other process does."""
        os.close(self._lock)
        _remove_unused(self.path)


def _lock(path: str) -> int | None:
    """A descriptor that marks a folder as used; None where another process removes it."""
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if os.path.isdir(path):
            return descriptor
    os.close(descriptor)
    return None


def _remove_unused(path: str) -> None:
    """Remove a folder of this user that no process has locked."""
    import fcntl

    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        stack.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an OSError where it is used
        if os.fstat(descriptor).st_uid == os.getuid():
            shutil.rmtree(path, ignore_errors=True)
