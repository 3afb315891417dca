"""What may enter a forward pass: defaults filled in, everything checked, errors that help."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numpy_erniem.checks import as_array
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.encoder import Inputs
from numpy_erniem.layers import AttentionOptions, KeyValue
from numpy_erniem.models.packed_batch import (
    checked_key_bias,
    checked_starts,
    refuse_for_packed,
)
from numpy_erniem.models.padding import default_positions
from numpy_erniem.packed import longest_text

PastKeyValues = Sequence[Sequence[ArrayLike]]  # L times key and value, each (B, H, P, d)

# The arguments of a forward pass that go to the encoder; the others are labels and return_dict.
ENCODER_ARGUMENTS = (
    "input_ids",
    "position_ids",
    "attention_mask",
    "head_mask",
    "inputs_embeds",
    "past_key_values",
    "use_cache",
    "output_hidden_states",
    "output_attentions",
    "starts",
    "key_bias",
)


def prepare_inputs(
    config: ErnieMConfig,
    dtype: np.dtype,
    input_ids: ArrayLike | None = None,
    position_ids: ArrayLike | None = None,
    attention_mask: ArrayLike | None = None,
    head_mask: ArrayLike | None = None,
    inputs_embeds: ArrayLike | None = None,
    past_key_values: PastKeyValues | None = None,
    use_cache: bool | None = None,
    output_hidden_states: bool | None = None,
    output_attentions: bool | None = None,
    starts: ArrayLike | None = None,
    key_bias: ArrayLike | None = None,
) -> Inputs:
    """Check the arguments of a forward pass and fill in what was left out.

    No argument is changed.

    Parameters
    ----------
    config : ErnieMConfig
        Sizes, limits, and the default of what to keep.
    dtype : {"float32", "float64"}
        Of the model.
    input_ids : (B, T) integers in 0..V-1, optional
    position_ids : (B, T), (1, T) or (T,) integers, optional
        Left out, they count up from P; see `models.padding.default_positions`.
    attention_mask : (B, S), (B, T, S) or (B, 1 or H, T, S) of int, bool or 0/1 float, optional
        1: may be attended to. Left out, tokens equal to config.hidden_token_id (padding) are
        masked; none with inputs_embeds, and none of the past. Of a packed batch (1, N), or
        (1, N, longest text): for each token the keys of its own text, filled up with anything.
    head_mask : (H,), (L, H) or (L, B or 1, H or 1, T or 1, S or 1), optional
        Factors of the attention probabilities.
    inputs_embeds : (B, T, D), optional
        Token vectors in place of input_ids.
    past_key_values : L times (key, value), each (B, H, P, d), optional
        Of P earlier tokens.
    use_cache, output_hidden_states, output_attentions : bool, optional
        What to keep; None is the config's default, but for use_cache and output_attentions of a
        packed batch, which has neither.
    starts : (n + 1,) integers, optional
        Where each text of a packed batch starts, then N: the other arguments are (1, N).
    key_bias : (B or 1, S) finite numbers, optional
        Added to the scores of each key.

    Returns
    -------
    Inputs

    Raises
    ------
    ValueError
        With the rule, the value and the remedy.
    """
    ids, vectors = _tokens(input_ids, inputs_embeds, config, dtype)
    B, T = (vectors if ids is None else ids).shape[:2]
    past = _past(past_key_values, B, config, dtype)
    P = 0 if past[:1] in ([], [None]) else past[0][0].shape[2]
    ends = checked_starts(starts, B, T)
    _check_length(P + longest_text(ends, T), config)
    if ends is not None:  # no default of the config asks for what a packed batch cannot have
        use_cache, output_attentions = bool(use_cache), bool(output_attentions)

    def flag(given: bool | None, name: str) -> bool:
        return bool(getattr(config, name) if given is None else given)

    keep_attentions = flag(output_attentions, "output_attentions")
    keep_key_values = flag(use_cache, "use_cache")
    longest = None if ends is None else longest_text(ends, T)
    mask = _attention_mask(attention_mask, ids, B, T, P, config, longest)
    factors = _head_masks(head_mask, config, dtype)
    if ends is not None:
        refuse_for_packed(past_key_values, keep_key_values, keep_attentions, factors)
    bias = checked_key_bias(key_bias, B, P + T, dtype)
    attention = [
        AttentionOptions(mask, factor, pair, keep_attentions, ends, bias, keep_key_values)
        for factor, pair in zip(factors, past, strict=True)
    ]
    return Inputs(
        input_ids=ids,
        inputs_embeds=vectors,
        position_ids=_positions(position_ids, ids, B, T, P, config, ends),
        attention=_without_pruned(attention, config),
        keep_hidden_states=flag(output_hidden_states, "output_hidden_states"),
        starts=ends,
    )


def _tokens(
    input_ids: Any, inputs_embeds: Any, config: ErnieMConfig, dtype: np.dtype
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The (B, T) ids or the (B, T, D) vectors, whichever was given."""
    if (input_ids is None) == (inputs_embeds is None):
        what = "neither is given" if input_ids is None else "both are given"
        raise ValueError(f"give input_ids or inputs_embeds, one of them; {what}")
    if inputs_embeds is not None:
        vectors = as_array("inputs_embeds", inputs_embeds, "fi").astype(dtype, copy=False)
        if vectors.ndim != 3 or vectors.shape[2] != config.hidden_size or not vectors.size:
            raise ValueError(
                f"inputs_embeds has shape {vectors.shape}, not (batch, tokens, "
                f"{config.hidden_size}) with at least one of each"
            )
        return None, vectors
    ids = as_array("input_ids", input_ids, "if")  # [] is an array of floats
    if ids.ndim != 2 or not ids.size:
        raise ValueError(
            f"input_ids has shape {ids.shape}, not (batch, tokens) with at least one of each; "
            "a single text of n tokens is (1, n)"
        )
    ids = as_array("input_ids", ids, "i").astype(np.int64, copy=False)
    _check_range("input_ids", ids, config.vocab_size, "vocab_size; is it this model's tokenizer?")
    return ids, None


def _check_range(name: str, values: np.ndarray, end: int, rule: str) -> None:
    if values.min() < 0 or values.max() >= end:
        where = tuple(int(i) for i in np.argwhere((values < 0) | (values >= end))[0])
        raise ValueError(f"{name}{list(where)} is {values[where]}, not in 0..{end - 1} ({rule})")


def _check_length(tokens: int, config: ErnieMConfig) -> None:
    if tokens > config.max_length:
        raise ValueError(
            f"{tokens} tokens are more than the {config.max_length} that this model takes "
            f"(max_position_embeddings - 2); shorten the text, or tokenize with truncation=True"
        )


def _positions(
    value: Any,
    ids: np.ndarray | None,
    B: int,
    T: int,
    P: int,
    config: ErnieMConfig,
    starts: np.ndarray | None,
) -> np.ndarray:
    """(B or 1, T) positions: the given ones, or those of the config's convention."""
    if value is None:
        return default_positions(config, ids, T, P, starts)
    positions = as_array("position_ids", value, "i").astype(np.int64, copy=False)
    if positions.shape == (T,):
        positions = positions[None, :]
    if positions.shape not in ((B, T), (1, T)):
        raise ValueError(f"position_ids has shape {positions.shape}, not ({B}, {T}) or (1, {T})")
    rule = "max_position_embeddings - 2"
    _check_range("position_ids", positions, config.max_length, rule)
    return positions


def _attention_mask(
    value: Any,
    ids: np.ndarray | None,
    B: int,
    T: int,
    P: int,
    config: ErnieMConfig,
    longest: int | None,
) -> np.ndarray | None:
    """Bool mask that broadcasts to (B, H, T, S), or None where nothing is masked.

    `longest` has the tokens of the longest text of a packed batch; None: it is not packed.
    """
    S, H = P + T, config.num_attention_heads
    if value is None:
        if ids is None or config.hidden_token_id is None:
            return None
        mask = ids != config.hidden_token_id
        if P:
            mask = np.concatenate([np.ones((B, P), bool), mask], axis=1)
    else:
        mask = as_array("attention_mask", value, "bif")
        allowed = ((B, S), (B, T, S), (B, 1, T, S), (B, H, T, S))
        if longest is not None:
            allowed = ((B, S), (B, T, longest))
        if mask.shape not in allowed:
            past = f", {P} past and {T} new tokens" if P else ", with starts" if longest else ""
            raise ValueError(
                f"attention_mask has shape {mask.shape}, not one of "
                f"{', '.join(map(str, dict.fromkeys(allowed)))} (batch {B}{past})"
            )
        if mask.dtype != bool:
            if not ((mask == 0) | (mask == 1)).all():
                raise ValueError(
                    "attention_mask must hold 1 for tokens that may be attended to and 0 for "
                    f"others; it holds other values between {mask.min()} and {mask.max()}"
                )
            mask = mask == 1
    if mask.all():
        return None
    shape = {2: (B, 1, 1, S), 3: (B, 1, *mask.shape[1:]), 4: mask.shape}[mask.ndim]
    return mask.reshape(shape)


def _head_masks(value: Any, config: ErnieMConfig, dtype: np.dtype) -> list[np.ndarray | None]:
    """One factor per layer that broadcasts to (B, H, T, S), from (H,), (L, H) or 5 axes."""
    L, H = config.num_hidden_layers, config.num_attention_heads
    if value is None:
        return [None] * L
    mask = as_array("head_mask", value, "bif").astype(dtype)
    if mask.shape == (H,):
        mask = np.broadcast_to(mask, (L, H))
    if mask.shape == (L, H):
        mask = mask[:, None, :, None, None]  # (L, H) -> (L, 1, H, 1, 1)
    if mask.ndim != 5 or len(mask) != L:
        raise ValueError(
            f"head_mask has shape {mask.shape}, not ({H},), ({L}, {H}) "
            f"or ({L}, batch or 1, {H} or 1, tokens or 1, keys or 1)"
        )
    return list(mask)


def _without_pruned(
    attention: list[AttentionOptions], config: ErnieMConfig
) -> list[AttentionOptions]:
    """The options with masks of the heads that each layer still has."""
    for n, heads in config.pruned_heads.items():
        mask, head_mask = attention[n].mask, attention[n].head_mask
        attention[n] = attention[n]._replace(
            mask=_without(mask, heads), head_mask=_without(head_mask, heads)
        )
    return attention


def _without(mask: np.ndarray | None, heads: list[int]) -> np.ndarray | None:
    """A mask (B or 1, H or 1, ...) without these heads, which a layer no longer has."""
    if mask is None or mask.shape[1] == 1:
        return mask
    return np.delete(mask, heads, axis=1)


def _past(
    value: Sequence | None, B: int, config: ErnieMConfig, dtype: np.dtype
) -> list[KeyValue | None]:
    """Keys and values of earlier tokens per layer, each (B, H, P, d)."""
    L, d = config.num_hidden_layers, config.head_dim
    if value is None:
        return [None] * L
    if len(value) != L:
        raise ValueError(f"past_key_values has {len(value)} layers, the model has {L}")
    past, length = [], None
    for n, pair in enumerate(value):
        heads = config.num_attention_heads - len(config.pruned_heads.get(n, ()))
        if len(pair) != 2:
            raise ValueError(f"past_key_values[{n}] has {len(pair)} arrays, not key and value")
        arrays = tuple(as_array(f"past_key_values[{n}]", a, "f").astype(dtype) for a in pair)
        for array in arrays:
            length = array.shape[2] if length is None and array.ndim == 4 else length
            if array.shape != (B, heads, length, d):
                raise ValueError(
                    f"past_key_values[{n}] has an array of shape {array.shape}, "
                    f"not ({B}, {heads}, {length or 'past tokens'}, {d})"
                )
        past.append(arrays)
    return past
