"""The masked-word loss with its gradients, fused: no scores of words are kept.

Shapes: N masked tokens, D hidden, V vocabulary.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numpy_erniem.checks import as_array
from numpy_erniem.losses import IGNORED, cross_entropy
from numpy_erniem.ops import CACHE_BLOCK
from numpy_erniem.training.gradient_tree import Gradients
from numpy_erniem.training.gradients import add_norm, column_sums, linear
from numpy_erniem.training.threads import cut, in_threads

Weights = Mapping[str, Any]
LARGEST_SCORES = 1 << 24  # elements of the scores (n, V) that exist at a time, per thread


def word_loss(
    x: np.ndarray, labels: Any, w: Weights, words: np.ndarray, eps: float, threads: int = 1
) -> tuple[np.floating, np.ndarray, Gradients, np.ndarray]:
    """Mean cross entropy of norm(gelu(x Wᵀ + b)) Eᵀ + b' over the tokens with a label.

    Parameters
    ----------
    x : (B, T, D) array
    labels : (B, T) integers in 0..V-1, or -100 where a token does not count
    w : dict of "dense", "layer_norm" and "bias" (V,)
    words : (V, D) array
        E, the word embedding.
    eps : float
    threads : int
        The tokens are cut in so many parts.

    Returns
    -------
    loss : float of the dtype of x
    dx : (B, T, D) array
    dw : dict like w
    dwords : (V, D) array
        E's gradient as the head's weight; as a lookup table it has another.

    Notes
    -----
    With p = softmax(s), s = h Eᵀ + b', the gradient is ds = (p - one-hot) / N, dh = ds E,
    dE = dsᵀ h. The loss is a plain mean, so ds is known at once and s, of N·V numbers, need not
    outlive its block.
    """
    labels = as_array("labels", labels, "i")
    _check_labels(labels, x.shape[:2], len(words))
    where = labels != IGNORED  # (B, T)
    dx = np.zeros_like(x)
    y = labels[where]
    if not len(y):
        loss = cross_entropy(x[..., :1], labels)  # 0, with its warning
        zero = {name: np.zeros_like(w[name]) for name in ("bias",)}
        norms = {n: {k: np.zeros_like(v) for k, v in w[n].items()} for n in ("dense", "layer_norm")}
        return loss, dx, {**norms, **zero}, np.zeros_like(words)
    wide, dense_back = linear(x[where], w["dense"], "gelu")  # (N, D)
    h, norm_back = add_norm(wide, None, w["layer_norm"], eps)

    blocks = [(h[rows], y[rows], len(y)) for rows in cut(len(y), threads)]
    done = in_threads(lambda block: _cross_entropy(*block, words, w["bias"]), blocks)
    losses, dh, dwords, dbias = zip(*done, strict=True)
    for more in dwords[1:]:
        np.add(dwords[0], more, out=dwords[0])

    dwide, dnorm = norm_back(np.concatenate(dh))
    dx[where], ddense = dense_back(dwide)
    dw = {"dense": ddense, "layer_norm": dnorm, "bias": sum(dbias[1:], dbias[0])}
    return x.dtype.type(sum(losses)), dx, dw, dwords[0]


def _cross_entropy(
    h: np.ndarray, y: np.ndarray, count: int, words: np.ndarray, bias: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Share of the loss, dh (n, D), dE (V, D) and db' (V,) of n of the `count` tokens."""
    loss, dh = 0.0, np.empty_like(h)
    dwords, dbias = np.zeros_like(words), np.zeros_like(bias)
    step = max(1, LARGEST_SCORES // len(words))
    for at in range(0, len(h), step):
        rows = slice(at, at + step)
        s = h[rows] @ words.T  # (n, D)·(D, V) -> (n, V)
        loss += _to_slope(s, y[rows], bias, count)
        np.matmul(s, words, out=dh[rows])  # (n, V)·(V, D)
        if step >= len(h):
            dwords = s.T @ h  # (V, n)·(n, D)
        else:
            dwords += s.T @ h[rows]
        dbias += column_sums(s)
    return loss, dh, dwords, dbias


def _to_slope(s: np.ndarray, y: np.ndarray, bias: np.ndarray, count: int) -> float:
    """Turn scores without bias into their gradient, in place; return their share of the loss."""
    n, V = s.shape
    loss, ones = 0.0, np.ones(V, s.dtype)
    step = max(1, CACHE_BLOCK // V)
    for at in range(0, n, step):
        block, right = s[at : at + step], y[at : at + step]
        each = np.arange(len(block))
        block += bias
        block -= block.max(axis=1, keepdims=True)
        loss -= float(block[each, right].sum(dtype=np.float64))
        np.exp(block, out=block)
        sums = block @ ones  # (n,)
        loss += float(np.log(sums).sum(dtype=np.float64))
        block *= (1 / (sums * count))[:, None]
        block[each, right] -= 1 / count
    return loss / count


def _check_labels(labels: np.ndarray, shape: tuple[int, ...], V: int) -> None:
    if labels.shape != shape:
        raise ValueError(f"labels must have shape {shape}, not {labels.shape}")
    outside = (labels != IGNORED) & ((labels < 0) | (labels >= V))
    if outside.any():
        where = tuple(int(i) for i in np.argwhere(outside)[0])
        raise ValueError(f"labels{list(where)} is {labels[where]}, not in 0..{V - 1} or {IGNORED}")
