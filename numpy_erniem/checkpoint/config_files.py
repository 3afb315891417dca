"""The configuration of a checkpoint folder, as plain values."""

import re
from pathlib import Path
from typing import Any

from numpy_erniem.checkpoint.json_files import read_json
from numpy_erniem.checkpoint.links import inside

CONFIG_FILE = "config.json"
BASE = "ErnieMModel"
AFTER_MODEL = ("num_classes", "dropout")  # what follows the encoder in a constructor with a head
DEEPEST = 8  # levels of init_args
OLD_PADDLE_CONFIG_FILE = "model_config.json"  # of PaddleNLP before 2.5


def read_config(folder: Path) -> dict[str, Any]:
    """The keys of config.json, or of the model_config.json of old PaddleNLP.

    Raises
    ------
    FileNotFoundError
        The folder has neither.
    ValueError
        The file is not a JSON object, or is for another model.
    """
    if (folder / CONFIG_FILE).is_file():
        return read_json(inside(folder, CONFIG_FILE))
    if (folder / OLD_PADDLE_CONFIG_FILE).is_file():
        return old_paddle_config(inside(folder, OLD_PADDLE_CONFIG_FILE))
    raise FileNotFoundError(f"{folder} has no {CONFIG_FILE}; is it a checkpoint folder?")


def architecture_of(config: dict[str, Any]) -> str:
    """The class that a config names first in `architectures`; "" if it names none."""
    names = config.get("architectures")
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""


def is_paddle_folder(folder: Path) -> bool:
    """Whether a folder is PaddleNLP's own, by its config or its file of weights; none is read."""
    try:
        config = read_config(folder)
    except (ValueError, FileNotFoundError):
        config = {}
    ours_or_upstreams = {"attention_mask_convention", "transformers_version"}
    if ours_or_upstreams & config.keys():
        return False
    if "paddlenlp_version" in config or architecture_of(config) == "UIEM":
        return True
    if (folder / OLD_PADDLE_CONFIG_FILE).is_file() and not (folder / CONFIG_FILE).is_file():
        return True
    others = [*folder.glob("*.safetensors*"), *folder.glob("pytorch_model.bin*")]
    return (folder / "model_state.pdparams").is_file() and not others


def old_paddle_config(path: Path) -> dict[str, Any]:
    """The keys of a model_config.json, as a config.json would have them.

    It holds the arguments of a constructor: {"init_args": [{..., "init_class": "ErnieMModel"}],
    "init_class": "UIEM"}, or those of ErnieMModel alone. An argument that is a model has its own
    init_args.

    Raises
    ------
    ValueError
        The file is not a JSON object, or is for another model.
    """
    config, name = _flat(path, read_json(path))
    name = name or BASE
    if not isinstance(name, str) or not re.fullmatch(r"ErnieM(Model|For\w+)|UIEM", name):
        raise ValueError(f"{path} is for {name!r}, not for an ERNIE-M model")
    return {**config, "architectures": [name], "model_type": "ernie_m"}


def _flat(path: Path, values: dict[str, Any], depth: int = 0) -> tuple[dict[str, Any], Any]:
    """Arguments of a constructor and of the models in it as one dict, and the outer class."""
    values = dict(values)
    listed, own = values.pop("init_args", []), values.pop("init_class", None)
    listed = listed if isinstance(listed, list) else [listed]
    config: dict[str, Any] = {}
    inner, positional = None, []
    for argument in listed:
        if not isinstance(argument, dict):
            positional.append(argument)
        elif depth < DEEPEST:
            found, inner = _flat(path, argument, depth + 1)
            config |= found
        else:
            raise ValueError(f"{path}: init_args has more than {DEEPEST} levels")
    for key, value in zip(AFTER_MODEL, positional, strict=False):
        if value is not None:
            config[key] = value
    if len(positional) > (len(AFTER_MODEL) if own not in (None, BASE) else 0):
        raise ValueError(
            f"{path}: init_args of {own or BASE} has {positional[-1]!r} without a name; write "
            "it as a key with its value"
        )
    return config | values, own or inner
