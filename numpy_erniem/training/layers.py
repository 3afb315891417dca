"""The layers of `numpy_erniem.layers` with their gradients: the same primitives in the same order.

    y, backward = encoder_layer(x, w, config, options, rng)
    dx, dw = backward(dy)

With a generator `rng` there is dropout, at the rates of the config; with None there is none, as in
inference. Shapes: B batch, T tokens, D hidden, H heads, d = D/H, F feed-forward.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numpy_erniem.config import ErnieMConfig
from numpy_erniem.encoder import Inputs
from numpy_erniem.layers import FIRST_POSITION, AttentionOptions, distance_vectors, split_heads
from numpy_erniem.packed import longest_text
from numpy_erniem.training.gradient_tree import Gradients
from numpy_erniem.training.gradients import (
    Backward,
    activated_linear,
    add_norm,
    attention,
    dropout,
    embed,
    embedding_gradient,
    linear,
)

Weights = Mapping[str, Any]
Random = np.random.Generator | None


def embeddings(inputs: Inputs, w: Weights, config: ErnieMConfig) -> tuple[np.ndarray, Backward]:
    """Layer norm of word row + position row: (B, T) ids, or (B, T, D) vectors -> (B, T, D).

    Parameters
    ----------
    inputs : Inputs
        input_ids or inputs_embeds, and position_ids.
    w : dict
        "word_embeddings", "position_embeddings", "layer_norm".
    config : ErnieMConfig

    Returns
    -------
    y : (B, T, D) array
    backward : from dy (B, T, D) to the gradients of w
    """
    rows, eps = inputs.position_ids + FIRST_POSITION, config.layer_norm_eps  # (B or 1, T)
    padding = config.pad_token_id
    if inputs.inputs_embeds is None:
        return embed(inputs.input_ids, rows, w, eps, padding)
    table = w["position_embeddings"]["weight"]
    y, norm_back = add_norm(inputs.inputs_embeds + table[rows], None, w["layer_norm"], eps)

    def backward(dy: np.ndarray) -> Gradients:
        dv, dnorm = norm_back(dy)
        drows = {"weight": embedding_gradient(rows, dv, table.shape, padding)}
        return {"position_embeddings": drows, "layer_norm": dnorm}

    return y, backward


def self_attention(
    x: np.ndarray, w: Weights, config: ErnieMConfig, options: AttentionOptions, rng: Random
) -> tuple[np.ndarray, Backward]:
    """Self-attention: each token reads the tokens that it may attend to.

    Parameters
    ----------
    x : (B, T, D) array
    w : dict
        "self_attn" with "q_proj", "k_proj", "v_proj" and, for relative positions,
        "distance_embedding"; "out_proj".
    config : ErnieMConfig
    options : AttentionOptions
        Without a past.
    rng : Generator or None
        For the dropout of the attention probabilities.

    Returns
    -------
    y : (B, T, D) array
    backward : from dy (B, T, D) and another gradient dx of x, to which this one is added in place,
        to dx (B, T, D) and the gradients of w
    """
    B, T, _ = x.shape
    inner, d = w["self_attn"], config.head_dim
    flat, backs = zip(*(linear(x, inner[f"{n}_proj"]) for n in "qkv"), strict=True)
    q, k, v = (split_heads(y, d) for y in flat)  # (B, T, D) -> (B, H, T, d)
    longest = longest_text(options.starts, T)
    distances = distance_vectors(T, T, options.starts, inner, config)
    context, attention_back = attention(
        q,
        k,
        v,
        starts=options.starts,
        mask=options.mask,
        head_mask=options.head_mask,
        dropout_rate=config.attention_probs_dropout_prob,
        rng=rng,
        **distances,
    )
    y, out_back = linear(context.reshape(B, T, -1), w["out_proj"])  # (B, T, H, d) -> (B, T, D)

    def backward(dy: np.ndarray, dx: np.ndarray) -> tuple[np.ndarray, Gradients]:
        dcontext, dout = out_back(dy)
        *dheads, ddistances = attention_back(dcontext.reshape(context.shape))
        dinner = {}
        for n, back, dhead in zip("qkv", backs, dheads, strict=True):
            joined = dhead.swapaxes(1, 2).reshape(B, T, -1)  # (B, H, T, d) -> (B, T, H·d)
            dx, dinner[f"{n}_proj"] = back(joined, dx)
        if ddistances:
            dtable = np.zeros_like(inner["distance_embedding"]["weight"])
            zero = config.max_position_embeddings - 1  # the row of distance 0
            dtable[zero - longest + 1 : zero + longest] = sum(ddistances.values())
            dinner["distance_embedding"] = {"weight": dtable}
        return dx, {"self_attn": dinner, "out_proj": dout}

    return y, backward


def feed_forward(
    x: np.ndarray, w: Weights, config: ErnieMConfig, rng: Random
) -> tuple[np.ndarray, Backward]:
    """Two linear maps with an activation between them.

    Parameters
    ----------
    x : (B, T, D) array
    w : dict
        "linear1" (F, D) and "linear2" (D, F).
    config : ErnieMConfig
    rng : Generator or None
        For the dropout after the activation.

    Returns
    -------
    y : (B, T, D) array
    backward : from dy (B, T, D) and another gradient dx of x, to which this one is added in place,
        to dx (B, T, D) and the gradients of w
    """
    z, wide_back = linear(x, w["linear1"])  # (B, T, D) -> (B, T, F)
    y, narrow_back = activated_linear(
        z, w["linear2"], config.hidden_act, config.act_dropout, rng
    )  # (B, T, F) -> (B, T, D)

    def backward(dy: np.ndarray, dx: np.ndarray) -> tuple[np.ndarray, Gradients]:
        dz, dlinear2 = narrow_back(dy)
        dx, dlinear1 = wide_back(dz, dx)
        return dx, {"linear1": dlinear1, "linear2": dlinear2}

    return y, backward


def encoder_layer(
    x: np.ndarray, w: Weights, config: ErnieMConfig, options: AttentionOptions, rng: Random
) -> tuple[np.ndarray, Backward]:
    """Self-attention, then feed-forward; each is added to its input, and the sum is normed.

    Parameters
    ----------
    x : (B, T, D) array
    w : dict
        "self_attn", "norm1", "linear1", "linear2", "norm2".
    config : ErnieMConfig
    options : AttentionOptions
        Without a past.
    rng : Generator or None
        For dropout.

    Returns
    -------
    y : (B, T, D) array
    backward : from dy (B, T, D) to dx (B, T, D) and the gradients of w
    """
    eps, rate = config.layer_norm_eps, config.hidden_dropout_prob
    attended, attended_back = self_attention(x, w["self_attn"], config, options, rng)
    attended, drop1_back = dropout(attended, rate, rng)
    middle, norm1_back = add_norm(attended, x, w["norm1"], eps)
    fed, fed_back = feed_forward(middle, w, config, rng)
    fed, drop2_back = dropout(fed, rate, rng)
    y, norm2_back = add_norm(fed, middle, w["norm2"], eps)

    def backward(dy: np.ndarray) -> tuple[np.ndarray, Gradients]:
        dmiddle, dnorm2 = norm2_back(dy)
        dmiddle, dfeed = fed_back(drop2_back(dmiddle), dmiddle)
        dx, dnorm1 = norm1_back(dmiddle)
        dx, dattention = attended_back(drop1_back(dx), dx)
        return dx, {"self_attn": dattention, "norm1": dnorm1, **dfeed, "norm2": dnorm2}

    return y, backward


def pooler(
    x: np.ndarray, w: Weights, starts: np.ndarray | None = None
) -> tuple[np.ndarray, Backward]:
    """tanh of a linear map of the first token of each text, [CLS].

    Parameters
    ----------
    x : (B, T, D) array
    w : dict
        "dense".
    starts : (n + 1,) integer array, optional
        Of a packed batch.

    Returns
    -------
    y : (B, D) array, (n, D) of a packed batch
    backward : from dy like y to dx (B, T, D) and the gradients of w
    """
    first = np.s_[:, 0] if starts is None else np.s_[0, starts[:-1]]
    y, first_back = linear(x[first], w["dense"], "tanh")

    def backward(dy: np.ndarray) -> tuple[np.ndarray, Gradients]:
        dx = np.zeros_like(x)
        dx[first], ddense = first_back(dy)
        return dx, {"dense": ddense}

    return y, backward
