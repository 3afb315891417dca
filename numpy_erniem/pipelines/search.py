"""Vectors in, best matches out: exact search over vectors in memory or in a mapped file."""

import math
import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from numpy_erniem.backend.frozen import mapping_of, release_mapped_pages
from numpy_erniem.pipelines.search_files import (
    TextLines,
    map_vectors,
    read_index,
    row_blocks,
    write_index,
)
from numpy_erniem.pipelines.texts import take_texts
from numpy_erniem.ranking import Ranked, merge, top_scores

QUERIES = 128  # that are searched in one pass over the vectors, at most
QUERY_NUMBERS = 1 << 17  # of these, at most; 512 KB stay in a second-level cache
RESULTS = 1 << 22  # of a pass, at most
MOST = float(np.finfo(np.float32).max)


class SearchIndex:
    """Vectors, and texts beside them, in which the best matches of a query are found.

    Every vector is compared with every query: nothing is approximated, and nothing has to be
    trained. The score is the dot product, computed in float32. For vectors of length 1, such as
    those of `Embedder(normalize=True)`, it is the cosine similarity.

    With the native backend the score of a vector and a query has the same bits whatever else is in
    the index or in the call, and for any number of threads.

    Parameters
    ----------
    vectors : (n, D) array, list of lists, or path of an .npy file
        float32, or float16, which takes half the space and is computed in float32. A file is mapped
        for reading and is not loaded into memory. An array is not copied; do not change it.
    texts : iterable of str, optional
        One for each vector.
    notes : dict, optional
        What should be saved with the index, in terms of JSON; such as the model that made the
        vectors.

    Attributes
    ----------
    vectors : (n, D) array
    texts : sequence of str, or None
    notes : dict

    Raises
    ------
    ValueError
        There are no vectors, or they have another dtype or a NaN or an infinity; the number of
        texts is another one; a file is damaged.
    TypeError
        `notes` is no dict.

    Examples
    --------
    >>> index = SearchIndex([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], ["east", "north-east", "north"])
    >>> indices, scores = index.search([0.0, 1.0], top_k=2)
    >>> [index.texts[i] for i in indices], scores
    (['north', 'north-east'], array([1. , 0.8], dtype=float32))
    """

    def __init__(
        self,
        vectors: Any,
        texts: Iterable[Any] | None = None,
        notes: dict[str, Any] | None = None,
    ) -> None:
        self.vectors = _take_vectors(vectors)
        self._largest = _largest_number(self.vectors)
        self.texts: Sequence[str] | None = None
        if texts is not None:
            self.texts = texts if isinstance(texts, TextLines) else take_texts(texts)[0]
            if len(self.texts) != len(self.vectors):
                raise ValueError(
                    f"there are {len(self.vectors)} vectors and {len(self.texts)} texts; give one "
                    "text for each vector"
                )
        if notes is not None and not isinstance(notes, dict):
            raise TypeError(f"notes is a {type(notes).__name__}, not a dict")
        self.notes = {} if notes is None else notes

    def __len__(self) -> int:
        return len(self.vectors)

    def __repr__(self) -> str:
        texts = "without texts" if self.texts is None else "with texts"
        return f"<SearchIndex of {len(self)} vectors, {self.width} {self.vectors.dtype}, {texts}>"

    @property
    def width(self) -> int:
        """Numbers of a vector, D."""
        return self.vectors.shape[1]

    def search(self, queries: Any, top_k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """Find the vectors with the largest dot products with each query.

        Parameters
        ----------
        queries : (Q, D) or (D,) array of numbers
            They are rounded to float32.
        top_k : int
            Matches to find for each query; k is the smaller of it and n.

        Returns
        -------
        indices : (Q, k) int64 array
            Of vectors and texts, best first. Of equal scores the lower index comes first.
        scores : (Q, k) float32 array
            For one query of the shape (D,) both have the shape (k,).

        Raises
        ------
        ValueError
            `top_k` is less than 1; the queries have another width, or a NaN or an infinity; dot
            products could be larger than a float32 can be.
        TypeError
            The queries are texts, or `top_k` is no integer.
        """
        k = min(_take_count(top_k), len(self))
        queries, single = self._take_queries(queries)
        passes = math.ceil(len(queries) / self._queries_of_a_pass(k))
        groups = np.array_split(queries, max(1, passes))
        best: list[Ranked | None] = [None] * len(groups)
        for start, block in self._blocks(k):
            for g, group in enumerate(groups):
                indices, scores = top_scores(group, block, min(k, len(block)))
                found = indices + start, scores
                before = best[g]
                best[g] = found if before is None else merge(before, found, k)
        indices, scores = (np.concatenate(parts) for parts in zip(*filter(None, best), strict=True))
        return (indices[0], scores[0]) if single else (indices, scores)

    def save(self, folder: str | os.PathLike) -> None:
        """Write a folder that `load` reads; it appears when it is complete.

        Parameters
        ----------
        folder : path
            A new or an empty folder.

        Raises
        ------
        FileExistsError
            There is something in the folder; it stays as it is.
        """
        write_index(folder, self.vectors, self.texts, self.notes)

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "SearchIndex":
        """Open a saved index. Vectors and texts are read from the files when they are needed.

        Parameters
        ----------
        folder : path

        Returns
        -------
        SearchIndex

        Raises
        ------
        FileNotFoundError
            There is no such folder, or a file of it is missing.
        ValueError
            A file is damaged, or does not belong to the others.
        """
        return cls(*read_index(folder))

    def _take_queries(self, queries: Any) -> tuple[np.ndarray, bool]:
        """The queries as (Q, D) float32, and whether it was one (D,)."""
        array = _array("queries", queries)
        if array.dtype.kind in "US":
            raise TypeError(
                "queries are texts; make vectors of them with the Embedder that made the index's"
            )
        if array.dtype.kind not in "fiu":
            raise ValueError(f"queries must hold numbers, not {array.dtype}")
        if array.ndim not in (1, 2) or array.shape[-1] != self.width:
            raise ValueError(
                f"queries have the shape {array.shape}; the last axis must be {self.width}, as in "
                "the index, and there may be one axis before it"
            )
        single = array.ndim == 1
        with np.errstate(over="ignore"):  # infinity is refused below
            rows = np.ascontiguousarray(array[None] if single else array, np.float32)
        largest = float(np.abs(rows).max(initial=0))
        if not math.isfinite(largest):
            n = np.flatnonzero(~np.isfinite(rows).all(axis=1))[0]
            raise ValueError(f"queries[{n}] has a number that is NaN, infinite or beyond float32")
        if largest * self._largest * self.width > MOST:
            raise ValueError(
                f"numbers of {self._largest:.3g} in the index and {largest:.3g} in the queries may "
                "give scores beyond float32; scale them down"
            )
        return rows, single

    def _queries_of_a_pass(self, k: int) -> int:
        return max(1, min(QUERIES, QUERY_NUMBERS // self.width, RESULTS // k))

    def _blocks(self, k: int) -> Iterator[tuple[int, np.ndarray]]:
        """The vectors as float32, some rows at a time with the number of the first.

        An array that kernels can read is one block. Pages of a mapped file are released after use.
        """
        flags = self.vectors.flags
        is_mapped = mapping_of(self.vectors) is not None
        if self.vectors.dtype == np.float32 and flags.c_contiguous and not is_mapped:
            yield 0, self.vectors
            return
        for start, block in row_blocks(self.vectors, at_least=k):
            yield start, np.ascontiguousarray(block, np.float32)
            release_mapped_pages(block)


def _array(name: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} is not an array: its rows differ in length") from None


def _take_vectors(vectors: Any) -> np.ndarray:
    """The argument as an (n, D) array of float32 or float16, not copied where it is one."""
    if isinstance(vectors, str | os.PathLike):
        return map_vectors(vectors)
    array = _array("vectors", vectors)
    if isinstance(vectors, list | tuple) and array.dtype.kind in "fiu":
        with np.errstate(over="ignore"):  # infinity is refused afterwards
            array = array.astype(np.float32)  # Python's numbers have no dtype
    if array.dtype.kind != "f" or array.dtype.itemsize not in (2, 4):
        remedy = "; round them: vectors.astype(np.float32)" if array.dtype.kind in "fiu" else ""
        raise ValueError(f"vectors are {array.dtype}, neither float32 nor float16{remedy}")
    if array.ndim != 2 or not array.size:
        raise ValueError(
            f"vectors have the shape {array.shape}; it must be (n, D), both at least 1"
        )
    return array


def _largest_number(vectors: np.ndarray) -> float:
    """The largest absolute value; a ValueError where a number is NaN or infinite."""
    largest = 0.0
    for start, block in row_blocks(vectors):
        numbers = np.asarray(block, np.float32)
        here = max(float(numbers.max()), -float(numbers.min()))  # NaN, where there is one
        if not math.isfinite(here):
            n = start + np.flatnonzero(~np.isfinite(numbers).all(axis=1))[0]
            raise ValueError(f"vectors[{n}] has a number that is NaN or infinite; leave it out")
        largest = max(largest, here)
        release_mapped_pages(block)
    return largest


def _take_count(top_k: Any) -> int:
    try:
        count = operator.index(top_k)
    except TypeError:
        raise TypeError(f"top_k is {top_k!r}, not an integer") from None
    if isinstance(top_k, bool) or count < 1:
        raise ValueError(f"top_k {top_k} is not at least 1")
    return count
