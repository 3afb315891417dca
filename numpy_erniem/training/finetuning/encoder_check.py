"""Whether a checkpoint has the encoder that a fine-tuning starts from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy_erniem.checks import warn
from numpy_erniem.models.mismatches import describe_mismatches, describe_names
from numpy_erniem.models.schema import PREFIX

PARTS = ("embeddings.", "encoder.")  # of the names of the encoder's tensors; a pooler may be new


def check_encoder(folder: Path, info: Mapping[str, list[Any]]) -> None:
    """Refuse a checkpoint without a whole encoder; warn of tensors of the encoder left unused.

    A head and a pooler may be drawn at random. With an encoder that is, a run would learn from
    nothing.

    Parameters
    ----------
    folder : Path
        Of the checkpoint.
    info : dict
        What `from_pretrained` gives with `output_loading_info`.

    Raises
    ------
    ValueError
        Tensors of the encoder are missing, or have another shape than config.json says.
    """
    missing = [name for name in info["missing_keys"] if _is_encoder(name)]
    if missing:
        raise ValueError(
            f"{folder} has no whole encoder to start from; these tensors are missing: "
            f"{describe_names(missing)}; convert the checkpoint again, or correct its config.json"
        )
    mismatched = [found for found in info["mismatched_keys"] if _is_encoder(found[0])]
    if mismatched:
        raise ValueError(
            f"{folder} does not fit its config.json: {describe_mismatches(mismatched)}; "
            "correct the config"
        )
    unused = [name for name in info["unexpected_keys"] if _is_encoder(name)]
    if unused:
        warn(f"{folder}: these tensors of the encoder are not used: {describe_names(unused)}")


def _is_encoder(name: str) -> bool:
    return name.removeprefix(PREFIX).startswith(PARTS)
