"""Read what sentence-transformers records about a model: pooling, scaling, prompts, length."""

import re
from pathlib import Path
from typing import Any

from numpy_erniem.checkpoint.json_files import parse_object, read_json
from numpy_erniem.checkpoint.lfs import refuse_pointer
from numpy_erniem.checkpoint.links import inside
from numpy_erniem.checkpoint.sentence_settings import RECORDED_POOLINGS, SENTENCE_SETTINGS_FILE
from numpy_erniem.conversion.report import Report

MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean over sqrt(length)",
    "pooling_mode_weightedmean_tokens": "weighted mean",
    "pooling_mode_lasttoken": "last token",
}
# E5 was trained with prompts, which its files do not record.
E5 = re.compile(r"\be5[-_](?:small|base|large)(?!.*instruct)", re.IGNORECASE)
E5_PROMPTS = {"query": "query: ", "passage": "passage: "}


def settings_of_source(source: Path, names: list[str], report: Report) -> dict[str, Any] | None:
    """Read the settings of a sentence-transformers folder, as `read_sentence_settings` has them.

    Parameters
    ----------
    source : Path
        The folder.
    names : list of str
        The names of the checkpoint; E5 is recognised by them.
    report : Report
        A line about the settings is added.

    Returns
    -------
    dict or None
        None if the folder is not of sentence-transformers.

    Raises
    ------
    ValueError
        The folder asks for a kind of pooling, or a module, that is not supported.
    """
    listing = source / "modules.json"
    modules = _modules(listing) if listing.is_file() else []
    settings: dict[str, Any] = {}
    for module in modules:
        kind = str(module.get("type")).rpartition(".")[2]
        if kind == "Pooling":
            settings["pooling"] = _pooling(source, str(module.get("path")))
        elif kind == "Normalize":
            settings["normalize"] = True
        elif kind != "Transformer":
            raise ValueError(
                f"{listing} has a module {kind!r}; supported are Transformer, Pooling, Normalize"
            )
    if settings:
        settings.setdefault("normalize", False)
        settings |= _prompts(source) | _max_length(source)
    if any(E5.search(name) for name in names):
        settings.setdefault("pooling", "mean")
        settings.setdefault("normalize", True)
        if not any(settings.get("prompts", {}).values()):
            settings |= {"prompts": E5_PROMPTS, "default_prompt_name": "query"}
    if settings:
        report.made[SENTENCE_SETTINGS_FILE] = ", ".join(
            f"{key} {value!r}" for key, value in settings.items()
        )
    return settings or None


def _modules(path: Path) -> list[dict[str, Any]]:
    """The list in modules.json."""
    content = path.read_bytes()[:1_000_000]
    refuse_pointer(path, content)
    wrapped = b'{"modules":' + content + b"}"
    modules = parse_object(path, wrapped)["modules"]
    if not isinstance(modules, list) or not all(isinstance(m, dict) for m in modules):
        raise ValueError(f"{path} is not a list of modules")
    return modules


def _pooling(source: Path, name: str) -> str:
    """The kind of pooling that a module's config.json chooses."""
    if not re.fullmatch(r"[\w.-]{1,100}", name) or ".." in name:
        raise ValueError(f"{source / 'modules.json'} names {name[:100]!r}, not a folder next to it")
    path = inside(source, f"{name}/config.json")
    if not path.is_file():
        raise FileNotFoundError(f"{source} lacks {name}/config.json, which modules.json names")
    values = read_json(path)
    chosen = [mode for key, mode in MODES.items() if values.get(key)]
    if not chosen and isinstance(values.get("pooling_mode"), str):
        chosen = [values["pooling_mode"]]
    if len(chosen) != 1 or chosen[0] not in RECORDED_POOLINGS:
        raise ValueError(f"{path} pools by {' and '.join(chosen)}; supported are mean or cls")
    return chosen[0]


def _prompts(source: Path) -> dict[str, Any]:
    path = source / "config_sentence_transformers.json"
    values = read_json(inside(source, path.name)) if path.is_file() else {}
    prompts = values.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(p, str) for p in prompts.values()):
        raise ValueError(f"{path}: prompts is not an object from names to texts")
    default = values.get("default_prompt_name")
    return {
        "prompts": prompts,
        "default_prompt_name": default if default in list(prompts) else None,
    }


def _max_length(source: Path) -> dict[str, Any]:
    path = source / "sentence_bert_config.json"
    length = read_json(inside(source, path.name)).get("max_seq_length") if path.is_file() else None
    return {"max_length": length} if type(length) is int and length > 2 else {}
