"""A model's name → the folder that holds it."""

import os
from pathlib import Path

BUNDLED = Path(__file__).resolve().parent / "tiny"


def bundled_checkpoint() -> Path:
    """Folder of the small checkpoint that comes with the package."""
    return BUNDLED


def resolve_folder(name: str | os.PathLike) -> Path:
    """Return the folder called `name`.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise FileNotFoundError(f"{folder} is a file; give the folder that holds the checkpoint")
    raise FileNotFoundError(
        f"{folder} is no folder here; give a folder with config.json and model.safetensors"
    )
