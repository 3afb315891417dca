"""The axis of choices: several texts, of which one is right."""

from collections.abc import Mapping
from typing import Any

from numpy_erniem.checks import as_array

CHOICE_AXES = {
    "input_ids": ("batch", "choices", "tokens"),
    "inputs_embeds": ("batch", "choices", "tokens", "hidden_size"),
}


def fold_choices(
    arguments: Mapping[str, Any], *, packed: bool = False
) -> tuple[dict[str, Any], int]:
    """Make every choice a text of its own: (B, C, ...) -> (B·C, ...).

    Parameters
    ----------
    arguments : dict
        input_ids or inputs_embeds, attention_mask, position_ids and key_bias of a forward pass,
        with an axis of C choices after the batch. Other arguments are passed through.
    packed : bool
        Whether the texts are packed: then each is one choice, and nothing is folded.

    Returns
    -------
    arguments : dict
        With B·C texts; a mask, positions or a bias of two axes or less stay as they are.
    choices : int

    Raises
    ------
    ValueError
        An array without the axis of choices, or with another number of them.
    """
    folded, given = dict(arguments), [n for n in CHOICE_AXES if arguments.get(n) is not None]
    if packed or len(given) != 1:
        return folded, 1  # none or both: `prepare_inputs` raises the error
    (leader,) = given
    axes, value = CHOICE_AXES[leader], as_array(leader, arguments[leader], "if")
    if value.ndim != len(axes):
        raise ValueError(
            f"{leader} has shape {value.shape}, not ({', '.join(axes)}); n choices of one text "
            f"are (1, n, {', '.join(axes[2:])})"
        )
    B, C = value.shape[:2]
    for name in (leader, "attention_mask", "position_ids", "key_bias"):
        if arguments.get(name) is None:
            continue
        array = as_array(name, arguments[name], "bif")
        if array.ndim > 2:
            if array.shape[:2] not in ((B, C), (1, 1)):
                raise ValueError(f"{name} has shape {array.shape}, not ({B}, {C}, ...) as {leader}")
            array = array.reshape(-1, *array.shape[2:])  # (B, C, ...) -> (B·C, ...)
        folded[name] = array
    return folded, C
