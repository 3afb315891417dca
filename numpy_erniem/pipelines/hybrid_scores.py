"""How well a text answers a query, by the three outputs of both."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from numpy_erniem.checks import as_array

WEIGHTS = (1.0, 0.3, 1.0)  # of the dense, the sparse and the multi-vector score
BLOCK = 1024  # query tokens that are compared at a time


def hybrid_score(
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    weights: Sequence[float] = WEIGHTS,
    *,
    mean: bool = True,
) -> float:
    """The weighted mean of three scores of a query and a text.

    Parameters
    ----------
    a, b : dict
        What `HybridEmbedder` gives for the query and for the text.
    weights : (float, float, float)
        Of the dense, the sparse and the multi-vector score, each at least 0. An output whose weight
        is 0 need not be there.
    mean : bool
        Divide by the sum of the weights, as `compute_score` of FlagEmbedding does. False: the plain
        sum, as in the paper. The order of texts is the same.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        a or b is no dict.
    ValueError
        An output is missing, the two have other sizes, or the weights are not valid.

    Notes
    -----
    Dense: the dot product. Sparse: the sum, over the tokens that both have, of the products of
    their weights. Multi-vector: the mean, over the query's vectors, of the largest dot product with
    a vector of the text.

    References
    ----------
    Chen et al., "M3-Embedding", arXiv:2402.03216, sections 3.2 and 3.3.
    """
    w = as_array("weights", weights, "if")
    if w.shape != (3,) or not np.isfinite(w).all() or (w < 0).any() or not w.any():
        raise ValueError(
            f"weights {weights!r} are not three numbers of at least 0, one above 0, for dense, "
            "sparse and multi"
        )
    total = 0.0
    for (name, function), weight in zip(SCORES.items(), w.tolist(), strict=True):
        if weight:
            total += weight * function(_output("a", a, name), _output("b", b, name))
    return float(total / w.sum()) if mean else float(total)


def _output(argument: str, result: Mapping[str, Any], name: str) -> Any:
    if not isinstance(result, Mapping):
        raise TypeError(
            f"{argument} is a {type(result).__name__}; give what HybridEmbedder gives for a text"
        )
    if name not in result:
        raise ValueError(
            f"{argument} has no {name!r} output, only {', '.join(result) or 'none'}; compute it, "
            "or give its score the weight 0"
        )
    return result[name]


def _dense(a: Any, b: Any) -> float:
    (x,), (y,) = _rows("dense", a, b)
    return float(x @ y)


def _sparse(a: Mapping[int, float], b: Mapping[int, float]) -> float:
    there = {int(token): weight for token, weight in b.items()}  # keys of JSON are str
    return float(sum(w * there.get(int(token), 0.0) for token, w in a.items()))


def _multi(a: Any, b: Any) -> float:
    x, y = _rows("multi", a, b)
    best = [(x[n : n + BLOCK] @ y.T).max(axis=1) for n in range(0, len(x), BLOCK)]
    return float(np.concatenate(best).mean())


def _rows(name: str, a: Any, b: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both as (n, W) arrays of one width, with at least one row."""
    axes = 1 if name == "dense" else 2
    x, y = (as_array(f"{name} of {which}", value, "if") for which, value in (("a", a), ("b", b)))
    if x.ndim != axes or y.ndim != axes or x.shape[-1] != y.shape[-1] or not x.size or not y.size:
        raise ValueError(
            f"{name} of a has shape {x.shape}, of b {y.shape}; both must have {axes} axes and "
            "vectors of one width"
        )
    return np.atleast_2d(x), np.atleast_2d(y)


SCORES = {"dense": _dense, "sparse": _sparse, "multi": _multi}
