"""Opening a checkpoint: once, whatever is then made of it."""

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from numpy_erniem.checkpoint.folder import Tensor, read_checkpoint, read_folder
from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checkpoint.keywords import take_hub_keywords
from numpy_erniem.checks import nearest
from numpy_erniem.config import ALIASES, DEFAULTS, KEYS, ErnieMConfig


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
    config: ErnieMConfig | None,
    options: dict[str, Any],
    **hub: Any,
) -> Checkpoint:
    """Find a checkpoint, fetch it if need be, and map its files.

    Parameters
    ----------
    model : path or str
        A folder, or a name on the Hugging Face hub.
    config : ErnieMConfig, optional
        In place of the folder's, which then needs no config.json.
    options : dict
        Other keywords; those of loading are taken out of it.
    **hub
        Keywords of the hub, such as revision, as of `from_pretrained`.

    Returns
    -------
    Checkpoint

    Raises
    ------
    FileNotFoundError, ValueError
        As of `from_pretrained`.
    """
    folder = resolve_folder(model, **take_hub_keywords(options, **hub))
    if config is None:
        return Checkpoint(folder, *read_checkpoint(folder))
    return Checkpoint(folder, copy.deepcopy(config.to_dict()), read_folder(folder))


def check_overrides(names: Mapping[str, Any]) -> None:
    """Refuse an option that is no key of a config; ValueError names the nearest."""
    known = [*KEYS, "num_labels", *DEFAULTS, *ALIASES]
    for name in names:
        if name not in known:
            raise ValueError(f"unknown option {name!r}{nearest(name, known)}")
