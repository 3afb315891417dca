"""The derivative dy/dx of every activation of `numpy_erniem.activations`.

Each function takes the input x and the output y = act(x), two arrays of the same shape, and returns
dy/dx in that shape. Training keeps both arrays, and many derivatives are cheaper to compute from y.
"""

import math
from collections.abc import Callable

import numpy as np

from numpy_erniem.activations import ACTIVATIONS, sigmoid
from numpy_erniem.backend.dispatch import accelerated
from numpy_erniem.ops import CACHE_BLOCK

Derivative = Callable[[np.ndarray, np.ndarray], np.ndarray]


def gelu_grad(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Φ(x) + x φ(x), with the normal distribution function Φ and its density φ.

    Φ(x) is computed as y / x. Near 0, where that quotient is not accurate, it is ½.
    """
    near = np.abs(x) < 1e-18
    with np.errstate(divide="ignore", invalid="ignore"):
        derivative = y / x
    derivative[near] = 0.5
    density = np.square(x)
    density *= -0.5
    np.exp(density, out=density)
    density *= x
    density *= 1 / math.sqrt(2 * math.pi)
    derivative += density
    return derivative


def gelu_clipped_grad(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The derivative of gelu; 0 where gelu(x) is beyond ±10."""
    outside = np.abs(x) > 10  # near 10, gelu(x) equals x in float32 and float64
    return np.where(outside, 0, gelu_grad(x, ACTIVATIONS["gelu"](x)))


def gelu_tanh_grad(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """½ (1 + t) + ½ x (1 - t²) u', where t = tanh(u), u = √(2/π) (x + 0.044715 x³)."""
    root = math.sqrt(2 / math.pi)
    t = np.tanh(root * (x + 0.044715 * x * x * x))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x)


def quick_gelu_grad(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """σ + 1.702 x σ (1 - σ), where σ = σ(1.702 x)."""
    s = sigmoid(1.702 * x)
    return s + 1.702 * x * s * (1 - s)


def laplace_grad(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The normal density with μ = 0.707107, σ = 0.282095."""
    z = (x - 0.707107) / 0.282095
    return np.exp(-0.5 * z * z) / (0.282095 * math.sqrt(2 * math.pi))


def leaky_relu_grad(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 where x > 0, else 0.01."""
    return np.where(x > 0, x.dtype.type(1), x.dtype.type(0.01))


def linear_grad(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1."""
    return np.ones_like(x)


def mish_grad(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """t + x (1 - t²) σ(x), where t = tanh(log(1 + eˣ))."""
    t = np.tanh(np.logaddexp(np.zeros((), x.dtype), x))
    return t + x * (1 - t * t) * sigmoid(x)


def relu_grad(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 where x > 0, else 0."""
    return (x > 0).astype(x.dtype)


def relu_squared_grad(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """2 max(x, 0)."""
    return 2 * np.maximum(x, 0)


def relu6_grad(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 where 0 < x < 6, else 0."""
    return ((x > 0) & (x < 6)).astype(x.dtype)


def sigmoid_grad(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """y (1 - y)."""
    return y * (1 - y)


def silu_grad(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """σ + x σ (1 - σ)."""
    s = sigmoid(x)
    return s + y * (1 - s)


def tanh_grad(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 - y²."""
    return 1 - y * y


DERIVATIVES: dict[str, Derivative] = {
    "gelu": gelu_grad,
    "gelu_10": gelu_clipped_grad,
    "gelu_accurate": gelu_tanh_grad,
    "gelu_fast": gelu_tanh_grad,
    "gelu_new": gelu_tanh_grad,
    "gelu_python": gelu_grad,
    "gelu_pytorch_tanh": gelu_tanh_grad,
    "laplace": laplace_grad,
    "leaky_relu": leaky_relu_grad,
    "linear": linear_grad,
    "mish": mish_grad,
    "quick_gelu": quick_gelu_grad,
    "relu": relu_grad,
    "relu2": relu_squared_grad,
    "relu6": relu6_grad,
    "sigmoid": sigmoid_grad,
    "silu": silu_grad,
    "swish": silu_grad,
    "tanh": tanh_grad,
}


@accelerated
def activate(z: np.ndarray, activation: str) -> np.ndarray:
    """act(z) of an array (..., N), computed in blocks that fit in the cache."""
    y, flat = np.empty_like(z), z.reshape(-1)
    for at in range(0, flat.size, CACHE_BLOCK):
        block = slice(at, at + CACHE_BLOCK)
        y.reshape(-1)[block] = ACTIVATIONS[activation](flat[block])
    return y


@accelerated
def activation_backward(
    dy: np.ndarray, z: np.ndarray, y: np.ndarray, activation: str
) -> np.ndarray:
    """The gradient of z from the gradient of y = act(z): dz = dy · act'(z).

    Parameters
    ----------
    dy : (..., N) array
        The gradient of the loss by y.
    z, y : (..., N) arrays
        Input and output of the activation.
    activation : str
        A name in `DERIVATIVES`.

    Returns
    -------
    (..., N) array
    """
    dz = np.empty_like(z)
    flat = [a.reshape(-1) for a in (dy, z, y, dz)]
    for at in range(0, z.size, CACHE_BLOCK):
        dy_, z_, y_, dz_ = (a[at : at + CACHE_BLOCK] for a in flat)
        np.multiply(dy_, DERIVATIVES[activation](z_, y_), out=dz_)
    return dz
