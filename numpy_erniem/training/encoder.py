"""encode(): the forward pass of `numpy_erniem.encoder` with its gradient.

Shapes: B batch, T tokens, D hidden.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from numpy_erniem.config import ErnieMConfig
from numpy_erniem.encoder import Inputs
from numpy_erniem.layers import AttentionOptions
from numpy_erniem.models.chunking import select_packed, select_texts
from numpy_erniem.training.gradient_tree import Gradients, total
from numpy_erniem.training.gradients import Backward, dropout
from numpy_erniem.training.layers import Random, Weights, embeddings, encoder_layer
from numpy_erniem.training.threads import cut, in_threads


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
        The texts are divided into so many parts; each is computed by its own thread.

    Returns
    -------
    x : (B, T, D) array
    backward : from dx (B, T, D) to {"embeddings": ..., "encoder": ...}

    Raises
    ------
    ValueError
        A bias of keys.
    """
    if any(o.key_bias is not None for o in inputs.attention):
        raise ValueError("training takes no key_bias; give the texts themselves")
    parts, texts = [], _parts(inputs, threads)
    for part, _ in texts:
        seeds = None if rng is None else rng.integers(1 << 62, size=len(inputs.attention) + 1)
        parts.append((part, seeds))
    done = in_threads(lambda part: _encode(*part, w, config, gradient_checkpointing), parts)
    if len(done) == 1:
        return done[0]

    def backward(dx: np.ndarray) -> Gradients:
        pieces = [(back, dx[at]) for (_, back), (_, at) in zip(done, texts, strict=True)]
        return total(in_threads(lambda piece: piece[0](piece[1]), pieces))

    return np.concatenate([x for x, _ in done], axis=0 if inputs.starts is None else 1), backward


def _parts(inputs: Inputs, count: int) -> list[tuple[Inputs, Any]]:
    """The texts in at most so many parts: the inputs of each, and its place in (B, T, D)."""
    starts = inputs.starts
    if starts is None:
        B = len(inputs.input_ids if inputs.inputs_embeds is None else inputs.inputs_embeds)
        return [(select_texts(inputs, rows), rows) for rows in cut(B, count)]
    # The borders of texts that are next to those of equal numbers of tokens.
    edges = np.unique(np.searchsorted(starts, np.linspace(0, starts[-1], max(1, count) + 1)))
    return [
        (select_packed(inputs, starts[a : b + 1]), np.s_[:, starts[a] : starts[b]])
        for a, b in pairwise(edges)
    ]


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


def _generator(seed: int | None) -> Random:
    return None if seed is None else np.random.default_rng(seed)
