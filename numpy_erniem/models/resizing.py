"""Changing the shape of a model: fewer attention heads, more or fewer words.

Flat weights in, new flat weights out: nothing is changed in place, so whoever still holds the old
arrays sees no difference.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from numpy_erniem.backend.frozen import freeze
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.models.weights import PREFIX, WORDS

LM_BIAS = "lm_head.bias"  # the only tensor but the embedding that has a row per word

Flat = dict[str, np.ndarray]


def name_in(flat: Mapping[str, np.ndarray], name: str) -> str:
    """An encoder tensor's name as the model has it: with the prefix if there is a head."""
    return name if name in flat else PREFIX + name


def also_pruned(config: ErnieMConfig, heads: Mapping[int, Iterable[int]]) -> ErnieMConfig:
    """A copy of the config with more pruned heads.

    Raises
    ------
    TypeError
        `heads` is not a dict.
    ValueError
        No such layer or head, or no head would be left.
    """
    if not isinstance(heads, Mapping) or not all(isinstance(h, Iterable) for h in heads.values()):
        raise TypeError(f"heads to prune are a dict of lists, like {{0: [1, 2]}}, not {heads!r}")
    config = copy.deepcopy(config)
    for n, more in heads.items():
        config.pruned_heads[n] = sorted({*config.pruned_heads.get(n, ()), *more})
    config.validate()
    return config


def without_heads(flat: Flat, before: ErnieMConfig, after: ErnieMConfig) -> Flat:
    """Weights of the heads that `after` keeps: rows of q, k, v and columns of out_proj.

    A head is counted as in the full model, also where others are gone already.
    """
    flat, d = dict(flat), before.head_dim
    for n in range(before.num_hidden_layers):
        gone = before.pruned_heads.get(n, ())
        here = [h for h in range(before.num_attention_heads) if h not in gone]
        kept = [i for i, h in enumerate(here) if h not in after.pruned_heads.get(n, ())]
        if len(kept) == len(here):
            continue
        rows = (np.array(kept)[:, None] * d + np.arange(d)).ravel()  # (heads, d) -> (heads·d,)
        attention = name_in(flat, f"encoder.layers.{n}.self_attn.out_proj.weight")
        attention = attention.removesuffix("out_proj.weight")
        for part in ("q_proj", "k_proj", "v_proj"):
            for tensor in ("weight", "bias"):
                name = f"{attention}self_attn.{part}.{tensor}"
                flat[name] = freeze(flat[name][rows])  # (H·d, ...) -> (heads·d, ...)
        name = f"{attention}out_proj.weight"
        flat[name] = freeze(flat[name][:, rows])  # (D, H·d) -> (D, heads·d)
    return flat


def rounded_up(count: Any, multiple: Any) -> int:
    """The next multiple of `multiple` from `count` up; ValueError where they are no counts."""
    for name, value in (("new_num_tokens", count), ("pad_to_multiple_of", multiple)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} {value!r} is not an integer of at least 1")
    return -(-int(count) // int(multiple)) * int(multiple)


def with_words(flat: Flat, count: int, config: ErnieMConfig, seed: int) -> Flat:
    """The first `count` words; new ones are normal with initializer_range, their biases 0."""
    flat = dict(flat)
    name = name_in(flat, WORDS)
    old = flat[name]
    more = max(0, count - len(old))
    rng = np.random.default_rng([seed, len(old)])  # other rows at every call
    drawn = rng.standard_normal((more, old.shape[1]), np.float32) * config.initializer_range
    flat[name] = freeze(np.concatenate([old[:count], drawn.astype(old.dtype)]))
    if LM_BIAS in flat:
        flat[LM_BIAS] = freeze(np.pad(flat[LM_BIAS][:count], (0, more)))
    return flat


def with_table(flat: Flat, table: Any) -> Flat:
    """The word embedding replaced by a copy of `table`, which must have its shape."""
    name = name_in(flat, WORDS)
    shape, dtype = flat[name].shape, flat[name].dtype
    table = np.array(table)
    if table.shape != shape or table.dtype.kind != "f":
        raise ValueError(
            f"input embeddings are floats of shape {shape}, not {table.dtype} of {table.shape}; "
            "for another number of words call resize_token_embeddings first"
        )
    return {**flat, name: freeze(table.astype(dtype, copy=False))}
