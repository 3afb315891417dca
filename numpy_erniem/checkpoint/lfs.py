"""Pointers of Git LFS: small text files that stand in a clone where the large ones should be."""

import os
import re

POINTER = b"version https://git-lfs.github.com/spec/"
LARGEST = 1024  # bytes of a pointer, by its specification


def refuse_pointer(path: str | os.PathLike[str], content: bytes) -> None:
    """Refuse the content of a file that is a pointer of Git LFS.

    Parameters
    ----------
    path : path
        Named in the error.
    content : bytes
        The file, or its first bytes.

    Raises
    ------
    ValueError
        The content is a pointer; the message says how to get the file.
    """
    start = bytes(content[:LARGEST])
    if start.startswith(POINTER):
        size = re.search(rb"\nsize (\d{1,20})\n", start)
        of = f" of {int(size[1])} bytes" if size else ""
        raise ValueError(
            f"{os.fspath(path)} is a Git LFS pointer to a file{of}, not the file itself; run "
            "`git lfs pull` in its folder, or download it again"
        )
