"""The layers of ERNIE-M: functions over the part of the weight dict that the layer owns.

Shapes: B batch, T tokens, S keys (past + T), D hidden, H heads, d = D/H, F feed-forward.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from numpy_erniem.config import ErnieMConfig
from numpy_erniem.ops import add_norm, attention, embed, linear, linears

Weights = Mapping[str, Any]
KeyValue = tuple[np.ndarray, np.ndarray]  # each (B, H, S, d)

FIRST_POSITION = 2  # position 0 stands in row 2 of the position table, as in PaddleNLP


class AttentionOptions(NamedTuple):
    """How the tokens of one layer may attend to each other.

    mask is a bool mask and head_mask a factor, both broadcasting to (B, H, T, S); past holds
    the keys and values of earlier tokens, (B, H, S - T, d) each.
    """

    mask: np.ndarray | None = None
    head_mask: np.ndarray | None = None
    past: KeyValue | None = None
    keep_probabilities: bool = False


def embeddings(
    input_ids: np.ndarray | None,
    position_ids: np.ndarray,
    w: Weights,
    config: ErnieMConfig,
    inputs_embeds: np.ndarray | None = None,
) -> np.ndarray:
    """Word row + position row, normed: (B, T) ids, or (B, T, D) vectors -> (B, T, D)."""
    rows = position_ids + FIRST_POSITION  # (B or 1, T)
    if inputs_embeds is None:
        return embed(input_ids, rows, w, config.layer_norm_eps)
    places = w["position_embeddings"]["weight"][rows]  # (B or 1, T, D)
    return add_norm(inputs_embeds, places, w["layer_norm"], config.layer_norm_eps)


def split_heads(x: np.ndarray, d: int) -> np.ndarray:
    """(B, T, H·d) -> (B, H, T, d), a view."""
    return x.reshape(*x.shape[:2], -1, d).swapaxes(1, 2)


def self_attention(
    x: np.ndarray, w: Weights, config: ErnieMConfig, options: AttentionOptions
) -> tuple[np.ndarray, np.ndarray | None, KeyValue]:
    """Every token collects from the tokens it may see: (B, T, D) -> (B, T, D).

    Also returns the probabilities (B, H, T, S), or None, and the keys and values (B, H, S, d).
    """
    B, T, _ = x.shape
    inner, d = w["self_attn"], config.head_dim
    projections = linears(x, [inner["q_proj"], inner["k_proj"], inner["v_proj"]])
    q, k, v = (split_heads(y, d) for y in projections)  # (B, T, D) -> (B, H, T, d)
    if options.past is not None:
        k = np.concatenate([options.past[0], k], axis=2)  # (B, H, S, d)
        v = np.concatenate([options.past[1], v], axis=2)
    context, probabilities = attention(
        q,
        k,
        v,
        mask=options.mask,
        head_mask=options.head_mask,
        keep_probabilities=options.keep_probabilities,
        **distance_vectors(T, k.shape[2], inner, config),
    )
    context = context.reshape(B, T, -1)  # (B, T, H, d) -> (B, T, H·d)
    return linear(context, w["out_proj"]), probabilities, (k, v)


def distance_vectors(T: int, S: int, w: Weights, config: ErnieMConfig) -> dict[str, np.ndarray]:
    """The rows of the distance table that T queries, the last of S keys, can meet: (T+S-1, d)."""
    if config.position_embedding_type == "absolute":
        return {}
    zero = config.max_position_embeddings - 1  # the row of distance 0
    rows = w["distance_embedding"]["weight"][zero - T + 1 : zero + S]
    if config.position_embedding_type == "relative_key":
        return {"query_distance": rows}
    return {"query_distance": rows, "key_distance": rows}


def feed_forward(x: np.ndarray, w: Weights, config: ErnieMConfig) -> np.ndarray:
    """Two linear maps with an activation between them, token by token."""
    wide = linear(x, w["linear1"], config.hidden_act)  # (B, T, D) -> (B, T, F)
    return linear(wide, w["linear2"])  # (B, T, F) -> (B, T, D)


def encoder_layer(
    x: np.ndarray, w: Weights, config: ErnieMConfig, options: AttentionOptions
) -> tuple[np.ndarray, np.ndarray | None, KeyValue]:
    """Attention, then feed-forward, each added to its input and normed: (B, T, D) -> (B, T, D).

    Also returns the probabilities (B, H, T, S), or None, and the keys and values (B, H, S, d).
    """
    eps = config.layer_norm_eps
    attended, probabilities, key_value = self_attention(x, w["self_attn"], config, options)
    x = add_norm(attended, x, w["norm1"], eps)
    x = add_norm(feed_forward(x, w, config), x, w["norm2"], eps)
    return x, probabilities, key_value


def pooler(x: np.ndarray, w: Weights) -> np.ndarray:
    """tanh of a linear map of the first token, [CLS]: (B, T, D) -> (B, D)."""
    return linear(x[:, 0], w["dense"], "tanh")
