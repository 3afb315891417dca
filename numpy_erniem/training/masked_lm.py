"""The masked-LM loss with its gradients, computed without storing the scores of all tokens.

Shapes: B batch, T tokens, N masked tokens, D hidden, V vocabulary.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numpy_erniem.checks import as_array
from numpy_erniem.losses import IGNORED, cross_entropy
from numpy_erniem.training.gradient_tree import Gradients
from numpy_erniem.training.gradients import add_norm, linear
from numpy_erniem.training.primitives import scores_to_gradient
from numpy_erniem.training.products import products
from numpy_erniem.training.threads import cut, in_threads

Weights = Mapping[str, Any]
LARGEST_SCORES = 1 << 24  # elements of the scores (n, V) in memory at a time, per thread


def masked_lm_loss(
    x: np.ndarray, labels: Any, w: Weights, table: np.ndarray, eps: float, threads: int = 1
) -> tuple[np.floating, np.ndarray, Gradients, np.ndarray]:
    """Mean cross entropy of norm(gelu(x Wᵀ + b)) Eᵀ + b' over the tokens that have a label.

    Parameters
    ----------
    x : (B, T, D) float array
    labels : (B, T) integers
        In 0..V-1, or -100 where a token has no label.
    w : dict
        "dense" with W (D, D) and b (D,), "layer_norm", and "bias" b' (V,).
    table : (V, D) array
        The word embedding E.
    eps : float
        Of the layer norm.
    threads : int
        The tokens are divided among so many threads.

    Returns
    -------
    loss : float of the dtype of x
    dx : (B, T, D) array
    dw : dict like w
    dtable : (V, D) array
        The gradient of E as the head's weight; its gradient as a lookup table is another.

    Raises
    ------
    ValueError
        Labels of another shape than (B, T), or out of range.

    Notes
    -----
    With the scores s = h Eᵀ + b' and p = softmax(s), the gradients are ds = (p - one-hot) / N,
    dh = ds E and dE = dsᵀ h. The loss is a plain mean, so ds is known as soon as s is, and a block
    of s can be dropped before the next one is computed.
    """
    labels = as_array("labels", labels, "i")
    _check_labels(labels, x.shape[:2], len(table))
    has_label = labels != IGNORED  # (B, T)
    y = labels[has_label]  # (N,)
    dx = np.zeros_like(x)
    if not len(y):
        loss = cross_entropy(x[..., :1], labels)  # 0, with a warning
        return loss, dx, _zeros_like(w), np.zeros_like(table)
    wide, dense_back = linear(x[has_label], w["dense"], "gelu")  # (N, D)
    h, norm_back = add_norm(wide, None, w["layer_norm"], eps)

    blocks = [(h[rows], y[rows], len(y)) for rows in cut(len(y), threads)]
    done = in_threads(lambda block: _cross_entropy(*block, table, w["bias"]), blocks)
    losses, dh, dtables, dbias = zip(*done, strict=True)
    for more in dtables[1:]:
        np.add(dtables[0], more, out=dtables[0])

    dwide, dnorm = norm_back(np.concatenate(dh))
    dx[has_label], ddense = dense_back(dwide)
    dw = {"dense": ddense, "layer_norm": dnorm, "bias": sum(dbias[1:], dbias[0])}
    return x.dtype.type(sum(losses)), dx, dw, dtables[0]


def _zeros_like(w: Weights) -> Gradients:
    return {
        name: _zeros_like(value) if isinstance(value, Mapping) else np.zeros_like(value)
        for name, value in w.items()
    }


def _cross_entropy(
    h: np.ndarray, y: np.ndarray, count: int, table: np.ndarray, bias: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """What n of the `count` tokens add: to the loss, dh (n, D), dE (V, D) and db' (V,)."""
    loss, dh = 0.0, np.empty_like(h)
    dtable, dbias = None, None
    forward, linear_backward = products()
    step = max(1, LARGEST_SCORES // len(table))
    for at in range(0, len(h), step):
        rows = slice(at, at + step)
        s = forward(h[rows], {"weight": table, "bias": bias})  # (n, D) -> (n, V)
        loss += scores_to_gradient(s, y[rows], count)
        dh[rows], more, most = linear_backward(s, h[rows], table)  # (n, D), (V, D), (V,)
        dtable, dbias = (more, most) if at == 0 else (dtable + more, dbias + most)
    return loss, dh, dtable, dbias


def _check_labels(labels: np.ndarray, shape: tuple[int, ...], V: int) -> None:
    if labels.shape != shape:
        raise ValueError(f"labels must have shape {shape}, not {labels.shape}")
    outside = (labels != IGNORED) & ((labels < 0) | (labels >= V))
    if outside.any():
        where = tuple(int(i) for i in np.argwhere(outside)[0])
        raise ValueError(f"labels{list(where)} is {labels[where]}, not in 0..{V - 1} or {IGNORED}")
