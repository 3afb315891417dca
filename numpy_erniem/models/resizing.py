"""Changing the shape of a model: fewer attention heads, more or fewer tokens.

Functions from flat weights to new flat weights. No array is changed in place, so code that still
holds the old arrays sees no difference.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from numpy_erniem.backend.frozen import freeze
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.models.narrow_weights import SCALE, narrow_like
from numpy_erniem.models.schema import LM_BIAS, PREFIX, TOKEN_TABLE

Flat = dict[str, np.ndarray]


def _name_in(flat: Mapping[str, np.ndarray], name: str) -> str:
    """An encoder tensor's name as the model has it: with the prefix if there is a head."""
    return name if name in flat else PREFIX + name


def add_pruned_heads(config: ErnieMConfig, heads: Mapping[int, Iterable[int]]) -> ErnieMConfig:
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
    asked, config = copy.deepcopy(config), copy.deepcopy(config)
    asked.pruned_heads = heads
    asked.validate()  # negative layers get their numbers
    for n, more in asked.pruned_heads.items():
        config.pruned_heads[n] = [*config.pruned_heads.get(n, ()), *more]
    config.validate()
    return config


def remove_heads(flat: Flat, before: ErnieMConfig, after: ErnieMConfig) -> Flat:
    """Keep the heads that `after` has: rows of q, k and v, columns of out_proj.

    Parameters
    ----------
    flat : dict of str to array
        The weights.
    before, after : ErnieMConfig
        Their pruned_heads count heads as in the full model, also where some are gone already.

    Returns
    -------
    dict of str to array
        New arrays where a layer lost heads, the given ones elsewhere.
    """
    flat, d = dict(flat), before.head_dim
    for n in range(before.num_hidden_layers):
        gone = before.pruned_heads.get(n, ())
        here = [h for h in range(before.num_attention_heads) if h not in gone]
        kept = [i for i, h in enumerate(here) if h not in after.pruned_heads.get(n, ())]
        if len(kept) == len(here):
            continue
        rows = (np.array(kept)[:, None] * d + np.arange(d)).ravel()  # (heads, d) -> (heads·d,)
        attention = _name_in(flat, f"encoder.layers.{n}.self_attn.out_proj.weight")
        attention = attention.removesuffix("out_proj.weight")
        for part in ("q_proj", "k_proj", "v_proj"):
            for tensor in ("weight", "bias", f"weight{SCALE}"):
                name = f"{attention}self_attn.{part}.{tensor}"
                if name in flat:  # only an int8 weight has scales
                    flat[name] = freeze(flat[name][rows])  # (H·d, ...) -> (heads·d, ...)
        name = f"{attention}out_proj.weight"
        flat[name] = freeze(flat[name][:, rows])  # (D, H·d) -> (D, heads·d)
    return flat


def round_up(count: Any, multiple: Any) -> int:
    """The smallest multiple of `multiple` that is not below `count`.

    Raises
    ------
    ValueError
        One of them is not an integer of at least 1.
    """
    for name, value in (("new_num_tokens", count), ("pad_to_multiple_of", multiple)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} {value!r} is not an integer of at least 1")
    return -(-int(count) // int(multiple)) * int(multiple)


def resize_vocabulary(flat: Flat, count: int, config: ErnieMConfig, seed: int) -> Flat:
    """Keep the first `count` tokens, or add new ones at the end.

    Parameters
    ----------
    flat : dict of str to array
        The weights.
    count : int
        New size V of the vocabulary.
    config : ErnieMConfig
        New rows are normal with its initializer_range; their biases are 0.
    seed : int
        Of the new rows.

    Returns
    -------
    dict of str to array
        With a new token table and, in a masked-LM, a new bias.
    """
    flat = dict(flat)
    name = _name_in(flat, TOKEN_TABLE)
    table = _table(flat, name)
    old = table["weight"]
    more = max(0, count - len(old))
    rng = np.random.default_rng([seed, len(old)])  # other rows at every call
    drawn = rng.standard_normal((more, old.shape[1]), np.float32) * config.initializer_range
    for part, rows in narrow_like(table, drawn).items():
        key = name if part == "weight" else name + SCALE
        flat[key] = freeze(np.concatenate([table[part][:count], rows]))
    if LM_BIAS in flat:
        flat[LM_BIAS] = freeze(np.pad(flat[LM_BIAS][:count], (0, more)))
    return flat


def replace_token_table(flat: Flat, table: Any) -> Flat:
    """Put a copy of `table`, (V, D) floats, in place of the token table; the shape must be equal.

    Raises
    ------
    ValueError
        Another shape, or not floats.
    """
    name = _name_in(flat, TOKEN_TABLE)
    shape = flat[name].shape
    table = np.array(table)
    if table.shape != shape or table.dtype.kind != "f":
        raise ValueError(
            f"input embeddings are floats of shape {shape}, not {table.dtype} of {table.shape}; "
            "for another number of tokens call resize_token_embeddings first"
        )
    held = narrow_like(_table(flat, name), table)
    named = {name if part == "weight" else name + SCALE: rows for part, rows in held.items()}
    return flat | {key: freeze(rows) for key, rows in named.items()}


def _table(flat: Flat, name: str) -> dict[str, np.ndarray]:
    """The token table as `ops.embed` has it: "weight", and "scale" where that is int8."""
    scale = {"scale": flat[name + SCALE]} if name + SCALE in flat else {}
    return {"weight": flat[name], **scale}
