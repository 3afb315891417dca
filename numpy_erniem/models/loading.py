"""Opening a checkpoint: once, whatever is then made of it."""

import copy
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from numpy_erniem.checkpoint.folder import (
    INDEX_FILE,
    WEIGHTS_FILE,
    Tensor,
    read_checkpoint,
    read_folder,
)
from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checkpoint.keywords import take_hub_keywords, take_path
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.models.schema import Schema, of_other_classes, schemas_of

OF_LABELS = ("id2label", "label2id", "num_labels", "problem_type")  # keys of config.json
LOG = logging.getLogger(__name__)


class Checkpoint(NamedTuple):
    """An open checkpoint.

    Attributes
    ----------
    name : path or str
        By which it was found.
    folder : Path
    values : dict
        Keys of its config, not checked yet; or of the config that is used in its place.
    tensors : dict of str to Tensor
        By name; none is read yet.
    """

    name: str | os.PathLike[str]
    folder: Path
    values: dict[str, Any]
    tensors: dict[str, Tensor]

    def tensors_for(self, schema: Schema) -> dict[str, Tensor]:
        """The tensors that a class may take: all but those of other classes that are named."""
        others = {*of_other_classes(self.tensors, schema, self.values.get("architectures"))}
        return {name: tensor for name, tensor in self.tensors.items() if name not in others}

    def make_config(
        self, overrides: Mapping[str, Any], schema: Schema | None = None
    ) -> ErnieMConfig:
        """The config, checked; `overrides` win. ValueError with the folder for a wrong value.

        The labels are left out for the class of a schema that is not one of several named ones.
        """
        values, named = self.values, schemas_of(self.values.get("architectures"))
        if schema is not None and len(named) > 1 and schema not in named:
            values = {name: value for name, value in values.items() if name not in OF_LABELS}
        config = ErnieMConfig.from_values(values, self.folder, **overrides)
        config.name_or_path = self.name
        return config


def open_checkpoint(
    model: str | os.PathLike[str] | None,
    config: ErnieMConfig | None,
    options: dict[str, Any],
) -> Checkpoint:
    """Find a checkpoint, fetch it if need be, and map its files.

    Parameters
    ----------
    model : path or str
        A folder, or a name on the Hugging Face hub; or None, if `options` has it as
        pretrained_model_name_or_path.
    config : ErnieMConfig, optional
        In place of the folder's, which then needs no config.json.
    options : dict
        Other keywords; those of loading, such as revision, are taken out of it.

    Returns
    -------
    Checkpoint

    Raises
    ------
    FileNotFoundError, ValueError
        As of `from_pretrained`.
    """
    name = take_path("from_pretrained", model, options, "pretrained_model_name_or_path")
    use_safetensors = options.pop("use_safetensors", None)
    folder = resolve_folder(name, **take_hub_keywords(options))
    has_safetensors = any((folder / file).is_file() for file in (WEIGHTS_FILE, INDEX_FILE))
    if use_safetensors is not None and bool(use_safetensors) != has_safetensors:
        there = "are there, and are always read" if has_safetensors else "are not there"
        raise ValueError(f"use_safetensors={use_safetensors}: {folder}: safetensors {there}")
    if config is None:
        checkpoint = Checkpoint(name, folder, *read_checkpoint(folder))
    else:
        values = copy.deepcopy(config.to_dict())
        checkpoint = Checkpoint(name, folder, values, read_folder(folder))
    LOG.debug("model %s: %d tensors in %s", name, len(checkpoint.tensors), folder)
    return checkpoint
