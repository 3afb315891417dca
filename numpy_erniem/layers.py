"""The layers of ERNIE-M: functions over the part of the weight dict that the layer owns.

The letters of shapes are explained in `config`. A linear map (N, M) is a dict with "weight"
(N, M) and "bias" (N,); a layer norm is a dict with "weight" and "bias", both (D,).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from numpy_erniem.config import ErnieMConfig
from numpy_erniem.ops import Norm, attention, embed, layer_norm, linear, linears, mlp
from numpy_erniem.packed import longest_text

Weights = Mapping[str, Any]
KeyValue = tuple[np.ndarray, np.ndarray]  # each (B, H, S, d)

FIRST_POSITION = 2  # position 0 is row 2 of the position table, as in PaddleNLP


class AttentionOptions(NamedTuple):
    """How the tokens of one layer may attend to each other.

    Attributes
    ----------
    mask : bool array that broadcasts to (B, H, T, S), or None
        True: the query may attend to the key. None: every query may attend to every key.
    head_mask : array that broadcasts to (B, H, T, S), or None
        Factors of the attention probabilities.
    past : two (B, H, P, d) arrays, or None
        Keys and values of earlier tokens.
    keep_probabilities : bool
        Whether the layer returns its attention probabilities.
    starts : (n + 1,) integer array, or None
        Of a packed batch: where each text starts, then the number of tokens. A token attends to
        its own text alone.
    key_bias : (B or 1, S) array, or None
        Added to the scores of each key.
    keep_key_value : bool
        Whether the layer returns its keys and values.
    """

    mask: np.ndarray | None = None
    head_mask: np.ndarray | None = None
    past: KeyValue | None = None
    keep_probabilities: bool = False
    starts: np.ndarray | None = None
    key_bias: np.ndarray | None = None
    keep_key_value: bool = False


def embeddings(
    input_ids: np.ndarray | None,
    position_ids: np.ndarray,
    w: Weights,
    config: ErnieMConfig,
    inputs_embeds: np.ndarray | None = None,
) -> np.ndarray:
    """Layer norm of token row + position row.

    Parameters
    ----------
    input_ids : (B, T) integer array, or None where inputs_embeds is given
    position_ids : (B, T) or (1, T) integer array
        From 0.
    w : dict
        "word_embeddings" {"weight": (V, D)}, "position_embeddings" {"weight": (R, D)} and
        "layer_norm".
    config : ErnieMConfig
    inputs_embeds : (B, T, D) array, optional
        In place of token rows.

    Returns
    -------
    (B, T, D) array
    """
    rows = position_ids + FIRST_POSITION  # (B or 1, T)
    if inputs_embeds is None:
        return embed(input_ids, rows, w, config.layer_norm_eps)
    positions = w["position_embeddings"]["weight"][rows]  # (B or 1, T, D)
    return layer_norm(inputs_embeds + positions, w["layer_norm"], config.layer_norm_eps)


def split_heads(x: np.ndarray, d: int) -> np.ndarray:
    """(B, T, H·d) -> (B, H, T, d), a view."""
    return x.reshape(*x.shape[:2], -1, d).swapaxes(1, 2)


def self_attention(
    x: np.ndarray,
    w: Weights,
    config: ErnieMConfig,
    options: AttentionOptions,
    norm: Norm | None = None,
) -> tuple[np.ndarray, np.ndarray | None, KeyValue | None]:
    """Every token attends to the tokens that its mask allows.

    Parameters
    ----------
    x : (B, T, D) array
    w : dict
        "self_attn" with the linear maps "q_proj", "k_proj" and "v_proj" (D, D) and, with
        relative positions, "distance_embedding" {"weight": (2R - 1, d)};
        "out_proj", a linear map (D, D). Pruned heads have no rows in the first three and
        no columns in the last.
    config : ErnieMConfig
    options : AttentionOptions
    norm : (residual, w, eps), optional
        Of the layer norm that follows: the other arguments of `ops.add_norm`.

    Returns
    -------
    context : (B, T, D) array
    probabilities : (B, H, T, S) array, or None unless they are kept
    key_value : two (B, H, S, d) arrays, or None unless they are kept
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
        starts=options.starts,
        key_bias=options.key_bias,
        mask=options.mask,
        head_mask=options.head_mask,
        dtype=inner["q_proj"]["weight"].dtype,
        keep_probabilities=options.keep_probabilities,
        **distance_vectors(T, k.shape[2], options.starts, inner, config),
    )
    context = context.reshape(B, T, -1)  # (B, T, H, d) -> (B, T, H·d)
    y = linear(context, w["out_proj"], norm=norm)  # (B, T, H·d) -> (B, T, D)
    return y, probabilities, (k, v) if options.keep_key_value else None


def distance_vectors(
    T: int, S: int, starts: np.ndarray | None, w: Weights, config: ErnieMConfig
) -> dict[str, np.ndarray]:
    """The rows of the distance table that T queries, the last of S keys, can need.

    Parameters
    ----------
    T, S : int
    starts : (n + 1,) integer array, or None
        As of `AttentionOptions`: of a packed batch the longest text decides.
    w : dict
        "distance_embedding" {"weight": (2R - 1, d)}, unless positions are absolute.
    config : ErnieMConfig

    Returns
    -------
    dict of str to (T + S - 1, d) array
        Arguments of `ops.attention`: none, query_distance, or query_distance and key_distance.
    """
    if config.position_embedding_type == "absolute":
        return {}
    T, S = longest_text(starts, T), longest_text(starts, S)
    zero = config.max_position_embeddings - 1  # the row of distance 0
    rows = w["distance_embedding"]["weight"][zero - T + 1 : zero + S]
    if config.position_embedding_type == "relative_key":
        return {"query_distance": rows}
    return {"query_distance": rows, "key_distance": rows}


def feed_forward(
    x: np.ndarray, w: Weights, config: ErnieMConfig, norm: Norm | None = None
) -> np.ndarray:
    """Two linear maps with an activation between them, token by token.

    Parameters
    ----------
    x : (B, T, D) array
    w : dict
        "linear1", a linear map (F, D), and "linear2", (D, F).
    config : ErnieMConfig
        For hidden_act, the activation.
    norm : (residual, w, eps), optional
        As of `self_attention`.

    Returns
    -------
    (B, T, D) array
    """
    return mlp(x, w["linear1"], w["linear2"], config.hidden_act, norm)


def encoder_layer(
    x: np.ndarray, w: Weights, config: ErnieMConfig, options: AttentionOptions
) -> tuple[np.ndarray, np.ndarray | None, KeyValue | None]:
    """Attention, then feed-forward, each added to its input and normed.

    Parameters
    ----------
    x : (B, T, D) array
    w : dict
        "self_attn" (see `self_attention`), "linear1" and "linear2" (see `feed_forward`), and the
        layer norms "norm1" and "norm2".
    config : ErnieMConfig
    options : AttentionOptions

    Returns
    -------
    x : (B, T, D) array
    probabilities : (B, H, T, S) array, or None unless they are kept
    key_value : two (B, H, S, d) arrays, or None unless they are kept
    """
    eps = config.layer_norm_eps
    norm1, norm2 = w["norm1"], w["norm2"]
    attended = self_attention(x, w["self_attn"], config, options, norm=(x, norm1, eps))
    x, probabilities, key_value = attended
    x = feed_forward(x, w, config, norm=(x, norm2, eps))
    return x, probabilities, key_value


def pooler(x: np.ndarray, w: Weights) -> np.ndarray:
    """tanh of a linear map of the first token, [CLS]: (B, T, D) -> (B, D).

    Parameters
    ----------
    x : (B, T, D) array
    w : dict
        "dense", a linear map (D, D).

    Returns
    -------
    (B, D) array
    """
    return linear(x[:, 0], w["dense"], "tanh")
