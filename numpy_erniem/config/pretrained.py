"""PretrainedConfig: a config.json as an object, whatever the model; reading and writing it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, overload

from numpy_erniem.checkpoint.atomic import atomic_write
from numpy_erniem.checkpoint.config_files import CONFIG_FILE
from numpy_erniem.checkpoint.json_files import read_json, to_json
from numpy_erniem.checkpoint.keywords import NEVER_STORED, take_path, take_saving
from numpy_erniem.checks import table
from numpy_erniem.config.defaults import DEFAULTS, in_a_line
from numpy_erniem.config.reading import checked_values, make_config, parsed_updates, read_values

T = TypeVar("T", bound="PretrainedConfig")
Folder = str | os.PathLike[str]


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
        return in_a_line(type(self).__name__, self.to_dict(), type(self)().to_dict())

    def __str__(self) -> str:
        return table(type(self).__name__, self.to_dict())

    @property
    def name_or_path(self) -> str:
        """The folder or name that it was loaded from; "" if it was not. It is not stored."""
        return str(self._name_or_path)

    @name_or_path.setter
    def name_or_path(self, name: Folder) -> None:
        self._name_or_path = os.fspath(name)

    def validate(self) -> None:
        """Check every value; ValueError names the key, the value and the rule."""
        raise NotImplementedError(f"{type(self).__name__} has no rules for its values")

    def update(self, config_dict: Mapping[str, Any]) -> None:
        """Set attributes. They are checked when a model is made of the config or it is saved."""
        for name, value in config_dict.items():
            setattr(self, name, value)

    def update_from_string(self, update_str: str) -> None:
        """Set attributes from a text such as "hidden_size=24,use_cache=true", of present types."""
        self.update(parsed_updates(self, update_str))

    def to_dict(self) -> dict[str, Any]:
        """Every key of config.json, unknown ones included, as plain values."""
        known = {key: getattr(self, key) for key in self.KEYS}
        return {**self.extra, **known, "model_type": self.model_type}

    def to_json_string(self) -> str:
        """config.json as text."""
        return to_json(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def to_json_file(self, path: Folder) -> None:
        """Write config.json to `path`; ValueError for a value that is not allowed."""
        self.validate()
        atomic_write(path, self.to_json_string())

    def save_pretrained(self, folder: Folder | None = None, **options: Any) -> None:
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

    @overload
    @classmethod
    def from_dict(
        cls: type[T], values: Mapping[str, Any], *, return_unused_kwargs: Literal[True], **rest: Any
    ) -> tuple[T, dict[str, Any]]: ...

    @overload
    @classmethod
    def from_dict(
        cls: type[T],
        values: Mapping[str, Any],
        *,
        return_unused_kwargs: Literal[False] = ...,
        **overrides: Any,
    ) -> T: ...

    @classmethod
    def from_dict(
        cls: type[T],
        values: Mapping[str, Any],
        *,
        return_unused_kwargs: bool = False,
        **overrides: Any,
    ) -> T | tuple[T, dict[str, Any]]:
        """Make a config from the keys of a config.json; `overrides` win.

        Keywords of `from_pretrained`, such as token, are left out of `values`, with a warning.

        Parameters
        ----------
        values : mapping
            Keys of a config.json.
        return_unused_kwargs : bool
            Return a pair: the config, and the overrides that are no keys of it; among these is
            also torch_dtype, as in upstream.
        **overrides
            Keys that a config has or that `values` has.

        Returns
        -------
        PretrainedConfig
            Of this class; or the pair.

        Raises
        ------
        ValueError
            A value that is not allowed; or another override, without `return_unused_kwargs`.
        """
        config, unused = make_config(cls, values, overrides, return_unused_kwargs)
        return (config, unused) if return_unused_kwargs else config

    @classmethod
    def from_json_file(cls: type[T], path: Folder, **overrides: Any) -> T:
        """Read a config.json; `overrides` win. ValueError if it is not a JSON object."""
        return cls.from_values(read_json(Path(path)), path, **overrides)

    @classmethod
    def from_values(cls: type[T], values: dict[str, Any], source: Folder, **overrides: Any) -> T:
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
            A value that is not allowed, or of the wrong type; it tells whose it is.
        """
        return checked_values(lambda given: cls.from_dict(values, **given), source, overrides)

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: Folder, **options: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The keys of a checkpoint's config as they are, and the options that do not say where.

        Options and errors as for `from_pretrained`.
        """
        values, _ = read_values(pretrained_model_name_or_path, options, keep=True)
        return values, options

    @overload
    @classmethod
    def from_pretrained(
        cls: type[T],
        model: Folder | None = ...,
        *,
        return_unused_kwargs: Literal[True],
        **rest: Any,
    ) -> tuple[T, dict[str, Any]]: ...

    @overload
    @classmethod
    def from_pretrained(
        cls: type[T],
        model: Folder | None = ...,
        *,
        return_unused_kwargs: Literal[False] = ...,
        **options: Any,
    ) -> T: ...

    @classmethod
    def from_pretrained(
        cls: type[T],
        model: Folder | None = None,
        *,
        revision: str | None = None,
        cache_dir: Folder | None = None,
        local_files_only: bool = False,
        subfolder: Folder | None = None,
        token: str | bool | None = None,
        return_unused_kwargs: bool = False,
        **overrides: Any,
    ) -> T | tuple[T, dict[str, Any]]:
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
        return_unused_kwargs : bool
            Return a pair: the config, and the keywords that are for a model, as of `from_dict`.
        **overrides
            Keys of the config that win over the file's; and other keywords of loading, which are
            not stored: use_auth_token and force_download are used, those that ask for what is
            done anyway have no effect, and others are a ValueError.

        Returns
        -------
        PretrainedConfig
            Of this class; or the pair.

        Raises
        ------
        FileNotFoundError
            No such folder, or no config in it.
        ValueError
            A file that is not JSON, or a value that is not allowed.
        """
        name = take_path("from_pretrained", model, overrides, "pretrained_model_name_or_path")
        overrides.update(revision=revision, cache_dir=cache_dir, subfolder=subfolder, token=token)
        overrides["local_files_only"] = local_files_only
        values, source = read_values(name, overrides, keep=return_unused_kwargs)
        config, unused = checked_values(
            lambda given: make_config(cls, values, given, return_unused_kwargs), source, overrides
        )
        config.name_or_path = name
        return (config, unused) if return_unused_kwargs else config
