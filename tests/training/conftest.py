"""Comparisons of gradients, and small models of every kind in both precisions."""

import numpy as np
import pytest

from numpy_erniem.models.weights import flatten
from numpy_erniem.training.threads import one_thread_each
from tests.models.conftest import HEADS

RELATIVE = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-8}


def dense(gradients):
    """Flat names to arrays, zeros filled in."""
    flat = flatten(gradients)
    return {k: np.asarray(v) for k, v in flat.items()}


def in_dtype(model, dtype):
    """The model with its weights in another precision."""
    flat = {k: v.astype(dtype) for k, v in flatten(model.weights).items()}
    model.dtype = np.dtype(dtype)
    model.trainable = True  # its arrays can be written to
    model._set_weights(flat)
    return model


def make(name, dtype="float32", **sizes):
    head = next(h for h in HEADS if h.name == name)
    return in_dtype(head.make(**sizes), dtype)


def compare_gradients(got, want):
    """Largest difference relative to the largest element of each tensor.

    Some gradients are 0 in exact arithmetic, as of a key's bias, which shifts all scores of a query
    alike: rounding is measured by a hundredth of the largest gradient there is, at least.
    """
    got = dense(got)
    assert got.keys() == want.keys()
    floor = 1e-2 * max(np.abs(value).max() for value in want.values())
    for name, value in want.items():
        assert got[name].shape == value.shape, name
        assert got[name].dtype == value.dtype, name
        scale = max(np.abs(value).max(), floor)
        difference = np.abs(got[name] - value).max()
        assert difference <= RELATIVE[value.dtype] * scale, f"{name}: {difference / scale:.1e}"


@pytest.fixture(autouse=True)
def one_thread():
    """Products this small gain nothing from a second thread, and wait for it on a busy machine."""
    with one_thread_each():
        yield


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param
