"""How similar two vectors are, by the function that a checkpoint was trained for."""

import numpy as np
from numpy.typing import ArrayLike

from numpy_erniem.checkpoint.sentence_settings import SIMILARITIES
from numpy_erniem.checks import as_array
from numpy_erniem.pipelines.pooling import normalize_rows


def similarity_matrix(a: ArrayLike, b: ArrayLike, function: str = "cosine") -> np.ndarray:
    """Similarity of every vector of a with every vector of b; more is more similar.

    Parameters
    ----------
    a : (n, W) or (W,) array
        Vectors, or one vector.
    b : (m, W) or (W,) array
    function : {"cosine", "dot", "euclidean", "manhattan"}
        Cosine; dot product; minus the distance √Σ(a - b)²; minus the distance Σ|a - b|.

    Returns
    -------
    (n, m) float array

    Raises
    ------
    ValueError
        The function is unknown, or a and b are not vectors of one width.
    """
    if function not in SIMILARITIES:
        raise ValueError(f"similarity {function!r} is not one of {', '.join(SIMILARITIES)}")
    rows, others = (_vectors(name, value) for name, value in (("a", a), ("b", b)))
    if rows.shape[1] != others.shape[1]:
        raise ValueError(f"a has vectors of {rows.shape[1]} numbers, b of {others.shape[1]}")
    if function == "cosine":
        return normalize_rows(rows) @ normalize_rows(others).T  # (n, W)·(W, m) -> (n, m)
    if function == "dot":
        return rows @ others.T
    found = np.empty((len(rows), len(others)), np.result_type(rows, others))
    for n, row in enumerate(rows):
        if function == "euclidean":
            found[n] = -np.linalg.norm(others - row, axis=1)
        else:
            found[n] = -np.abs(others - row).sum(axis=1)
    return found


def _vectors(name: str, value: ArrayLike) -> np.ndarray:
    """The argument as an array (n, W) of floats."""
    array = as_array(name, value, "if")
    if array.dtype.kind == "i":
        array = array.astype(np.float32)
    if array.ndim not in (1, 2):
        raise ValueError(f"{name} must be a vector (W,) or vectors (n, W), not {array.shape}")
    return np.atleast_2d(array)
