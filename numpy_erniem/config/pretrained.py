"""PretrainedConfig: a config.json as an object, whatever the model; reading and writing it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from numpy_erniem.checkpoint.atomic import atomic_write
from numpy_erniem.checkpoint.config_files import CONFIG_FILE, read_config
from numpy_erniem.checkpoint.json_files import read_json
from numpy_erniem.checkpoint.keywords import (
    NEVER_STORED,
    take_hub_keywords,
    take_path,
    take_saving,
)
from numpy_erniem.checks import nearest, warn
from numpy_erniem.config.labels import overridden_labels

T = TypeVar("T", bound="PretrainedConfig")

# What transformers' PretrainedConfig has for every model, and pipelines read.
DEFAULTS = {
    "_name_or_path": "",
    "add_cross_attention": False,
    "attention_mask_convention": "padding",  # our own
    "bos_token_id": None,
    "chunk_size_feed_forward": 0,
    "cross_attention_hidden_size": None,
    "decoder_start_token_id": None,
    "eos_token_id": None,
    "finetuning_task": None,
    "is_decoder": False,
    "is_encoder_decoder": False,
    "prefix": None,
    "sep_token_id": None,
    "task_specific_params": None,
    "tie_encoder_decoder": False,
    "tie_word_embeddings": True,
    "tokenizer_class": None,
    "torch_dtype": None,
    "torchscript": False,
    "use_bfloat16": False,
}


class PretrainedConfig:
    """Keys of a config.json as attributes, and how they are read and written.

    A class for a model derives from it, takes every key of `KEYS` as an argument and sets it as an
    attribute. Any other key is in `extra`.

    Parameters
    ----------
    **extra
        Keys that the model's class does not know. They are readable as attributes.

    Raises
    ------
    ValueError
        A keyword of `from_pretrained`, such as token: it is never stored.
    """

    model_type: ClassVar[str] = ""
    attribute_map: ClassVar[dict[str, str]] = {}  # another name of a key → the key
    KEYS: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **extra: Any) -> None:
        self.extra: dict[str, Any] = {}
        for name, value in extra.items():
            self._set_extra(name, value)

    def __getattr__(self, name: str) -> Any:  # called only where there is no such attribute
        extra = self.__dict__.get("extra", {})
        if name in extra:
            return extra[name]
        if name in DEFAULTS:
            return DEFAULTS[name]
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        known = name in self.KEYS or hasattr(type(self), name)
        if known or name == "extra" or name.startswith("_"):
            super().__setattr__(name, value)
        else:
            self._set_extra(name, value)

    def _set_extra(self, name: str, value: Any) -> None:
        if name in NEVER_STORED:
            raise ValueError(f"{name} is a keyword of from_pretrained and no key of a config")
        if name == "torch_dtype" and value is not None:  # as config.json has it, "float32"
            value = getattr(value, "__name__", str(value)).removeprefix("torch.")
        self.extra[name] = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PretrainedConfig) and self.to_dict() == other.to_dict()

    def __repr__(self) -> str:
        keys = ", ".join(f"{key}={value!r}" for key, value in self.to_dict().items())
        return f"{type(self).__name__}({keys})"

    @property
    def name_or_path(self) -> str:
        """The folder or name that it was loaded from; "" if it was not. It is not stored."""
        return str(self._name_or_path)

    @name_or_path.setter
    def name_or_path(self, name: str | os.PathLike[str]) -> None:
        self._name_or_path = os.fspath(name)

    def validate(self) -> None:
        """Check every value; ValueError names the key, the value and the rule."""
        raise NotImplementedError(f"{type(self).__name__} has no rules for its values")

    def to_dict(self) -> dict[str, Any]:
        """Every key of config.json, unknown ones included, as plain values."""
        known = {key: getattr(self, key) for key in self.KEYS}
        return {**self.extra, **known, "model_type": self.model_type}

    def to_json_string(self) -> str:
        """config.json as text."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def to_json_file(self, path: str | os.PathLike[str]) -> None:
        """Write config.json to `path`; ValueError for a value that is not allowed."""
        self.validate()
        atomic_write(path, self.to_json_string())

    def save_pretrained(self, folder: str | os.PathLike[str] | None = None, **options: Any) -> None:
        """Write `folder`/config.json; the folder is created if it does not exist.

        Parameters
        ----------
        folder : path
            Its name may also be given as `save_directory`.
        **options
            Keywords that ask for what is done anyway, such as push_to_hub=False.

        Raises
        ------
        ValueError
            An attribute was set to a value that is not allowed, or an option cannot be honoured.
        """
        folder = take_saving(folder, options)
        self.to_json_file(Path(folder) / CONFIG_FILE)

    @classmethod
    def from_dict(cls: type[T], values: Mapping[str, Any], **overrides: Any) -> T:
        """Make a config from the keys of a config.json; `overrides` win.

        Overrides are keys that a config has or that `values` has; another one is a ValueError.
        Keywords of `from_pretrained`, such as token, are left out of `values`, with a warning.
        """
        known = [*cls.KEYS, *cls.attribute_map, "num_labels", *DEFAULTS, *values]
        for name in overrides:
            if name not in known:
                raise ValueError(f"unknown option {name!r}{nearest(name, known)}")
        if dropped := sorted(NEVER_STORED & values.keys()):
            warn(f"no keys of a config, left out: {', '.join(dropped)}")
        values = {name: value for name, value in values.items() if name not in NEVER_STORED}
        model_type = values.pop("model_type", cls.model_type)
        if model_type != cls.model_type:
            raise ValueError(
                f"model_type {model_type!r} is not {cls.model_type!r}; "
                "`erniem convert` makes ERNIE-M of models like XLM-RoBERTa"
            )
        for key in overridden_labels(values, overrides):
            values.pop(key, None)
        return cls(**{**values, **overrides})

    @classmethod
    def from_json_file(cls: type[T], path: str | os.PathLike[str], **overrides: Any) -> T:
        """Read a config.json; `overrides` win. ValueError if it is not a JSON object."""
        return cls.from_values(read_json(Path(path)), path, **overrides)

    @classmethod
    def from_values(
        cls: type[T], values: dict[str, Any], source: str | os.PathLike[str], **overrides: Any
    ) -> T:
        """As `from_dict`, for values that were not checked; a ValueError names their source.

        Parameters
        ----------
        values : dict
            Keys of a config.json.
        source : path or str
            Where they come from, for the error.
        **overrides
            Keys that win over those.

        Returns
        -------
        PretrainedConfig
            Of this class.

        Raises
        ------
        ValueError
            A value that is not allowed, or of the wrong type.
        """
        try:
            return cls.from_dict(values, **overrides)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{source}: {error}") from None

    @classmethod
    def from_pretrained(
        cls: type[T],
        model: str | os.PathLike[str] | None = None,
        *,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        subfolder: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        **overrides: Any,
    ) -> T:
        """Read the config of a checkpoint.

        Parameters
        ----------
        model : path or str
            A folder, or a name on the Hugging Face hub. It may also be given as
            `pretrained_model_name_or_path`.
        revision : str, optional
            Branch, tag or commit on the hub.
        cache_dir : path, optional
            Where downloads are kept; left out, where huggingface_hub keeps them.
        local_files_only : bool
            Use what was downloaded before, and no network.
        subfolder : path or str, optional
            Folder inside `model` in which the config is.
        token : str or bool, optional
            Password of the hub, as of huggingface_hub. It is never stored.
        **overrides
            Keys of the config that win over the file's; and other keywords of loading, which are
            not stored: use_auth_token and force_download are used, those that ask for what is
            done anyway have no effect, and others are a ValueError.

        Returns
        -------
        PretrainedConfig
            Of this class.

        Raises
        ------
        FileNotFoundError
            No such folder, or no config in it.
        ValueError
            A file that is not JSON, or a value that is not allowed.
        """
        from numpy_erniem.checkpoint.hub import resolve_folder

        name = take_path("from_pretrained", model, overrides, "pretrained_model_name_or_path")
        options = take_hub_keywords(
            overrides,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            subfolder=subfolder,
            token=token,
        )
        folder = resolve_folder(name, weights=False, **options)
        source = folder / CONFIG_FILE
        values = read_config(folder)
        config = cls.from_values(values, source if source.is_file() else folder, **overrides)
        config.name_or_path = name
        return config
