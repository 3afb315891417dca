"""Symbolic links in a folder of a stranger."""

from pathlib import Path


def inside(folder: Path, name: str) -> Path:
    """The path of a file in a folder, checked not to be a symbolic link to somewhere else.

    The folder itself may be a link; what counts is where it leads.
    Links into blobs/ are allowed: the cache of the Hugging Face hub is made of them.

    Raises
    ------
    ValueError
        The file is a link that leads out of the folder.
    """
    path = (folder / name).resolve()
    here = folder.resolve()
    caches = (above.parent for above in here.parents if above.name == "snapshots")
    blobs = next(caches, here) / "blobs"
    if not path.is_relative_to(here) and not path.is_relative_to(blobs):
        raise ValueError(f"{folder / name} is a link that leads out of its folder; copy the file")
    return folder / name
