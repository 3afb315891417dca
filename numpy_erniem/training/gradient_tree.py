"""Gradients: a nested dict like the weights, with sparse rows where only rows were touched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Gradients = dict[str, Any]  # nested like the weights; the leaves are arrays or SparseRows


@dataclass(frozen=True)
class SparseRows:
    """The gradient of a table of which few rows were looked up; all others are zero.

    rows (n,) are different and ascending, values (n, D); shape (V, D) is the table's.
    """

    rows: np.ndarray
    values: np.ndarray
    shape: tuple[int, ...]

    @classmethod
    def gather(cls, rows: np.ndarray, values: np.ndarray, shape: tuple[int, ...]) -> SparseRows:
        """Sum the values (N, D) that go to the same row; rows (N,) in any order, repeated."""
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)])
        if not len(first):
            return cls(rows, values, shape)
        return cls(ordered[first], np.add.reduceat(values[order], first, axis=0), shape)

    def dense(self) -> np.ndarray:
        """The whole (V, D) table, zeros included."""
        table = np.zeros(self.shape, self.values.dtype)
        table[self.rows] = self.values
        return table


def add(a: Any, b: Any) -> Any:
    """a + b of two nested dicts or leaves; what one of them lacks counts as zero.

    A dense array of `a` may be reused for the sum: both belong to the caller alone.
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
        a[b.rows] += b.values  # the rows differ, so nothing is lost
    else:
        a += b
    return a


def total(trees: Iterable[Gradients]) -> Gradients:
    """The sum of nested dicts, in the order given; see `add`."""
    first, *others = trees
    for other in others:
        first = add(first, other)
    return first
