"""From keys of a config.json to a config: which are known, which a keyword replaces."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from numpy_erniem.checkpoint.config_files import CONFIG_FILE, read_config
from numpy_erniem.checkpoint.keywords import (
    HUB_KEYWORDS,
    NEVER_STORED,
    OF_MODELS,
    take_hub_keywords,
)
from numpy_erniem.checks import nearest, warn
from numpy_erniem.config.checks import parsed_value
from numpy_erniem.config.defaults import DEFAULTS
from numpy_erniem.config.labels import overridden_labels

T = TypeVar("T")


@contextmanager
def errors_name(source: str | os.PathLike[str]) -> Iterator[None]:
    """Make a ValueError, which names the source, of an error about a wrong value."""
    try:
        yield
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{source}: {error}") from None


def checked_values(
    make: Callable[[dict[str, Any]], T],
    source: str | os.PathLike[str],
    overrides: dict[str, Any],
) -> T:
    """`make(overrides)`; an error names the source, or the overrides if they are wrong.

    Parameters
    ----------
    make : callable
        Makes a config of the source's keys and others that win over them.
    source : path or str
        Where the keys come from.
    overrides : dict
        The others.

    Returns
    -------
    object
        What `make` returns.

    Raises
    ------
    ValueError
        A wrong value, which may be one of the wrong type.
    """
    try:
        with errors_name(source):
            return make({**overrides})
    except ValueError:
        if overrides:
            with errors_name(source):
                make({})
            with errors_name(f"{source}, with {', '.join(overrides)} as given"):
                return make({**overrides})
        raise


def read_values(
    name: Any, options: dict[str, Any], keep: bool = False
) -> tuple[dict[str, Any], Path]:
    """Keys of a checkpoint's config, and the path that they are from.

    Parameters
    ----------
    name : path or str
        A folder, or a name on the hub.
    options : dict
        Keywords of loading are taken out of it.
    keep : bool
        Leave those that a model reads in it.

    Returns
    -------
    values : dict
    source : Path
    """
    from numpy_erniem.checkpoint.hub import resolve_folder

    kept = {key: options.pop(key) for key in OF_MODELS & options.keys()} if keep else {}
    given = {key: options.pop(key, None) for key in ("revision", "cache_dir", "subfolder", "token")}
    given["local_files_only"] = bool(options.pop("local_files_only", False))
    folder = resolve_folder(name, weights=False, **take_hub_keywords(options, **given))
    options.update(kept)
    source = folder / CONFIG_FILE
    return read_config(folder), source if source.is_file() else folder


def make_config(
    cls: Any, values: Mapping[str, Any], overrides: Mapping[str, Any], keep_unused: bool
) -> tuple[Any, dict[str, Any]]:
    """Make a config of keys and of overrides, which win.

    Parameters
    ----------
    cls : type
        `PretrainedConfig`, or a class derived from it.
    values : mapping
        Keys of a config.json. Keywords of `from_pretrained` among them are left out, with a
        warning.
    overrides : mapping
        Keys that `cls` or `values` has.
    keep_unused : bool
        Return other overrides; else they are a ValueError.

    Returns
    -------
    config : PretrainedConfig
    unused : dict
        The other overrides, and torch_dtype, which a model reads too.

    Raises
    ------
    ValueError
        A value that is not allowed, the config of another model, or an unknown override.
    """
    known = [*cls.KEYS, *cls.attribute_map, "num_labels", *DEFAULTS, *values]
    unused = {name: value for name, value in overrides.items() if name not in known}
    if unused and not keep_unused:
        name = next(iter(unused))
        raise ValueError(f"unknown option {name!r}{nearest(name, [*known, *HUB_KEYWORDS])}")
    if dropped := sorted(NEVER_STORED & values.keys()):
        warn(f"no keys of a config, left out: {', '.join(dropped)}")
    values = {name: value for name, value in values.items() if name not in NEVER_STORED}
    model_type = values.pop("model_type", cls.model_type)
    if model_type != cls.model_type:
        raise ValueError(
            f"model_type {model_type!r} is not {cls.model_type!r}; "
            "`erniem convert` makes ERNIE-M of models like XLM-RoBERTa: run "
            "`erniem convert MODEL NEW`, then use NEW"
        )
    for key in overridden_labels(values, overrides):
        values.pop(key, None)
    used = {name: value for name, value in overrides.items() if name in known}
    dtype = {"torch_dtype": used["torch_dtype"]} if "torch_dtype" in used else {}
    return cls(**{**values, **used}), {**unused, **dtype}


def parsed_updates(config: Any, text: str) -> dict[str, Any]:
    """The values in a text such as "hidden_size=24,use_cache=true".

    Raises
    ------
    ValueError
        A key that the config does not have, or a value of another type than the present one.
    """
    values = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        known = [*config.to_dict(), *DEFAULTS]
        if name in NEVER_STORED:
            raise ValueError(f"{name} is a keyword of from_pretrained and no key of a config")
        if not equals or name not in known:
            raise ValueError(f"{part!r} is no key=value of this config{nearest(name, known)}")
        values[name] = parsed_value(name, value, getattr(config, name))
    return values
