"""The native kernel of `ranking.top_scores`: arrays checked, the queries packed, C called."""

from typing import Any

import numpy as np

from numpy_erniem._kernels import ffi, lib
from numpy_erniem.backend.memory import FLOAT, NoMemoryError, floats, is_readable
from numpy_erniem.backend.packing import pack_queries
from numpy_erniem.backend.unsupported import Unsupported


def top_scores(queries: np.ndarray, vectors: np.ndarray, k: int) -> Any:
    """Native kernel of `ranking.top_scores`.

    Parameters
    ----------
    queries, vectors, k
        As there.

    Returns
    -------
    tuple of two arrays, or Unsupported

    Raises
    ------
    NoMemoryError
        There is no memory for the results.
    """
    if queries.dtype != FLOAT or vectors.dtype != FLOAT:
        return Unsupported("not float32")
    if queries.ndim != 2 or vectors.ndim != 2 or queries.shape[1] != vectors.shape[1]:
        return Unsupported("empty or mismatched shapes")
    if not queries.size or not 1 <= k <= len(vectors):
        return Unsupported("empty or mismatched shapes")
    if not is_readable(vectors):
        return Unsupported("vectors that would have to be copied")
    n, d = vectors.shape
    indices = np.empty((len(queries), k), np.int64)
    scores = np.empty((len(queries), k), np.float32)
    status = lib.erniem_top_scores(
        *(n, d, floats(vectors), pack_queries(queries), k),
        *(ffi.from_buffer("int64_t[]", indices), floats(scores)),
    )
    if status == lib.ERNIEM_WRONG_ISA:  # another thread chose an instruction set meanwhile
        return top_scores(queries, vectors, k)
    if status == lib.ERNIEM_NO_MEMORY:
        raise NoMemoryError(f"no memory for the {k} best of {len(queries)} queries")
    return (indices, scores) if status == 0 else Unsupported("a size beyond the C kernel")
