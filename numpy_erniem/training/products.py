"""The products of linear maps in training: in float32, or with inputs rounded to bfloat16.

In mixed precision the inputs of every product of a linear map, forward and backward, are rounded to
bfloat16, and their products are summed in float32. All else stays float32: weights, biases, layer
norm, attention, losses, gradients and the optimizer.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np

from numpy_erniem import ops
from numpy_erniem.backend.dispatch import accelerated
from numpy_erniem.quantization.numbers import BFLOAT16, rounded
from numpy_erniem.training.primitives import column_sums, linear_backward

Weights = Mapping[str, np.ndarray]


@accelerated
def float32_linear(x: np.ndarray, w: Weights) -> np.ndarray:
    """x Wᵀ + b, as `ops.linear`. It has a C kernel of its own, which may differ in the last bits.

    Parameters
    ----------
    x : (..., K) array of float32 or float64
    w : dict with "weight" (N, K) and "bias" (N,), of the same dtype

    Returns
    -------
    (..., N) array
    """
    return ops.linear.body(x, w)


@accelerated
def bfloat16_linear(x: np.ndarray, w: Weights) -> np.ndarray:
    """x Wᵀ + b, with x and W rounded to bfloat16; the sums are float32.

    Parameters
    ----------
    x : (..., K) float32 array
    w : dict with "weight" (N, K) and "bias" (N,), float32

    Returns
    -------
    (..., N) float32 array
    """
    weight = rounded(w["weight"], BFLOAT16)
    return ops.linear.body(rounded(x, BFLOAT16), {"weight": weight, "bias": w["bias"]})


@accelerated
def bfloat16_linear_backward(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray, dx: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`primitives.linear_backward`, with dy, x and W rounded to bfloat16 in both products.

    Parameters
    ----------
    dy : (M, N) float32 array
        The gradient of the loss by y.
    x : (M, K) float32 array
    weight : (N, K) float32 array
    dx : (M, K) float32 array, optional
        Another gradient of x, to which this one is added in place.

    Returns
    -------
    dx : (M, K) array
    dweight : (N, K) array
    dbias : (N,) array
        The sum of dy, which is not rounded.
    """
    low, more = rounded(dy, BFLOAT16), column_sums(dy)
    step = low @ rounded(weight, BFLOAT16)
    dx = step if dx is None else np.add(dx, step, out=dx)
    return dx, low.T @ rounded(x, BFLOAT16), more


class Products(NamedTuple):
    """How linear maps are computed.

    Attributes
    ----------
    forward : function
        From x (..., K) and the weights to y (..., N).
    backward : function
        From dy (M, N), x (M, K), the weight and maybe dx to dx, dW and db.
    """

    forward: Callable[..., np.ndarray]
    backward: Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]


PRODUCTS = {
    "float32": Products(float32_linear, linear_backward),
    "bfloat16": Products(bfloat16_linear, bfloat16_linear_backward),
}
PRECISIONS = tuple(PRODUCTS)
_chosen: ContextVar[str] = ContextVar("numpy_erniem_training_precision", default="float32")


def check_precision(precision: str) -> None:
    """ValueError for a precision that training does not have."""
    if precision not in PRODUCTS:
        raise ValueError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Choose the precision of products in a `with` block of this thread or task.

    Parameters
    ----------
    precision : {"float32", "bfloat16"}
        "float32": that of the arrays, which may also be float64.

    Raises
    ------
    ValueError
        Another precision.
    """
    check_precision(precision)
    token = _chosen.set(precision)
    try:
        yield
    finally:
        _chosen.reset(token)


def products() -> Products:
    """The products of the block of `products_in` that this is called in; float32 outside."""
    return PRODUCTS[_chosen.get()]
