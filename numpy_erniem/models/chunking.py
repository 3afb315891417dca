"""A large batch in chunks of a few texts.

Texts do not attend to each other, so a chunk has the results that it would have in the whole
batch, but for the last bits, which in C depend on the number of rows. The activations of a chunk
stay in the third-level cache, and memory grows with the batch by the size of the result alone.
A packed batch is cut between texts, and keeps its bits.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from numpy_erniem.config import ErnieMConfig
from numpy_erniem.encoder import Encoded, Inputs, encode
from numpy_erniem.layers import AttentionOptions
from numpy_erniem.packed import longest_text

# Numbers between the two linear maps of a feed-forward layer: 12 MB, 1,024 tokens of the base
# model.
CHUNK_SIZE = 3 << 20


def encode_chunked(inputs: Inputs, w: Mapping[str, Any], config: ErnieMConfig) -> Encoded:
    """`encode`, chunk by chunk; the whole batch at once if something of each layer is kept.

    Parameters
    ----------
    inputs : Inputs
        Of B texts, from `prepare_inputs`.
    w : dict
        Weights of the encoder.
    config : ErnieMConfig

    Returns
    -------
    Encoded
        Of all B texts.
    """
    B, T = (inputs.inputs_embeds if inputs.input_ids is None else inputs.input_ids).shape[:2]
    longest = longest_text(inputs.starts, T)
    most = max(1, CHUNK_SIZE // (config.intermediate_size * longest))  # such texts of a chunk
    layers = inputs.attention
    kept = inputs.keep_hidden_states or any(
        o.keep_probabilities or o.keep_key_value for o in layers
    )
    if B * T <= most * longest or kept or inputs.keep_hidden_states:
        return encode(inputs, w, config)
    if inputs.starts is not None:
        return _encode_packed(inputs, inputs.starts, w, config, most * longest)
    size = math.ceil(B / math.ceil(B / most))  # so that the last chunk is about as large
    starts = range(0, B, size)
    chunks = [encode(select_texts(inputs, slice(n, n + size)), w, config) for n in starts]
    pooled = None if chunks[0].pooled is None else np.concatenate([c.pooled for c in chunks])
    return Encoded(np.concatenate([c.last_hidden_state for c in chunks]), pooled)  # (B, T, D)


def _encode_packed(
    inputs: Inputs, starts: np.ndarray, w: Mapping[str, Any], config: ErnieMConfig, tokens: int
) -> Encoded:
    """`encode` of a packed batch, in chunks of whole texts with at most `tokens` together.

    It is at least the length of the longest text.
    """
    chunks, first = [], 0
    while first + 1 < len(starts):
        end = int(np.searchsorted(starts, starts[first] + tokens, "right")) - 1
        chunks.append(encode(select_packed(inputs, starts[first : end + 1]), w, config))
        first = end
    pooled = None if chunks[0].pooled is None else np.concatenate([c.pooled for c in chunks])
    return Encoded(np.concatenate([c.last_hidden_state for c in chunks], axis=1), pooled)


def select_packed(inputs: Inputs, starts: np.ndarray) -> Inputs:
    """The checked inputs of some texts of a packed batch alone, neighbours with these starts."""
    tokens, own = slice(starts[0], starts[-1]), starts - starts[0]
    longest = longest_text(own, 0)

    def columns(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else array[:, tokens]

    def masks(array: np.ndarray | None) -> np.ndarray | None:
        if array is None or array.shape[2] == 1:  # one row for all queries
            return None if array is None else array[..., tokens]
        return array[:, :, tokens, :longest]

    return replace(
        inputs,
        input_ids=columns(inputs.input_ids),
        inputs_embeds=columns(inputs.inputs_embeds),
        position_ids=inputs.position_ids[:, tokens],
        starts=own,
        attention=[
            options._replace(
                mask=masks(options.mask),
                key_bias=columns(options.key_bias),
                starts=own,
            )
            for options in inputs.attention
        ],
    )


def select_texts(inputs: Inputs, texts: slice) -> Inputs:
    """The checked inputs of these texts of a batch alone."""
    return replace(
        inputs,
        input_ids=_rows(inputs.input_ids, texts),
        inputs_embeds=_rows(inputs.inputs_embeds, texts),
        position_ids=_rows(inputs.position_ids, texts),
        attention=[_options_of(options, texts) for options in inputs.attention],
    )


def _options_of(options: AttentionOptions, texts: slice) -> AttentionOptions:
    past = None if options.past is None else tuple(array[texts] for array in options.past)
    mask, head_mask = _rows(options.mask, texts), _rows(options.head_mask, texts)
    key_bias = _rows(options.key_bias, texts)
    return options._replace(mask=mask, head_mask=head_mask, past=past, key_bias=key_bias)


def _rows(array: np.ndarray | None, texts: slice) -> np.ndarray | None:
    """These texts' rows of a (B or 1, ...) array; a single row is for all texts."""
    return array if array is None or len(array) == 1 else array[texts]
