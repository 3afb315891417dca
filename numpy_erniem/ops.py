"""The primitives as NumPy formulas. One marked `@accelerated` may also have a native kernel, in C.

The letters of shapes are explained in `config`; M, N and K are the sizes of a matrix product.
float32 in, float32 out (float64 stays float64); no argument is changed. A layer's weights come as a
dict, as in the checkpoint: {"weight": ..., "bias": ...}, and "scale" where the weight is int8. The
dtype of a weight says what is computed: see `quantization.numbers`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from numpy_erniem.activations import ACTIVATIONS
from numpy_erniem.backend.dispatch import accelerated
from numpy_erniem.packed import by_text
from numpy_erniem.quantization.formula import narrow_linear
from numpy_erniem.quantization.numbers import NARROW, rounded, take_rows

Weights = Mapping[str, np.ndarray]
Norm = tuple[np.ndarray | None, Weights, float]  # residual, w and eps of `add_norm`

# Elements that are worked on at a time, so that temporaries stay in the second-level cache.
CACHE_BLOCK = 1 << 16


@accelerated
def linear(
    x: np.ndarray, w: Weights, activation: str | None = None, norm: Norm | None = None
) -> np.ndarray:
    """Affine map, then an activation: act(x Wᵀ + b); then a layer norm, if it is given.

    Parameters
    ----------
    x : (..., K) array
    w : dict with "weight" (N, K) and "bias" (N,), and "scale" (N,) of an int8 weight
    activation : name in `ACTIVATIONS`, optional
    norm : (residual, w, eps), optional; the other arguments of `add_norm`

    Returns
    -------
    (..., N) array
    """
    if norm is not None:
        return add_norm(linear(x, w, activation), *norm)
    rows = x.reshape(-1, x.shape[-1])  # (..., K) -> (M, K): one product for the whole batch
    narrow = w["weight"].dtype in NARROW  # of eight or sixteen bits
    y = narrow_linear(rows, w) if narrow else rows @ w["weight"].T  # (M, K)·(K, N) -> (M, N)
    step = max(1, CACHE_BLOCK // max(1, y.shape[1]))
    for block in (y[start : start + step] for start in range(0, len(y), step)):
        if not narrow:
            block += w["bias"]
        if activation is not None:
            block[...] = ACTIVATIONS[activation](block)
    return y.reshape(*x.shape[:-1], -1)  # (M, N) -> (..., N)


@accelerated
def linears(x: np.ndarray, ws: Sequence[Weights]) -> list[np.ndarray]:
    """Several affine maps of the same x: [x Wᵀ + b for each].

    Parameters
    ----------
    x : (..., K) array
    ws : sequence of dict with "weight" (N, K) and "bias" (N,), as of `linear`; N may differ

    Returns
    -------
    list of (..., N) arrays
    """
    return [linear.body(x, w) for w in ws]


@accelerated
def mlp(
    x: np.ndarray, first: Weights, second: Weights, activation: str, norm: Norm | None = None
) -> np.ndarray:
    """Two linear maps, an activation between them: act(x W₁ᵀ + b₁) W₂ᵀ + b₂; then add_norm.

    Parameters
    ----------
    x : (..., K) array
    first, second : dict with "weight" and "bias", as of `linear`; (F, K) and (N, F)
    activation, norm : as of `linear`

    Returns
    -------
    (..., N) array
    """
    wide = linear(x, first, activation)  # (..., K) -> (..., F)
    return linear(wide, second, norm=norm)  # (..., F) -> (..., N)


@accelerated
def add_norm(x: np.ndarray, residual: np.ndarray | None, w: Weights, eps: float) -> np.ndarray:
    """Layer norm of x + residual over the last axis: (v - mean) / √(variance + eps) · γ + β.

    Parameters
    ----------
    x : (..., D) array
    residual : array that broadcasts to x, or None
    w : dict with "weight" γ (D,) and "bias" β (D,)
    eps : float, added to the variance

    Returns
    -------
    (..., D) array

    References
    ----------
    Ba, Kiros and Hinton, "Layer Normalization", arXiv:1607.06450, section 3.1.
    """
    total = x if residual is None else x + residual
    y = total - total.mean(axis=-1, keepdims=True)
    variance = np.einsum("...d,...d->...", y, y)[..., None] / y.shape[-1]  # (..., 1)
    y *= 1 / np.sqrt(variance + eps)
    y *= w["weight"]
    y += w["bias"]
    return y


@accelerated
def layer_norm(x: np.ndarray, w: Weights, eps: float) -> np.ndarray:
    """Layer norm over the last axis, which is `add_norm` without a residual.

    Parameters
    ----------
    x : (..., D) array
    w : dict with "weight" γ (D,) and "bias" β (D,)
    eps : float, added to the variance

    Returns
    -------
    (..., D) array
    """
    return add_norm.body(x, None, w, eps)


@accelerated
def embed(ids: np.ndarray, rows: np.ndarray, w: Mapping[str, Weights], eps: float) -> np.ndarray:
    """Layer norm of token row + position row, for every token.

    Parameters
    ----------
    ids : (B, T) integer array, rows of the token table
    rows : (B, T) or (1, T) integer array, rows of the position table
    w : dict
        "word_embeddings" {"weight": (V, D)}, with "scale" (V,) where that is int8,
        "position_embeddings" {"weight": (R, D)} and "layer_norm" {"weight": (D,), "bias": (D,)}.
    eps : float, added to the variance

    Returns
    -------
    (B, T, D) array
    """
    tokens = take_rows(w["word_embeddings"], ids)  # (B, T) -> (B, T, D)
    return add_norm(tokens, w["position_embeddings"]["weight"][rows], w["layer_norm"], eps)


def softmax(scores: np.ndarray, out: np.ndarray | None = None, dtype: Any = None) -> np.ndarray:
    """exp(s) / Σ exp(s) over the last axis.

    The largest score is subtracted first, so exp cannot overflow. A row of equal numbers becomes
    uniform, as that of a query whose keys are all masked.

    Parameters
    ----------
    scores : array of floats
    out : array of the same shape and dtype, optional
        Where the result is written; it may be `scores` itself.
    dtype : dtype, optional
        With `BFLOAT16` the exponentials are rounded to it before they are added.

    Returns
    -------
    array of the same shape, `out` if it was given
    """
    out = np.subtract(scores, scores.max(axis=-1, keepdims=True), out=out)
    np.exp(out, out=out)
    np.copyto(out, rounded(out, dtype))
    out /= out.sum(axis=-1, keepdims=True)
    return out


@accelerated
def attention(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    *,
    starts: np.ndarray | None = None,
    key_bias: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    head_mask: np.ndarray | None = None,
    query_distance: np.ndarray | None = None,
    key_distance: np.ndarray | None = None,
    dtype: np.dtype | None = None,
    keep_probabilities: bool = False,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Scaled dot-product attention: softmax(q kᵀ / √d + key_bias + mask) · head_mask · v.

    Parameters
    ----------
    q : (B, H, T, d) array
    k, v : (B, H, S, d) arrays
    starts : (n + 1,) integers, optional
        Of a packed batch of n texts, with B = 1 and S = T: text t has the tokens starts[t] to
        starts[t + 1] - 1, and attends to itself alone.
    key_bias : (B or 1, S) array, optional
        Added to the scores of a key; log(c) makes it count c times.
    mask : bool array that broadcasts to (B, H, T, S), optional
        False masks a key for a query: its score becomes the lowest finite number. With `starts`,
        one row for all, or for each query one of its own text's keys, filled up to the longest's.
    head_mask : array that broadcasts to (B, H, T, S), optional
        Multiplies the probabilities.
    query_distance, key_distance : (T + S - 1, d) arrays, optional
        One vector per distance from query to key; see `distance_scores`. With `starts` T and S
        stand for the tokens of the longest text.
    dtype : dtype, optional
        Of the weights that made q, k and v. With `BFLOAT16` the numbers that are multiplied are
        rounded to it: q / √d and k, the exponentials of the softmax and v. Sums are float32.
    keep_probabilities : bool
        Whether the probabilities are returned.

    Returns
    -------
    context : (B, T, H, d) array
    probabilities : (B, H, T, S) array, or None unless kept

    Raises
    ------
    ValueError
        With `starts`: wrong ones, a mask of another shape, or kept probabilities.

    References
    ----------
    Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, section 3.2.1.
    """
    if starts is not None:
        if keep_probabilities:
            raise ValueError("with starts no probabilities are kept; leave keep_probabilities out")
        options = {
            **{"key_bias": key_bias, "mask": mask, "head_mask": head_mask, "dtype": dtype},
            **{"query_distance": query_distance, "key_distance": key_distance},
        }
        done = [attention.body(*own, **of)[0] for _, own, of in by_text((q, k, v), starts, options)]
        return np.concatenate(done, axis=1), None
    (B, H, T, d), S = q.shape, k.shape[2]
    context = np.empty((B, T, H, d), q.dtype)
    probabilities = np.empty((B, H, T, S), q.dtype) if keep_probabilities else None
    left, right, values = (rounded(x, dtype) for x in (q / math.sqrt(d), k, v))
    step = max(1, CACHE_BLOCK // max(1, H * T * S))
    for b in (slice(start, start + step) for start in range(0, B, step)):
        scores = left[b] @ right[b].swapaxes(2, 3)  # (b,H,T,d)·(b,H,d,S) -> (b,H,T,S)
        if query_distance is not None:
            scores += distance_scores(q[b], query_distance, S) / math.sqrt(d)
        if key_distance is not None:
            by_key = distance_scores(k[b], key_distance[::-1], T)  # (b, H, S, T)
            scores += by_key.swapaxes(2, 3) / math.sqrt(d)
        if key_bias is not None:
            scores += _rows(key_bias, b)[:, None, None, :]  # (b or 1, S) -> (b or 1, 1, 1, S)
        if mask is not None:
            np.copyto(scores, np.finfo(scores.dtype).min, where=~_rows(mask, b))
        softmax(scores, out=scores, dtype=dtype)
        if head_mask is not None:
            scores *= _rows(head_mask, b)
        if keep_probabilities:
            probabilities[b] = scores
        np.matmul(scores, values[b], out=context[b].swapaxes(1, 2))  # (b,H,T,S)·(b,H,S,d)
    return context, probabilities


def distance_scores(x: np.ndarray, distance: np.ndarray, others: int) -> np.ndarray:
    """Scores of n rows of x with `others` rows by their distance: x_i · e_(i - j).

    Parameters
    ----------
    x : (B, H, n, d) array
    distance : (n + others - 1, d) array
        Row r is the vector e of distance i - j = r - (others - 1).
    others : int, the number of the rows j

    Returns
    -------
    (B, H, n, others) array

    References
    ----------
    Shaw, Uszkoreit and Vaswani, arXiv:1803.02155, section 3.3; `position_embedding_type` upstream.
    """
    n = x.shape[2]
    every = x @ distance.T  # (B,H,n,d)·(d, n+others-1) -> (B,H,n,n+others-1)
    i, j = np.arange(n)[:, None], np.arange(others)[None, :]
    return every[:, :, i, i - j + others - 1]  # -> (B, H, n, others)


def _rows(mask: np.ndarray, b: slice) -> np.ndarray:
    """The part of a (B or 1, ...) mask that belongs to the batch rows b."""
    return mask if len(mask) == 1 else mask[b]
