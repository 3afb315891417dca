"""Padding: which token it is, and what follows from that for masks and positions."""

from typing import Any

import numpy as np

from numpy_erniem.config import ErnieMConfig


def check_pad_token(config: Any, tokenizer: Any) -> None:
    """Refuse a tokenizer that pads with another token than the model takes for padding.

    Parameters
    ----------
    config : ErnieMConfig, or what another model has in its place
    tokenizer : ErnieMTokenizer
        A pad_token_id that is None, or not there, agrees with every other.

    Raises
    ------
    ValueError
        They contradict each other; the message has both ids and the remedy.
    """
    model_pads, tokenizer_pads = (getattr(x, "pad_token_id", None) for x in (config, tokenizer))
    if None not in (model_pads, tokenizer_pads) and model_pads != tokenizer_pads:
        raise ValueError(
            f"the config says pad_token_id {model_pads}, the tokenizer pads with {tokenizer_pads}; "
            "correct pad_token_id in config.json if the tokenizer is right, which "
            "`erniem convert` does, or take both from the same checkpoint"
        )


def batch_mask(config: Any, input_ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The attention mask of a batch, with which each text has the numbers that it has alone.

    Parameters
    ----------
    config : ErnieMConfig, or what another model has in its place
        Its attention_mask_convention is followed: "paddle" hides [CLS], token 0.
    input_ids : (B, T) integer array
    mask : (B, T) or (B, T, T) bool or 0/1 array
        True, or 1, for tokens that may be attended to, padding not among them.

    Returns
    -------
    bool array like mask
    """
    mask = mask.astype(bool, copy=False)
    if getattr(config, "mask_convention", "padding") != "paddle":
        return mask
    shown = input_ids != config.hidden_token_id  # (B, T)
    return mask & (shown if mask.ndim == 2 else shown[:, None, :])


def default_positions(
    config: ErnieMConfig,
    input_ids: np.ndarray | None,
    T: int,
    P: int = 0,
    starts: np.ndarray | None = None,
) -> np.ndarray:
    """The positions of T tokens after P past ones, where none are given.

    Parameters
    ----------
    config : ErnieMConfig
        Its position_convention is followed. "sequential": P, P + 1, ... "skip_padding": the same,
        but padding is not counted and has position -1, which is row 1 of the position table.
    input_ids : (B, T) integer array, or None
        None, where token vectors are given: there is no padding to be seen.
    T, P : int
    starts : (n + 1,) int64 array, optional
        Of a packed batch, B = 1 and P = 0: positions begin again in each text.

    Returns
    -------
    (B or 1, T) int64 array

    References
    ----------
    `create_position_ids_from_input_ids` in transformers' XLM-RoBERTa.

    Examples
    --------
    >>> config = ErnieMConfig(position_convention="skip_padding")
    >>> default_positions(config, np.array([[1, 1, 0, 5, 1, 2]]), T=6)
    array([[-1, -1,  0,  1, -1,  2]])
    """
    # Where the text of each token starts: (T,) for packed texts.
    first = 0 if starts is None else np.repeat(starts[:-1], np.diff(starts))
    if config.position_convention == "skip_padding" and input_ids is not None:
        real = input_ids != config.pad_token_id  # (B, T)
        if not real.all():
            count = np.cumsum(real, axis=1)
            if starts is not None:
                count -= np.concatenate([[0], count[0]])[first]  # what is before the text
            return (P + count) * real - 1
    return (np.arange(P, P + T) - first)[None, :]
