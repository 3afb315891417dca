"""A large batch in chunks of a few texts.

Texts do not attend to each other, so a chunk has the results that it would have in the whole
batch, but for the last bits, which in C depend on the number of rows. The activations of a chunk
stay in the third-level cache, and memory grows with the batch by the size of the result alone.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from numpy_erniem.config import ErnieMConfig
from numpy_erniem.encoder import Encoded, Inputs, encode
from numpy_erniem.layers import AttentionOptions

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
    most = max(1, CHUNK_SIZE // (config.intermediate_size * T))  # texts of a chunk
    kept = inputs.keep_key_values or inputs.keep_hidden_states or inputs.keep_attentions
    if B <= most or kept:
        return encode(inputs, w, config)
    size = math.ceil(B / math.ceil(B / most))  # so that the last chunk is about as large
    starts = range(0, B, size)
    chunks = [encode(select_texts(inputs, slice(n, n + size)), w, config) for n in starts]
    pooled = None if chunks[0].pooled is None else np.concatenate([c.pooled for c in chunks])
    return Encoded(np.concatenate([c.last_hidden_state for c in chunks]), pooled)  # (B, T, D)


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
    return options._replace(mask=mask, head_mask=head_mask, past=past)


def _rows(array: np.ndarray | None, texts: slice) -> np.ndarray | None:
    """These texts' rows of a (B or 1, ...) array; a single row is for all texts."""
    return array if array is None or len(array) == 1 else array[texts]
