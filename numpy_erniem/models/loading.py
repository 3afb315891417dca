"""Opening a checkpoint: once, whatever is then made of it."""

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from numpy_erniem.checkpoint.folder import Tensor, read_checkpoint, read_folder
from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checks import nearest
from numpy_erniem.config import ALIASES, KEYS, ErnieMConfig


class Checkpoint(NamedTuple):
    """An open checkpoint.

    Attributes
    ----------
    folder : Path
    values : dict
        Keys of its config, not checked yet; or of the config that is used in its place.
    tensors : dict of str to Tensor
        By name; none is read yet.
    """

    folder: Path
    values: dict[str, Any]
    tensors: dict[str, Tensor]

    def make_config(self, overrides: Mapping[str, Any]) -> ErnieMConfig:
        """The config, checked; `overrides` win. ValueError with the folder for a wrong value."""
        return ErnieMConfig.from_values(self.values, self.folder, **overrides)


def open_checkpoint(
    model: str | os.PathLike[str],
    config: ErnieMConfig | None = None,
    *,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> Checkpoint:
    """Find a checkpoint, fetch it if need be, and map its files.

    Parameters
    ----------
    model : path or str
        A folder, or a name on the Hugging Face hub.
    config : ErnieMConfig, optional
        In place of the folder's, which then needs no config.json.
    revision : str, optional
        Branch, tag or commit on the hub.
    cache_dir : path, optional
        Where downloads are kept.
    local_files_only : bool
        Use what was downloaded before, and no network.

    Returns
    -------
    Checkpoint

    Raises
    ------
    FileNotFoundError, ValueError
        As of `from_pretrained`.
    """
    folder = resolve_folder(
        model, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only
    )
    if config is None:
        return Checkpoint(folder, *read_checkpoint(folder))
    return Checkpoint(folder, copy.deepcopy(config.to_dict()), read_folder(folder))


def check_overrides(names: Mapping[str, Any]) -> None:
    """Refuse an option that is no key of a config; ValueError names the nearest."""
    known = [*KEYS, "num_labels", "attention_mask_convention", *ALIASES]
    for name in names:
        if name not in known:
            raise ValueError(f"unknown option {name!r}{nearest(name, known)}")
