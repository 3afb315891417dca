"""Padding: which token it is, and what follows from that for masks."""

from typing import Any


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
