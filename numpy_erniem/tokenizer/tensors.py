"""Arrays and torch tensors made of the rows of a batch."""

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
    _check_one_length(name, rows)
    array = np.array(rows, dtype=np.int64)
    return array if kind == "np" else _torch().from_numpy(array)


def _check_one_length(name: str, rows: Any) -> None:
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


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise ImportError("return_tensors='pt' needs torch; install it or use 'np'") from None
    return torch


def as_tensors(columns: dict[str, Any], kind: Any, prepend: bool = False) -> dict[str, Any]:
    """Turn values into arrays ("np") or tensors ("pt"), of the dtype that the library chooses.

    Parameters
    ----------
    columns : dict
        Lists, numbers, arrays or tensors by name.
    kind : {"np", "pt"}
    prepend : bool
        Add an axis of one row in front.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        Another kind, rows that differ in length, or a value that is no number.
    """
    kind = getattr(kind, "value", kind)  # upstream has an enumeration
    if kind not in ("np", "pt"):
        raise ValueError(f"tensor_type={kind!r} is unknown; use None, 'np' or 'pt'")
    tensors = {}
    for name, value in columns.items():
        if isinstance(value, (list, tuple)):
            _check_one_length(name, value)
        try:
            tensor = _as_tensor(value, kind)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{name} cannot be an array: {error}") from None
        tensors[name] = tensor[None] if prepend else tensor
    return tensors


def _as_tensor(value: Any, kind: str) -> Any:
    if kind == "pt":
        torch = _torch()
        if torch.is_tensor(value):
            return value
        arrays = isinstance(value, (list, tuple)) and value and hasattr(value[0], "__array__")
        return torch.tensor(np.array(value) if arrays else value)
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{value!r:.60} is not made of numbers")
    return array


def move_tensors(columns: dict[str, Any], device: Any, non_blocking: bool) -> dict[str, Any]:
    """Move the torch tensors among values to a device.

    Parameters
    ----------
    columns : dict
    device : str, int or torch.device
    non_blocking : bool
        As of `torch.Tensor.to`.

    Returns
    -------
    dict
        The tensors, moved.

    Raises
    ------
    TypeError
        What is no device, such as a dtype: ids have to stay integers.
    ValueError
        A device for arrays or lists.
    """
    is_device = isinstance(device, (str, int)) or type(device).__name__ == "device"
    if not is_device or isinstance(device, bool):
        raise TypeError(f"to() takes a device, got {type(device).__name__} {device!r}")
    tensors = {n: v for n, v in columns.items() if type(v).__module__.partition(".")[0] == "torch"}
    if len(tensors) < len(columns) and str(device) != "cpu":
        raise ValueError(
            f"only torch tensors can be moved to {str(device)!r}, and this encoding holds "
            "arrays or lists; call the tokenizer with return_tensors='pt'"
        )
    return {n: v.to(device, non_blocking=non_blocking) for n, v in tensors.items()}
