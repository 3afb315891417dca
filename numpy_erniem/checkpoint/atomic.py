"""Files and folders that appear complete or not at all, even after a crash.

Files are written in a hidden folder `.saving-*` next to their final place, flushed to disk, and
then renamed. A process that is killed leaves its hidden folder behind; the next save to the same
place removes it. Each hidden folder holds a lock file, which the system unlocks when its writer
ends, so the folder of a writer that is still running is left alone.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PREFIX = ".saving-"
LOCK_FILE = ".lock"
ATTEMPTS = 3  # at a hidden folder; more than one is needed only if another save removes it


def atomic_write(path: str | os.PathLike, content: str | bytes) -> None:
    """Write a file that a crash leaves as it was or complete.

    Parameters
    ----------
    path : path
        The folder it is in is made, if need be.
    content : str or bytes
        Text is written as UTF-8, line ends as they are.
    """
    with atomic_file(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """Open a file that takes its name when the block ends well; else nothing is left of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with hidden_folder(path.parent) as hidden:
        with Path(hidden, path.name).open("wb") as file:
            yield file
        flush(hidden / path.name)
        os.replace(hidden / path.name, path)
        flush(path.parent)


def check_writable(path: str | os.PathLike) -> None:
    """Check that `atomic_file` can make a file there, by making an empty one that is hidden.

    Raises
    ------
    OSError
        `path` is a folder; its folder is missing or cannot be written to; its name is not allowed.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"{path} is in a folder that does not exist")
    try:
        with hidden_folder(path.parent) as hidden:
            Path(hidden, path.name).touch()
    except OSError as error:  # its own message names the hidden folder
        reason = error.strerror or error
        raise type(error)(f"{path} cannot be written: {reason}; choose another place") from None


@contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Give a folder to fill, which takes the place of `path` when the block ends well.

    Raises
    ------
    OSError
        At the end, if `path` is there and not an empty folder; it is left as it is.
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    with hidden_folder(path.parent) as hidden:
        complete = hidden / "complete"  # has the usual mode, which the hidden folder has not
        complete.mkdir()
        yield complete
        for file in complete.rglob("*"):
            flush(file)
        flush(complete)
        if path.exists():
            path.rmdir()
        os.replace(complete, path)
        flush(path.parent)


@contextmanager
def hidden_folder(parent: Path) -> Iterator[Path]:
    """A new hidden folder inside `parent`; removed when the block ends, with what is in it.

    What killed processes left in `parent` is removed first.
    """
    clear_leftovers(parent)
    folder, lock = _locked_folder(parent)
    try:
        yield folder
    finally:
        _remove(folder, lock)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    if path.is_dir():
        if fcntl is None:  # Windows opens no folders
            return
        number = os.open(path, os.O_RDONLY)
        try:
            with suppress(OSError):  # some network file systems flush no folders
                os.fsync(number)
        finally:
            os.close(number)
        return
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def clear_leftovers(parent: str | os.PathLike) -> None:
    """Remove the hidden folders in `parent` whose writers are no longer running."""
    for folder in Path(parent).glob(f"{PREFIX}*"):
        if folder.is_symlink():
            continue
        try:
            lock = (folder / LOCK_FILE).open("rb+")
        except FileNotFoundError:  # its writer was killed before it made the file, or makes it now
            with suppress(OSError):
                folder.rmdir()
            continue
        except OSError:
            continue
        if _lock(lock):
            _remove(folder, lock)
        else:
            lock.close()


def _locked_folder(parent: Path) -> tuple[Path, IO[bytes]]:
    """A new hidden folder, and its lock file, locked where the file system can."""
    for attempt in range(1, ATTEMPTS + 1):
        folder = parent / f"{PREFIX}{os.urandom(6).hex()}"
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:  # told of the folder that the caller knows
            raise type(error)(error.errno, error.strerror, str(parent)) from None
        try:
            lock = (folder / LOCK_FILE).open("wb")
        except FileNotFoundError:  # another save took it for a leftover
            if attempt == ATTEMPTS:
                raise
            continue
        if (_lock(lock) and (folder / LOCK_FILE).exists()) or attempt == ATTEMPTS:
            break
        _remove(folder, lock)
    return folder, lock


def _lock(file: IO[bytes]) -> bool:
    """Lock a file for as long as it is open; False if another holds it, or it cannot be locked."""
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True


def _remove(folder: Path, lock: IO[bytes]) -> None:
    """Remove a hidden folder, its lock file last: killed before the end, it is still a leftover."""
    import shutil  # loads the compressors, which a model that is only read does not need

    with suppress(OSError):
        for inside in folder.iterdir():
            if inside.is_dir() and not inside.is_symlink():
                shutil.rmtree(inside, ignore_errors=True)
            elif inside.name != LOCK_FILE:
                inside.unlink()
    lock.close()
    shutil.rmtree(folder, ignore_errors=True)
