"""Gradients: a nested dict like the weights, whose leaves are arrays or `SparseRows`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Gradients = dict[str, Any]  # nested like the weights; the leaves are arrays or SparseRows


@dataclass(frozen=True, eq=False)
class SparseRows:
    """The gradient of an embedding table of which few rows were looked up; the others are zero.

    NumPy takes it as an array: `np.asarray(gradient)` is the dense (V, D) gradient.

    Parameters
    ----------
    rows : (n,) integer array
        The rows that were looked up, in ascending order, each once.
    values : (n, D) float array
        Their gradients.
    shape : (int, int)
        (V, D), the shape of the table.

    Examples
    --------
    >>> gradient = SparseRows(np.array([0, 2]), np.ones((2, 3)), (4, 3))
    >>> np.asarray(gradient).sum(axis=1).tolist()
    [3.0, 0.0, 3.0, 0.0]
    """

    rows: np.ndarray
    values: np.ndarray
    shape: tuple[int, ...]

    @classmethod
    def gather(cls, rows: np.ndarray, values: np.ndarray, shape: tuple[int, ...]) -> SparseRows:
        """Sum the values of equal rows.

        Parameters
        ----------
        rows : (N,) integer array
            In any order; a row may occur more than once.
        values : (N, D) float array
        shape : (int, int)
            (V, D), the shape of the table.

        Returns
        -------
        SparseRows
        """
        order = np.argsort(rows, kind="stable")
        ids, first, counts = np.unique(rows[order], return_index=True, return_counts=True)
        sums = values[order[first]]  # (ids, D)
        for i in np.flatnonzero(counts > 1):
            sums[i] = values[order[first[i] : first[i] + counts[i]]].sum(axis=0)
        return cls(ids, sums, shape)

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the values."""
        return self.values.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of rows and values; the dense array has V·D numbers instead."""
        return self.rows.nbytes + self.values.nbytes

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The dense (V, D) gradient, zeros included: always a new array."""
        if copy is False:
            raise ValueError("SparseRows has no dense array to share; leave out copy=False")
        return self.dense_rows(0, self.shape[0]).astype(dtype or self.dtype, copy=False)

    def dense_rows(self, start: int, end: int) -> np.ndarray:
        """The rows start..end-1 of the dense gradient: (end - start, D)."""
        dense = np.zeros((end - start, *self.shape[1:]), self.dtype)
        inside = slice(*np.searchsorted(self.rows, (start, end)))
        dense[self.rows[inside] - start] = self.values[inside]
        return dense


def stored_values(gradient: np.ndarray | SparseRows) -> np.ndarray:
    """The numbers of a gradient that may differ from 0: all of an array, the values of rows.

    Changing the result in place changes the gradient.
    """
    return gradient.values if isinstance(gradient, SparseRows) else gradient


def scale(gradients: Mapping[str, Any], factor: float) -> None:
    """Multiply all gradients, by flat name, by a factor, in place."""
    for gradient in gradients.values():
        values = stored_values(gradient)
        values *= factor


def add(a: Any, b: Any) -> Any:
    """a + b of two nested dicts or leaves; what one of them lacks counts as zero.

    The arrays of `a` may be reused for the sum.
    """
    if isinstance(a, Mapping):
        both = {key: add(a[key], b[key]) for key in a.keys() & b.keys()}
        return {key: both.get(key, a.get(key, b.get(key))) for key in {**a, **b}}
    if isinstance(a, list):
        return [add(one, other) for one, other in zip(a, b, strict=True)]
    if isinstance(a, SparseRows) and isinstance(b, SparseRows):
        rows = np.concatenate([a.rows, b.rows])
        return SparseRows.gather(rows, np.concatenate([a.values, b.values]), a.shape)
    if isinstance(a, SparseRows):
        a, b = b, a
    if isinstance(b, SparseRows):
        a[b.rows] += b.values  # each row occurs once, so no addition is lost
    else:
        a += b
    return a


def total(trees: Iterable[Gradients]) -> Gradients:
    """The sum of nested dicts, added in the order given; see `add`."""
    first, *others = trees
    for other in others:
        first = add(first, other)
    return first
