"""Arrays and tensors made of the rows of a batch."""

from typing import Any

import numpy as np

# What each column is padded with; input_ids take the id of [PAD].
PADDING_VALUES = {
    "attention_mask": 0,
    "token_type_ids": 0,
    "special_tokens_mask": 1,
    "offset_mapping": (0, 0),
}


def to_arrays(columns: dict[str, Any], kind: str) -> dict[str, Any]:
    """Turn lists into int64 arrays ("np") or torch tensors ("pt").

    Raises
    ------
    ValueError
        Rows of a column that differ in length.
    ImportError
        Tensors asked for, and torch is not installed.
    """
    return {name: _to_array(name, rows, kind) for name, rows in columns.items()}


def _to_array(name: str, rows: Any, kind: str) -> Any:
    lengths = {len(row) for row in rows if isinstance(row, (list, tuple))}
    if len(lengths) > 1:
        remedy = (
            "pass padding=True (and truncation=True)"
            if name in PADDING_VALUES or name == "input_ids"
            else "leave out return_tensors, or use return_overflowing_tokens='windows'"
            if name == "overflowing_tokens"
            else "leave out return_tensors"
        )
        raise ValueError(
            f"the rows of {name} have lengths from {min(lengths)} to {max(lengths)}, and an array "
            f"needs rows of one length; {remedy}"
        )
    array = np.array(rows, dtype=np.int64)
    if kind == "np":
        return array
    try:
        import torch
    except ImportError:
        raise ImportError("return_tensors='pt' needs torch; install it or use 'np'") from None
    return torch.from_numpy(array)
