"""The primitives with their gradients: each returns its value and a function `backward`.

    y, backward = linear(x, w)
    dx, dw = backward(dy)

dy is the gradient of the loss by y and has y's shape; dw is a dict like w. The values are those of
`numpy_erniem.ops`, computed by the same dispatch; only what the backward pass needs is saved.
Shapes: B batch, T tokens, S keys, D hidden, H heads, d = D/H, V vocabulary, P positions.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from numpy_erniem import ops
from numpy_erniem.training.activation_gradients import activate, activation_backward
from numpy_erniem.training.attention_gradients import attention_backward, attention_dropped
from numpy_erniem.training.dropout import Dropped, drop
from numpy_erniem.training.gradient_tree import SparseRows
from numpy_erniem.training.primitives import norm_backward
from numpy_erniem.training.products import products

Weights = Mapping[str, Any]
Backward = Callable[..., Any]


def linear(x: np.ndarray, w: Weights, activation: str | None = None) -> tuple[Any, Backward]:
    """act(x Wᵀ + b): dx = dz W, dW = dzᵀ x, db = Σ dz, where dz = dy · act'(z).

    Parameters
    ----------
    x : (..., K) array
    w : dict with "weight" (N, K) and "bias" (N,)
    activation : str, optional
        A name in `DERIVATIVES`; left out, act(z) = z.

    Returns
    -------
    y : (..., N) array
    backward : from dy (..., N) to dx (..., K) and the gradients of w; with another gradient of x as
        second argument, dx is added to it in place
    """
    forward, linear_backward = products()
    z = forward(x, w)  # (..., K) -> (..., N)
    y = z if activation is None else activate(z, activation)
    kept = None if activation is None else (z, y, activation)

    def backward(dy: np.ndarray, dx: np.ndarray | None = None) -> tuple[np.ndarray, Weights]:
        dz = dy if kept is None else activation_backward(dy, *kept)
        rows, dz = x.reshape(-1, x.shape[-1]), dz.reshape(-1, dz.shape[-1])  # (M, K), (M, N)
        dx = dx if dx is None else dx.reshape(rows.shape)
        dx, dweight, dbias = linear_backward(dz, rows, w["weight"], dx)  # (M, K), (N, K), (N,)
        return dx.reshape(x.shape), {"weight": dweight, "bias": dbias}

    return y, backward


def activated_linear(
    z: np.ndarray, w: Weights, activation: str, rate: float, rng: np.random.Generator | None
) -> tuple[Any, Backward]:
    """y Wᵀ + b with y = dropout(act(z)): only z is kept, and the backward pass computes y again.

    y is the widest array of a layer, and cheap to compute from z.

    Parameters
    ----------
    z : (..., K) array
    w : dict with "weight" (N, K) and "bias" (N,)
    activation : str
        A name in `DERIVATIVES`.
    rate : float
        Of the dropout.
    rng : Generator or None
        For the dropout; None: no dropout.

    Returns
    -------
    result : (..., N) array
    backward : from its gradient (..., N) to dz (..., K) and the gradients of w
    """
    forward, linear_backward = products()
    rows, again = dropout(activate(z, activation), rate, rng)
    result = forward(rows, w)  # (..., K) -> (..., N)

    def backward(dresult: np.ndarray) -> tuple[np.ndarray, Weights]:
        y = activate(z, activation)
        rows = again(y).reshape(-1, z.shape[-1])  # (M, K)
        dresult = dresult.reshape(-1, dresult.shape[-1])  # (M, N)
        drows, dweight, dbias = linear_backward(dresult, rows, w["weight"])
        dz = activation_backward(again(drows.reshape(z.shape)), z, y, activation)
        return dz, {"weight": dweight, "bias": dbias}

    return result, backward


def add_norm(x: np.ndarray, residual: Any, w: Weights, eps: float) -> tuple[Any, Backward]:
    """Layer norm of v = x + residual: y = n γ + β, where n = (v - mean) / σ.

    x and residual have the same gradient dv. The backward pass computes n and σ again: that costs
    less than to keep them in memory.

    Parameters
    ----------
    x : (..., D) array
    residual : (..., D) array or None
        None counts as zeros.
    w : dict with "weight" γ (D,) and "bias" β (D,)
    eps : float
        Added to σ².

    Returns
    -------
    y : (..., D) array
    backward : from dy (..., D) to dv (..., D) and the gradients of w

    References
    ----------
    Ba, Kiros and Hinton, "Layer Normalization", arXiv:1607.06450, section 3.1.
    """
    y = ops.layer_norm(x, w, eps) if residual is None else ops.add_norm(x, residual, w, eps)

    def backward(dy: np.ndarray) -> tuple[np.ndarray, Weights]:
        dv, dgamma, dbeta = norm_backward(dy, x, residual, w["weight"], eps)
        return dv, {"weight": dgamma, "bias": dbeta}

    return y, backward


def embed(
    ids: np.ndarray, rows: np.ndarray, w: Weights, eps: float, padding: int | None
) -> tuple[Any, Backward]:
    """Layer norm of word row + position row; the gradients of the two tables are sparse.

    Parameters
    ----------
    ids : (B, T) integer array
    rows : (B or 1, T) integer array
        Rows of the position table.
    w : dict
        "word_embeddings" with weight (V, D), "position_embeddings" with weight (P, D), and
        "layer_norm".
    eps : float
        Of the layer norm.
    padding : int or None
        The row of the padding token: its gradient is 0 in both tables, as in upstream.

    Returns
    -------
    y : (B, T, D) array
    backward : from dy (B, T, D) to the gradients of w
    """
    y = ops.embed(ids, rows, w, eps)

    def backward(dy: np.ndarray) -> Weights:
        words, positions = (w[f"{n}_embeddings"]["weight"] for n in ("word", "position"))
        total, gamma = words[ids] + positions[rows], w["layer_norm"]["weight"]  # (B, T, D), (D,)
        dv, dgamma, dbeta = norm_backward(dy, total, None, gamma, eps)
        return {
            "word_embeddings": {"weight": embedding_gradient(ids, dv, words.shape, padding)},
            "position_embeddings": {
                "weight": embedding_gradient(rows, dv, positions.shape, padding)
            },
            "layer_norm": {"weight": dgamma, "bias": dbeta},
        }

    return y, backward


def embedding_gradient(
    ids: np.ndarray, dy: np.ndarray, shape: tuple[int, ...], padding: int | None
) -> SparseRows:
    """The gradient of a table of which rows were looked up.

    Parameters
    ----------
    ids : (B or 1, T) integer array
        The rows.
    dy : (B, T, D) array
        The gradient of table[ids].
    shape : (int, int)
        (V, D), the shape of the table.
    padding : int or None
        A row whose gradient is 0.

    Returns
    -------
    SparseRows
    """
    if len(ids) < len(dy):  # every text has the same rows
        dy = dy.sum(axis=0, keepdims=True)  # (1, T, D)
    ids, values = ids.reshape(-1), dy.reshape(ids.size, -1)  # (N,), (N, D)
    if padding is not None and (ids == padding).any():
        ids, values = ids[ids != padding], values[ids != padding]
    return SparseRows.gather(ids, values, shape)


def dropout(
    x: np.ndarray, rate: float, rng: np.random.Generator | None
) -> tuple[np.ndarray, Backward]:
    """Set elements of x to 0 at random, and scale the others by 1 / (1 - rate).

    A seed is drawn, and which elements are 0 is computed from it twice: no mask is kept.

    Parameters
    ----------
    x : array of any shape
    rate : float
        The probability of each element to become 0, in [0, 1).
    rng : Generator or None
        None: nothing is dropped.

    Returns
    -------
    y : array like x
    backward : from dy to dx

    References
    ----------
    Srivastava et al., "Dropout", JMLR 15, 2014.
    """
    if rng is None or rate == 0:
        return x, lambda dy: dy
    dropped = Dropped(rate, int(rng.integers(1 << 62)))
    return drop(x, dropped), lambda dy: drop(dy, dropped)


def attention(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    *,
    starts: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    head_mask: np.ndarray | None = None,
    query_distance: np.ndarray | None = None,
    key_distance: np.ndarray | None = None,
    dropout_rate: float = 0.0,
    rng: np.random.Generator | None = None,
) -> tuple[np.ndarray, Backward]:
    """Scaled dot-product attention, c = (P · f) v, with P = softmax(s) and factors f.

    The factors are the head mask and the dropout of P. The probabilities are not kept: the backward
    pass computes them again. Its formulas are in `attention_gradients`.

    Parameters
    ----------
    q : (B, H, T, d) array
    k, v : (B, H, S, d) arrays
    starts, mask
        As of `ops.attention`.
    head_mask : array that broadcasts to (B, H, T, S), optional
        Multiplies the probabilities.
    query_distance, key_distance : (T + S - 1, d) arrays, optional
        As of `ops.attention`.
    dropout_rate : float
        Of P.
    rng : Generator, optional
        For the dropout; None: no dropout.

    Returns
    -------
    context : (B, T, H, d) array
    backward : from dc (B, T, H, d) to dq (B, H, T, d), dk, dv (B, H, S, d) and a dict of
        dquery_distance, dkey_distance, (T + S - 1, d) each, where they were given
    """
    options = {
        "starts": starts,
        "mask": mask,
        "head_mask": head_mask,
        "query_distance": query_distance,
        "key_distance": key_distance,
    }
    if rng is None or dropout_rate == 0:
        context, _ = ops.attention(q, k, v, **options)
    else:
        options["dropped"] = Dropped(dropout_rate, int(rng.integers(1 << 62)))
        context = attention_dropped(q, k, v, **options)

    def backward(dc: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict]:
        return attention_backward(dc, context, q, k, v, **options)

    return context, backward
