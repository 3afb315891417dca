"""What a checkpoint records about its sentence vectors: pooling, scaling, prompts, length."""

from pathlib import Path
from typing import Any

from numpy_erniem.checkpoint.json_files import read_json

SENTENCE_SETTINGS_FILE = "sentence_embedding.json"
RECORDED_POOLINGS = ("mean", "cls")


def read_sentence_settings(folder: Path) -> dict[str, Any]:
    """Read the settings that a conversion left in a folder; empty where there are none.

    Returns
    -------
    dict
        "pooling" ("mean" or "cls"), "normalize" (bool), "prompts" (name to text),
        "default_prompt_name" (one of these names, or None), "max_length" (tokens). A key may be
        absent.

    Raises
    ------
    ValueError
        A value is of another kind.
    """
    path = folder / SENTENCE_SETTINGS_FILE
    if not path.is_file():
        return {}
    values = read_json(path)
    prompts = values.get("prompts", {})
    good = (
        values.get("pooling", "mean") in RECORDED_POOLINGS
        and isinstance(values.get("normalize", False), bool)
        and isinstance(prompts, dict)
        and all(isinstance(text, str) for text in prompts.values())
        and values.get("default_prompt_name") in (None, *prompts)
        and type(values.get("max_length", 512)) is int
    )
    if not good:
        raise ValueError(
            f"{path} is not valid: pooling must be one of {', '.join(RECORDED_POOLINGS)}, "
            "normalize true or false, prompts an object from names to texts, default_prompt_name "
            "one of these names or null, and max_length an integer"
        )
    return values
