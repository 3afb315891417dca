"""A large batch in parts, a few texts at a time.

Texts do not see each other, so a part's results are those it would have in the whole batch, but
for the last bits, which in C depend on the number of rows. What lies between two layers stays in
the third-level cache, and memory grows with the batch by no more than the result.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from numpy_erniem.config import ErnieMConfig
from numpy_erniem.encoder import Encoded, Inputs, encode
from numpy_erniem.layers import AttentionOptions

WIDEST = 3 << 20  # numbers between two feed-forward maps: 12 MB, 1,024 tokens of the base model


def encode_chunked(inputs: Inputs, w: Mapping[str, Any], config: ErnieMConfig) -> Encoded:
    """`encode`, part by part; in one part where something of each layer is kept."""
    B, T = (inputs.inputs_embeds if inputs.input_ids is None else inputs.input_ids).shape[:2]
    most = max(1, WIDEST // (config.intermediate_size * T))  # texts of a part
    kept = inputs.keep_key_values or inputs.keep_hidden_states or inputs.keep_attentions
    if B <= most or kept:
        return encode(inputs, w, config)
    size = math.ceil(B / math.ceil(B / most))  # so that the last part is about as large
    starts = range(0, B, size)
    parts = [encode(_only(inputs, slice(n, n + size)), w, config) for n in starts]
    pooled = None if parts[0].pooled is None else np.concatenate([p.pooled for p in parts])
    return Encoded(np.concatenate([p.last_hidden_state for p in parts]), pooled)  # (B, T, D)


def _only(inputs: Inputs, texts: slice) -> Inputs:
    """The inputs of these texts alone."""
    return replace(
        inputs,
        input_ids=_rows(inputs.input_ids, texts),
        inputs_embeds=_rows(inputs.inputs_embeds, texts),
        position_ids=_rows(inputs.position_ids, texts),
        attention=[_rows_of(options, texts) for options in inputs.attention],
    )


def _rows_of(options: AttentionOptions, texts: slice) -> AttentionOptions:
    past = None if options.past is None else tuple(array[texts] for array in options.past)
    mask, head_mask = _rows(options.mask, texts), _rows(options.head_mask, texts)
    return options._replace(mask=mask, head_mask=head_mask, past=past)


def _rows(array: np.ndarray | None, texts: slice) -> np.ndarray | None:
    """Their rows of a (B or 1, ...) array; one row is for all texts."""
    return array if array is None or len(array) == 1 else array[texts]
