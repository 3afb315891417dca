"""Attention with dropout, and the gradients of attention: primitives of training.

Shapes: B batch, T queries, S keys, H heads, d size of a head.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from numpy_erniem import ops
from numpy_erniem.backend.dispatch import accelerated
from numpy_erniem.packed import by_text
from numpy_erniem.training.dropout import Dropped


def probabilities(
    q: np.ndarray,
    k: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    head_mask: np.ndarray | None = None,
    query_distance: np.ndarray | None = None,
    key_distance: np.ndarray | None = None,
    dropped: Dropped | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities P of attention, and P · f.

    Parameters
    ----------
    q, k, mask, head_mask, query_distance, key_distance, dropped
        As of `attention_backward`.

    Returns
    -------
    P : (B, H, T, S) array
    Pf : (B, H, T, S) array
        P itself where there are no factors.
    """
    distances = {"query_distance": query_distance, "key_distance": key_distance}
    _, P = ops.attention(q, k, k, mask=mask, keep_probabilities=True, **distances)
    Pf = P if dropped is None else dropped.of(P)
    return P, Pf if head_mask is None else Pf * head_mask


@accelerated
def attention_dropped(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    *,
    dropped: Dropped,
    starts: np.ndarray | None = None,
    **options: np.ndarray | None,
) -> np.ndarray:
    """Attention with dropout of its probabilities, c = (P · f) v.

    Parameters
    ----------
    q : (B, H, T, d) array
    k, v : (B, H, S, d) arrays
    dropped : Dropped
        The dropout of P.
    starts : (n + 1,) integer array, optional
        Of a packed batch, as of `ops.attention`.
    **options
        mask, head_mask, query_distance and key_distance, as of `attention_backward`.

    Returns
    -------
    (B, T, H, d) array
    """
    context = np.empty((*q.shape[:1], q.shape[2], q.shape[1], q.shape[3]), q.dtype)
    if starts is not None:
        options["dropped"] = dropped
        for text, qkv, own in texts_of((q, k, v), starts, options):
            context[:, text] = attention_dropped.body(*qkv, **own)
        return context
    _, factored = probabilities(q, k, dropped=dropped, **options)
    np.matmul(factored, v, out=context.swapaxes(1, 2))  # (B,H,T,S)·(B,H,S,d)
    return context


@accelerated
def attention_backward(
    dc: np.ndarray,
    context: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    *,
    starts: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    head_mask: np.ndarray | None = None,
    query_distance: np.ndarray | None = None,
    key_distance: np.ndarray | None = None,
    dropped: Dropped | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """The gradients of attention, c = (P · f) v with P = softmax(s).

    dv = (P · f)ᵀ dc, dP = f · dc vᵀ, ds = P (dP - Σ P dP), dq = ds k / √d and dk = dsᵀ q / √d. The
    sum Σ P dP over the keys equals Σ dc c over d, which has fewer terms. A score that the mask
    replaced has no gradient.

    Parameters
    ----------
    dc, context : (B, T, H, d) arrays
        The gradient of the loss by the context, and the context c.
    q : (B, H, T, d) array
    k, v : (B, H, S, d) arrays
    starts : (n + 1,) integer array, optional
        Of a packed batch, as of `ops.attention`: each text has the gradients that it has alone.
    mask : bool array that broadcasts to (B, H, T, S), optional
        True: this query may attend to this key.
    head_mask : array that broadcasts to (B, H, T, S), optional
        Multiplies the probabilities.
    query_distance, key_distance : (T + S - 1, d) arrays, optional
        As of `ops.attention`.
    dropped : Dropped, optional
        The dropout of P.

    Returns
    -------
    dq : (B, H, T, d) array
    dk, dv : (B, H, S, d) arrays
    by_distance : dict
        The gradients of query_distance and key_distance, (T + S - 1, d) each, where given.
    """
    distances = {"query_distance": query_distance, "key_distance": key_distance}
    options = {"mask": mask, "head_mask": head_mask, "dropped": dropped, **distances}
    if starts is not None:
        return _backward_by_text(dc, context, (q, k, v), starts, options)
    P, Pf = probabilities(q, k, **options)
    by_head = dc.swapaxes(1, 2)  # (B, H, T, d), a view
    dv = Pf.swapaxes(2, 3) @ by_head  # (B,H,S,T)·(B,H,T,d)
    ds = by_head @ v.swapaxes(2, 3)  # (B,H,T,d)·(B,H,d,S): the gradient of P · f
    if head_mask is not None:
        ds *= head_mask
    if dropped is not None:
        ds = dropped.of(ds)
    ds -= np.einsum("bthd,bthd->bht", dc, context)[..., None]
    ds *= P
    if mask is not None and not mask.any(axis=-1).all():
        ds *= mask  # a query that may see no key has uniform P, whatever the scores are
    ds *= 1 / math.sqrt(q.shape[-1])
    dq, dk = ds @ k, ds.swapaxes(2, 3) @ q
    by_distance = {}
    if query_distance is not None:
        more, by_distance["query_distance"] = distance_backward(ds, q, query_distance)
        dq += more
    if key_distance is not None:
        turned = distance_backward(ds.swapaxes(2, 3), k, key_distance[::-1])
        dk += turned[0]
        by_distance["key_distance"] = turned[1][::-1]
    return dq, dk, dv, by_distance


def texts_of(
    qkv: tuple[np.ndarray, ...], starts: np.ndarray, options: Mapping[str, Any]
) -> Iterator[tuple[slice, list[np.ndarray], dict[str, Any]]]:
    """`packed.by_text` with dropout, whose rows are counted over texts, heads and queries.

    Parameters
    ----------
    qkv, starts
        As of `packed.by_text`.
    options : dict
        As there, and "dropped".

    Yields
    ------
    text, qkv, options
        As there.
    """
    options, dropped = {"mask": None, "head_mask": None, **options}, options.get("dropped")
    for text, parts, own in by_text(qkv, starts, options):
        if dropped is not None:
            own["dropped"] = dropped._replace(first=qkv[0].shape[1] * text.start)
        yield text, parts, own


def _backward_by_text(
    dc: np.ndarray,
    context: np.ndarray,
    qkv: tuple[np.ndarray, ...],
    starts: np.ndarray,
    options: Mapping[str, Any],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """`attention_backward` of one text of a packed batch after the other."""
    results = tuple(np.empty_like(x) for x in qkv)  # (1, H, N, d) each
    given = {name: options[name] for name in ("query_distance", "key_distance")}
    by_distance = {name: np.zeros_like(e) for name, e in given.items() if e is not None}
    for text, parts, own in texts_of(qkv, starts, options):
        *gradients, more = attention_backward.body(dc[:, text], context[:, text], *parts, **own)
        for result, gradient in zip(results, gradients, strict=True):
            result[:, :, text] = gradient
        for name, e in more.items():
            middle, n = len(by_distance[name]) // 2, text.stop - text.start
            by_distance[name][middle - n + 1 : middle + n] += e
    return (*results, by_distance)


def distance_backward(
    ds: np.ndarray, x: np.ndarray, distance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of x and of the vectors e in `ops.distance_scores`, x_i · e_(i - j).

    Parameters
    ----------
    ds : (B, H, n, m) array
        The gradient of the scores.
    x : (B, H, n, d) array
    distance : (n + m - 1, d) array
        The vectors e.

    Returns
    -------
    dx : (B, H, n, d) array
    ddistance : (n + m - 1, d) array
    """
    n, m = ds.shape[2:]
    i, j = np.arange(n)[:, None], np.arange(m)[None, :]
    every = np.zeros((*ds.shape[:3], n + m - 1), ds.dtype)
    every[:, :, i, i - j + m - 1] = ds  # each pair (i, j) has its own element
    dx = every @ distance  # (B,H,n,n+m-1)·(n+m-1,d)
    flat = every.reshape(-1, n + m - 1), x.reshape(-1, x.shape[-1])  # rows B·H·n
    return dx, flat[0].T @ flat[1]
