"""One pass of the encoder as the numbers that the page shows.

Letters of shapes are those of docs/design.md; W are the tokens that are shown, of T.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.config import ErnieMConfig
from numpy_erniem.layers import (
    FIRST_POSITION,
    AttentionOptions,
    feed_forward,
    self_attention,
    split_heads,
)
from numpy_erniem.ops import add_norm, linears
from numpy_erniem.pipelines.embed import Embedder
from numpy_erniem.pipelines.pooling import normalize_rows
from numpy_erniem.quantization.numbers import take_rows
from numpy_erniem.ranking import merge, top_scores

SHOWN, MOST_SHOWN = 32, 128  # tokens on the page
NEAREST = 5
TABLE_ROWS = 1 << 14  # rows of the word table that are scaled at a time

Record = dict[str, Any]


def make_record(
    embedder: Embedder, text: str, other: str | None, first: int, tokens: int
) -> Record:
    """Run the model on the texts, and keep what the page needs.

    Parameters
    ----------
    embedder : Embedder
        Its model and tokenizer are used, and its way of making sentence vectors.
    text : str
    other : str or None
    first, tokens : int
        As of `explain`.

    Returns
    -------
    dict
        Plain values, and arrays of float32.

    Raises
    ------
    ValueError
        A text has no tokens; `first` or `tokens` is out of range; the model's positions are
        relative.
    """
    model, tokenizer = embedder.model, embedder.tokenizer
    config = model.config
    if config.position_embedding_type != "absolute":
        raise ValueError(
            f"the page shows scores of absolute positions; this model's position_embedding_type is "
            f"{config.position_embedding_type!r}"
        )
    if not 2 <= tokens <= MOST_SHOWN:
        raise ValueError(f"tokens to show must be 2 to {MOST_SHOWN}, got {tokens}")
    row = _read(tokenizer, text, other, config.max_length)
    ids, side = np.array(row["ids"]), np.array(row["side"])
    shown = choose_shown(side, first, tokens)
    hidden = model(ids[None], output_hidden_states=True).hidden_states  # L + 1 times (1, T, D)
    weights = model.weights
    layers = [
        _layer(x, layer, config, shown)
        for x, layer in zip(hidden, weights["encoder"]["layers"], strict=False)
    ]
    table = weights["embeddings"]["word_embeddings"]
    states = np.concatenate(hidden)[:, shown]  # (L + 1, W, D)
    return {
        "model": Path(config.name_or_path or "a model in memory").name,
        "texts": [text] if other is None else [text, other],
        "total": len(ids),
        "cut": row["cut"],
        "shown": shown.tolist(),
        "tokens": [
            {"piece": piece, "id": int(ids[i]), "side": int(side[i]), "span": list(row["spans"][i])}
            for i, piece in zip(
                shown, tokenizer.convert_ids_to_tokens(ids[shown].tolist()), strict=True
            )
        ],
        "special": sorted(int(i) for i in tokenizer.all_special_ids),
        "heads": [len(layer["q"]) for layer in layers],
        "eps": float(config.layer_norm_eps),
        "embedding": _embedding(ids, shown, weights["embeddings"]),
        "layers": layers,
        "states": states,
        "nearest": nearest_tokens(states, table, tokenizer),
        "similarity": _similarity(embedder, text, other),
    }


def choose_shown(side: np.ndarray, first: int, tokens: int) -> np.ndarray:
    """The tokens that are shown: of each text, from `first` on, an equal share of `tokens`.

    Parameters
    ----------
    side : (T,) int array
        0 for the first text, 1 for the second.
    first, tokens : int

    Returns
    -------
    (W,) int array

    Raises
    ------
    ValueError
        No text has a token number `first`.
    """
    sides = [np.flatnonzero(side == s) for s in range(int(side.max()) + 1)]
    left = [len(part[first:]) for part in sides] if first >= 0 else [0]
    if not any(left):
        longest = max(len(part) for part in sides)
        raise ValueError(f"the first token to show must be 0 to {longest - 1}, got {first}")
    share = tokens // len(sides)
    counts = [min(n, max(share, tokens - sum(left) + n)) for n in left]
    return np.concatenate([part[first:][:n] for part, n in zip(sides, counts, strict=True)])


def _read(tokenizer: Any, text: str, other: str | None, longest: int) -> dict[str, Any]:
    """Ids, characters and text of each token, cut to the longest row that the model takes."""
    options = {"return_offsets_mapping": True, "return_attention_mask": False, "verbose": False}
    whole = tokenizer(text, other, **options)
    for n, name in enumerate(("the text", "the second text")[: 1 if other is None else 2]):
        if n not in whole.sequence_ids():
            raise ValueError(f"{name} has no tokens; give at least one character that is visible")
    row = tokenizer(text, other, truncation=True, max_length=longest, **options)
    ids, cut = row["input_ids"], len(whole["input_ids"]) - len(row["input_ids"])
    second = len(ids) if other is None else row.sequence_ids().count(0) + 2  # [CLS] text [SEP]
    side = [int(n >= second) for n in range(len(ids))]
    return {"ids": ids, "spans": row["offset_mapping"], "side": side, "cut": cut}


def _layer(x: np.ndarray, w: Mapping[str, Any], config: ErnieMConfig, shown: np.ndarray) -> Record:
    """What one layer makes of its input x (1, T, D), at the tokens that are shown."""
    inner = w["self_attn"]["self_attn"]
    projections = linears(x, [inner[name] for name in ("q_proj", "k_proj", "v_proj")])
    q, k, v = (split_heads(y, config.head_dim)[0] for y in projections)  # (1, T, D) -> (H, T, d)
    scores = q[:, shown].astype(np.float64) @ k.swapaxes(1, 2) / np.sqrt(config.head_dim)
    largest = scores.max(axis=2, initial=-np.inf)  # (H, W, T) -> (H, W)
    attended, _, _ = self_attention(x, w["self_attn"], config, AttentionOptions())
    middle = add_norm(attended, x, w["norm1"], config.layer_norm_eps)
    return {
        "q": q[:, shown],
        "k": k[:, shown],
        "v": v[:, shown],
        "largest": largest.tolist(),
        "sum": np.exp(scores - largest[:, :, None]).sum(axis=2).tolist(),
        "attended": attended[0, shown],
        "middle": middle[0, shown],
        "fed": feed_forward(middle, w, config)[0, shown],
        "norm1": dict(w["norm1"]),
        "norm2": dict(w["norm2"]),
    }


def _embedding(ids: np.ndarray, shown: np.ndarray, w: Mapping[str, Any]) -> Record:
    """The rows of both tables that are added for each token, and the norm that follows."""
    return {
        "words": take_rows(w["word_embeddings"], ids[shown]),  # (W, D)
        "positions": w["position_embeddings"]["weight"][shown + FIRST_POSITION],  # (W, D)
        "norm": dict(w["layer_norm"]),
    }


def nearest_tokens(
    states: np.ndarray, table: Mapping[str, np.ndarray], tokenizer: Any
) -> list[list[list[Any]]]:
    """The tokens whose rows of the word table have the largest cosine with each hidden state.

    Parameters
    ----------
    states : (L + 1, W, D) array
    table : dict with "weight" (V, D), and "scale" (V,) where that is int8
    tokenizer : ErnieMTokenizer

    Returns
    -------
    list of lists of lists
        For each layer and token the best: [piece, cosine, length of its row of the table].
    """
    L, W, D = states.shape
    queries = normalize_rows(states.reshape(-1, D))  # (L·W, D)
    V = len(table["weight"])
    k = min(NEAREST, V)
    best = None
    for start in range(0, V, TABLE_ROWS):
        block = normalize_rows(take_rows(table, slice(start, start + TABLE_ROWS)))
        indices, scores = top_scores(queries, block, min(k, len(block)))
        here = indices + start, scores
        best = here if best is None else merge(best, here, k)
    indices, scores = best
    pieces = tokenizer.convert_ids_to_tokens(indices.reshape(-1).tolist())
    lengths = np.linalg.norm(take_rows(table, indices), axis=-1)  # (L·W, k, D) -> (L·W, k)
    numbers = np.stack([scores, lengths], axis=-1, dtype=float).reshape(-1, 2).round(4).tolist()
    found = [[piece, *two] for piece, two in zip(pieces, numbers, strict=True)]
    rows = [found[n : n + k] for n in range(0, len(found), k)]  # L·W times k
    return [rows[n : n + W] for n in range(0, L * W, W)]


def _similarity(embedder: Embedder, text: str, other: str | None) -> Record | None:
    """The sentence vectors of both texts, each read alone."""
    if other is None:
        return None
    vectors = embedder([text, other])  # (2, D)
    return {"vectors": vectors, "pooling": embedder.pooling or embedder.settings.pooling}
