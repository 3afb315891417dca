"""encode(): the forward pass of ERNIE-M on one screen.

    ids ─ embeddings ─ [ self-attention ─ add & norm ─ feed-forward ─ add & norm ] × L ─ pooler

Each function called here is in `layers`, each formula in `ops`. The letters of shapes are
explained in `config`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from numpy_erniem.config import ErnieMConfig
from numpy_erniem.layers import AttentionOptions, KeyValue, embeddings, encoder_layer, pooler


@dataclass
class Inputs:
    """Checked arguments of a forward pass. T tokens come after P past ones; S = P + T."""

    input_ids: np.ndarray | None  # (B, T) int64
    inputs_embeds: np.ndarray | None  # (B, T, D), where there are no ids
    position_ids: np.ndarray  # (B or 1, T) int64
    attention: list[AttentionOptions]  # per layer: masks, the past, and what the layer returns
    keep_hidden_states: bool = False
    starts: np.ndarray | None = None  # (n + 1,) int64, of a packed batch of n texts


@dataclass
class Encoded:
    """What the forward pass computed; the three lists stay empty unless they were asked for."""

    last_hidden_state: np.ndarray  # (B, T, D)
    pooled: np.ndarray | None  # (B, D); (n, D) of n packed texts
    hidden_states: list[np.ndarray] = field(default_factory=list)  # L + 1 times (B, T, D)
    attentions: list[np.ndarray] = field(default_factory=list)  # L times (B, H, T, S)
    key_values: list[KeyValue] = field(default_factory=list)  # L times two (B, H, S, d)


def encode(inputs: Inputs, w: Mapping[str, Any], config: ErnieMConfig) -> Encoded:
    """Turn token ids into one vector per token, and one per text.

    Parameters
    ----------
    inputs : Inputs
        Checked arguments, from `prepare_inputs`.
    w : dict
        "embeddings", "encoder" and, for the vector per text, "pooler".
    config : ErnieMConfig

    Returns
    -------
    Encoded

    References
    ----------
    Ouyang et al., "ERNIE-M", arXiv:2012.15674, section 3; `ErnieMModel.forward` in upstream.
    """
    x = embeddings(
        inputs.input_ids, inputs.position_ids, w["embeddings"], config, inputs.inputs_embeds
    )  # (B, T) -> (B, T, D)
    kept = _Kept(inputs)
    kept.add(x)
    for layer, options in zip(w["encoder"]["layers"], inputs.attention, strict=True):
        x, probabilities, key_value = encoder_layer(x, layer, config, options)  # (B, T, D)
        kept.add(x, probabilities, key_value)
    # Of a packed batch, the first token of each text: (1, N, D) -> (n, 1, D).
    texts = x if inputs.starts is None else x[0, inputs.starts[:-1], None]
    pooled = pooler(texts, w["pooler"]) if "pooler" in w else None  # (B, T, D) -> (B, D)
    return Encoded(x, pooled, kept.hidden_states, kept.attentions, kept.key_values)


class _Kept:
    """The lists of `Encoded`, filled layer by layer with what the inputs ask for."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.hidden_states: list[np.ndarray] = []
        self.attentions: list[np.ndarray] = []
        self.key_values: list[KeyValue] = []

    def add(
        self,
        hidden_state: np.ndarray,
        probabilities: np.ndarray | None = None,
        key_value: KeyValue | None = None,
    ) -> None:
        if self.inputs.keep_hidden_states:
            self.hidden_states.append(hidden_state)
        if probabilities is not None:
            self.attentions.append(probabilities)
        if key_value is not None:
            self.key_values.append(key_value)
