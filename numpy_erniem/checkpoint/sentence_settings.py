"""What a checkpoint records about its sentence vectors: pooling, scaling, prefixes, length."""

from pathlib import Path
from typing import Any

from numpy_erniem.checkpoint.json_files import read_json

FILE = "sentence_embedding.json"
POOLINGS = ("mean", "cls")


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings that a conversion left in a folder; empty where there are none.

    Returns
    -------
    dict
        "pooling" ("mean" or "cls"), "normalize" (bool), "prefixes" (name → text),
        "default_prefix" (a name, or None), "max_length" (tokens); each may be absent.

    Raises
    ------
    ValueError
        The file is not what it should be.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    values = read_json(path)
    prefixes = values.get("prefixes", {})
    good = (
        values.get("pooling", "mean") in POOLINGS
        and isinstance(values.get("normalize", False), bool)
        and isinstance(prefixes, dict)
        and all(isinstance(text, str) for text in prefixes.values())
        and values.get("default_prefix") in (None, *prefixes)
        and type(values.get("max_length", 512)) is int
    )
    if not good:
        raise ValueError(
            f"{path} does not hold pooling ({', '.join(POOLINGS)}), normalize, prefixes by name, "
            "default_prefix and max_length as it should"
        )
    return values
