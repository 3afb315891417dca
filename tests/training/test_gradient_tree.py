"""Sparse rows as an array of NumPy, and sums of gradients."""

import numpy as np
import pytest

from numpy_erniem.training.gradient_tree import SparseRows, add, scale

TABLE = (7, 3)


@pytest.fixture
def rows():
    return SparseRows(np.array([1, 4]), np.float32([[1, 2, 3], [4, 5, 6]]), TABLE)


def dense():
    table = np.zeros(TABLE, np.float32)
    table[[1, 4]] = [[1, 2, 3], [4, 5, 6]]
    return table


def test_numpy_takes_sparse_rows_as_the_dense_array(rows):
    np.testing.assert_array_equal(np.asarray(rows), dense())
    assert np.asarray(rows).dtype == rows.dtype == np.float32
    assert np.asarray(rows, np.float64).dtype == np.float64
    np.testing.assert_array_equal(2 * np.asarray(rows), 2 * dense())
    assert np.linalg.norm(rows) == pytest.approx(np.linalg.norm(dense()))


def test_shape_is_the_table_s_and_nbytes_that_of_the_rows(rows):
    assert rows.shape == TABLE
    assert rows.nbytes == 2 * 8 + 6 * 4


def test_the_dense_array_cannot_be_shared(rows):
    with pytest.raises(ValueError, match="leave out copy=False"):
        rows.__array__(copy=False)


@pytest.mark.parametrize(("start", "end"), [(0, 7), (0, 1), (1, 4), (2, 4), (4, 7), (5, 5)])
def test_a_part_of_the_dense_array(rows, start, end):
    np.testing.assert_array_equal(rows.dense_rows(start, end), dense()[start:end])


def test_equal_rows_are_summed():
    ids = np.array([4, 1, 4, 0])
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    want = np.zeros(TABLE, np.float32)
    np.add.at(want, ids, values)
    gathered = SparseRows.gather(ids, values, TABLE)
    assert gathered.rows.tolist() == [0, 1, 4]
    np.testing.assert_array_equal(np.asarray(gathered), want)


def test_no_rows_at_all():
    none = SparseRows.gather(np.empty(0, int), np.empty((0, 3), np.float32), TABLE)
    np.testing.assert_array_equal(np.asarray(none), np.zeros(TABLE))


@pytest.mark.parametrize("kinds", ["sparse sparse", "sparse dense", "dense sparse"])
def test_sums_of_sparse_and_dense(rows, kinds):
    other = SparseRows(np.array([0, 4]), np.ones((2, 3), np.float32), TABLE)
    a, b = (
        np.asarray(g) if kind == "dense" else g
        for g, kind in zip((rows, other), kinds.split(), strict=True)
    )
    want = dense() + np.asarray(other)
    np.testing.assert_array_equal(np.asarray(add(a, b)), want)


def test_scaling_is_in_place(rows):
    values = np.ones(3, np.float32)
    scale({"a": rows, "b": values}, 0.5)
    np.testing.assert_array_equal(np.asarray(rows), dense() / 2)
    assert values.tolist() == [0.5] * 3
