"""The layers of `numpy_erniem.layers` with their gradients: the same primitives in the same order.

    y, backward = encoder_layer(x, w, config, options, rng)
    dx, dw = backward(dy)

With a generator `rng` there is dropout, at the rates of the config; with None there is none, as in
inference. Shapes: B batch, T tokens, D hidden, H heads, d = D/H, F feed-forward.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from numpy_erniem.config import ErnieMConfig
from numpy_erniem.encoder import Inputs
from numpy_erniem.layers import FIRST_POSITION, AttentionOptions, distance_vectors, split_heads
from numpy_erniem.training.gradient_tree import Gradients, total
from numpy_erniem.training.gradients import (
    Backward,
    add_norm,
    attention,
    dropout,
    embed,
    embedding_gradient,
    linear,
)
from numpy_erniem.training.threads import cut, in_threads

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
    y, norm_back = add_norm(inputs.inputs_embeds, table[rows], w["layer_norm"], eps)

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
    backward : from dy (B, T, D) to dx (B, T, D) and the gradients of w
    """
    B, T, _ = x.shape
    inner, d = w["self_attn"], config.head_dim
    flat, backs = zip(*(linear(x, inner[f"{n}_proj"]) for n in "qkv"), strict=True)
    q, k, v = (split_heads(y, d) for y in flat)  # (B, T, D) -> (B, H, T, d)
    distances = distance_vectors(T, T, inner, config)
    context, attention_back = attention(
        q,
        k,
        v,
        mask=options.mask,
        head_mask=options.head_mask,
        dropout_rate=config.attention_probs_dropout_prob,
        rng=rng,
        **distances,
    )
    y, out_back = linear(context.reshape(B, T, -1), w["out_proj"])  # (B, T, H, d) -> (B, T, D)

    def backward(dy: np.ndarray) -> tuple[np.ndarray, Gradients]:
        dcontext, dout = out_back(dy)
        *dheads, ddistances = attention_back(dcontext.reshape(context.shape))
        dx, dinner = None, {}
        for n, back, dhead in zip("qkv", backs, dheads, strict=True):
            joined = dhead.swapaxes(1, 2).reshape(B, T, -1)  # (B, H, T, d) -> (B, T, H·d)
            part, dinner[f"{n}_proj"] = back(joined)
            dx = part if dx is None else np.add(dx, part, out=dx)
        if ddistances:
            dtable = np.zeros_like(inner["distance_embedding"]["weight"])
            zero = config.max_position_embeddings - 1  # the row of distance 0
            dtable[zero - T + 1 : zero + T] = sum(ddistances.values())
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
    backward : from dy (B, T, D) to dx (B, T, D) and the gradients of w
    """
    wide, wide_back = linear(x, w["linear1"], config.hidden_act)  # (B, T, D) -> (B, T, F)
    wide, act_back = dropout(wide, config.act_dropout, rng)
    y, narrow_back = linear(wide, w["linear2"])  # (B, T, F) -> (B, T, D)

    def backward(dy: np.ndarray) -> tuple[np.ndarray, Gradients]:
        dwide, dlinear2 = narrow_back(dy)
        dx, dlinear1 = wide_back(act_back(dwide))
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
        through, dfeed = fed_back(drop2_back(dmiddle))
        dx, dnorm1 = norm1_back(dmiddle + through)
        through, dattention = attended_back(drop1_back(dx))
        return dx + through, {"self_attn": dattention, "norm1": dnorm1, **dfeed, "norm2": dnorm2}

    return y, backward


def checkpointed_layer(
    x: np.ndarray, w: Weights, config: ErnieMConfig, options: AttentionOptions, seed: int | None
) -> tuple[np.ndarray, Backward]:
    """`encoder_layer` with gradient checkpointing: it keeps x alone, and runs again for dx.

    Parameters
    ----------
    x : (B, T, D) array
    w, config, options
        As of `encoder_layer`.
    seed : int or None
        Both runs make a generator from it, so both drop the same elements; None: no dropout.

    Returns
    -------
    y : (B, T, D) array
    backward : from dy (B, T, D) to dx (B, T, D) and the gradients of w

    References
    ----------
    Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174.
    """

    def backward(dy: np.ndarray) -> tuple[np.ndarray, Gradients]:
        return encoder_layer(x, w, config, options, _generator(seed))[1](dy)

    return encoder_layer(x, w, config, options, _generator(seed))[0], backward


def pooler(x: np.ndarray, w: Weights) -> tuple[np.ndarray, Backward]:
    """tanh of a linear map ("dense") of the first token, [CLS]: (B, T, D) -> (B, D)."""
    y, first_back = linear(x[:, 0], w["dense"], "tanh")

    def backward(dy: np.ndarray) -> tuple[np.ndarray, Gradients]:
        dx = np.zeros_like(x)
        dx[:, 0], ddense = first_back(dy)
        return dx, {"dense": ddense}

    return y, backward


def encode(
    inputs: Inputs,
    w: Weights,
    config: ErnieMConfig,
    rng: Random = None,
    *,
    gradient_checkpointing: bool = False,
    threads: int = 1,
) -> tuple[np.ndarray, Backward]:
    """The forward pass of `numpy_erniem.encoder` without its pooler: (B, T) ids -> (B, T, D).

    Parameters
    ----------
    inputs : Inputs
        From `prepare_inputs`, without a past.
    w : dict
        "embeddings" and "encoder".
    config : ErnieMConfig
    rng : Generator, optional
        For dropout; each layer gets a generator of its own, seeded from it. None: no dropout.
    gradient_checkpointing : bool
        Keep only the input of each layer, and run the layer again in the backward pass: less
        memory, about a third more work.
    threads : int
        The batch is divided into so many parts; each is computed by its own thread.

    Returns
    -------
    x : (B, T, D) array
    backward : from dx (B, T, D) to {"embeddings": ..., "encoder": ...}
    """
    B = len(inputs.input_ids if inputs.inputs_embeds is None else inputs.inputs_embeds)
    parts = []
    for rows in cut(B, threads):
        seeds = None if rng is None else rng.integers(1 << 62, size=len(inputs.attention) + 1)
        parts.append((_rows(inputs, rows), seeds))
    done = in_threads(lambda part: _encode(*part, w, config, gradient_checkpointing), parts)
    if len(done) == 1:
        return done[0]

    def backward(dx: np.ndarray) -> Gradients:
        pieces = [(back, dx[rows]) for (_, back), rows in zip(done, cut(B, threads), strict=True)]
        return total(in_threads(lambda piece: piece[0](piece[1]), pieces))

    return np.concatenate([x for x, _ in done]), backward


def _encode(
    inputs: Inputs,
    seeds: np.ndarray | None,
    w: Weights,
    config: ErnieMConfig,
    gradient_checkpointing: bool,
) -> tuple[np.ndarray, Backward]:
    seeds = [None] * (len(inputs.attention) + 1) if seeds is None else seeds
    x, embedded_back = embeddings(inputs, w["embeddings"], config)
    x, drop_back = dropout(x, config.hidden_dropout_prob, _generator(seeds[-1]))
    backs: list[Backward] = []
    for n, layer in enumerate(w["encoder"]["layers"]):
        options = inputs.attention[n]
        if gradient_checkpointing:
            x, back = checkpointed_layer(x, layer, config, options, seeds[n])
        else:
            x, back = encoder_layer(x, layer, config, options, _generator(seeds[n]))
        backs.append(back)

    def backward(dx: np.ndarray) -> Gradients:
        layers: list[Gradients] = []
        while backs:  # pop() frees the arrays that a layer saved, as soon as it is done
            dx, dlayer = backs.pop()(dx)
            layers.insert(0, dlayer)
        return {"embeddings": embedded_back(drop_back(dx)), "encoder": {"layers": layers}}

    return x, backward


def _generator(seed: int | None) -> Random:
    return None if seed is None else np.random.default_rng(seed)


def _rows(inputs: Inputs, rows: slice) -> Inputs:
    """The checked inputs of these rows of the batch."""

    def part(array: np.ndarray | None) -> np.ndarray | None:
        return array if array is None or len(array) == 1 else array[rows]

    attention = [
        options._replace(mask=part(options.mask), head_mask=part(options.head_mask))
        for options in inputs.attention
    ]
    return replace(
        inputs,
        input_ids=None if inputs.input_ids is None else inputs.input_ids[rows],
        inputs_embeds=None if inputs.inputs_embeds is None else inputs.inputs_embeds[rows],
        position_ids=part(inputs.position_ids),
        attention=attention,
    )
