"""The configuration of a checkpoint folder, as plain values."""

import re
from pathlib import Path
from typing import Any

from numpy_erniem.checkpoint.json_files import read_json

CONFIG_FILE = "config.json"
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
        return read_json(folder / CONFIG_FILE)
    if (folder / OLD_PADDLE_CONFIG_FILE).is_file():
        return old_paddle_config(folder / OLD_PADDLE_CONFIG_FILE)
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
    "init_class": "UIEM"}, or those of ErnieMModel alone.

    Raises
    ------
    ValueError
        The file is not a JSON object, or is for another model.
    """
    outer = read_json(path)
    arguments = outer.pop("init_args", [])
    outer_class = outer.pop("init_class", None)
    config: dict[str, Any] = {}
    for argument in arguments if isinstance(arguments, list | tuple) else [arguments]:
        if isinstance(argument, dict):
            config |= argument
        elif isinstance(argument, int):  # the second argument of a model with classes
            config["num_classes"] = argument
    inner_class = config.pop("init_class", None)
    config |= outer
    name = outer_class or inner_class or "ErnieMModel"
    if not isinstance(name, str) or not re.fullmatch(r"ErnieM(Model|For\w+)|UIEM", name):
        raise ValueError(f"{path} is for {name!r}, not for an ERNIE-M model")
    return {**config, "architectures": [name], "model_type": "ernie_m"}
