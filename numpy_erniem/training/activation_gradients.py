"""The slope dy/dx of every activation, beside the formula in `numpy_erniem.activations`.

Each function takes the input x and the output y = act(x), which training keeps anyway: many slopes
are cheaper from y.
"""

import math
from collections.abc import Callable

import numpy as np

from numpy_erniem.activations import ACTIVATIONS, sigmoid
from numpy_erniem.ops import CACHE_BLOCK

Slope = Callable[[np.ndarray, np.ndarray], np.ndarray]


def gelu(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Φ(x) + x φ(x), the normal distribution function and its density.

    Φ(x) is y / x, and ½ near 0, where the quotient says nothing.
    """
    near = np.abs(x) < 1e-18
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = y / x
    slope[near] = 0.5
    density = np.square(x)
    density *= -0.5
    np.exp(density, out=density)
    density *= x
    density *= 1 / math.sqrt(2 * math.pi)
    slope += density
    return slope


def gelu_clipped(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The slope of gelu; 0 where its value is beyond ±10."""
    inside = np.abs(x) <= 10  # gelu(x) = x there, in any precision
    return np.where(inside, gelu(x, ACTIVATIONS["gelu"](x)), 0)


def gelu_tanh(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """½ (1 + t) + ½ x (1 - t²) u', where t = tanh(u), u = √(2/π) (x + 0.044715 x³)."""
    root = math.sqrt(2 / math.pi)
    t = np.tanh(root * (x + 0.044715 * x * x * x))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x)


def quick_gelu(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """σ + 1.702 x σ (1 - σ), where σ = σ(1.702 x)."""
    s = sigmoid(1.702 * x)
    return s + 1.702 * x * s * (1 - s)


def laplace(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The normal density with μ = 0.707107, σ = 0.282095."""
    z = (x - 0.707107) / 0.282095
    return np.exp(-0.5 * z * z) / (0.282095 * math.sqrt(2 * math.pi))


def leaky_relu(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 where x > 0, else 0.01."""
    return np.where(x > 0, x.dtype.type(1), x.dtype.type(0.01))


def linear(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1."""
    return np.ones_like(x)


def mish(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """t + x (1 - t²) σ(x), where t = tanh(log(1 + eˣ))."""
    t = np.tanh(np.logaddexp(np.zeros((), x.dtype), x))
    return t + x * (1 - t * t) * sigmoid(x)


def relu(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 where x > 0, else 0."""
    return (x > 0).astype(x.dtype)


def relu_squared(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """2 max(x, 0)."""
    return 2 * np.maximum(x, 0)


def relu6(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 where 0 < x < 6, else 0."""
    return ((x > 0) & (x < 6)).astype(x.dtype)


def of_sigmoid(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """y (1 - y)."""
    return y * (1 - y)


def silu(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """σ + x σ (1 - σ)."""
    s = sigmoid(x)
    return s + y * (1 - s)


def tanh(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 - y²."""
    return 1 - y * y


SLOPES: dict[str, Slope] = {
    "gelu": gelu,
    "gelu_10": gelu_clipped,
    "gelu_accurate": gelu_tanh,
    "gelu_fast": gelu_tanh,
    "gelu_new": gelu_tanh,
    "gelu_python": gelu,
    "gelu_pytorch_tanh": gelu_tanh,
    "laplace": laplace,
    "leaky_relu": leaky_relu,
    "linear": linear,
    "mish": mish,
    "quick_gelu": quick_gelu,
    "relu": relu,
    "relu2": relu_squared,
    "relu6": relu6,
    "sigmoid": of_sigmoid,
    "silu": silu,
    "swish": silu,
    "tanh": tanh,
}


def activate(z: np.ndarray, activation: str) -> np.ndarray:
    """act(z) of (..., N), computed in blocks that stay in the cache."""
    y, line = np.empty_like(z), z.reshape(-1)
    for at in range(0, line.size, CACHE_BLOCK):
        block = slice(at, at + CACHE_BLOCK)
        y.reshape(-1)[block] = ACTIVATIONS[activation](line[block])
    return y


def through_activation(dy: np.ndarray, z: np.ndarray, y: np.ndarray, activation: str) -> np.ndarray:
    """The gradient of z from that of y = act(z): dy · act'(z), in blocks like `activate`."""
    dz = np.empty_like(z)
    flat = [a.reshape(-1) for a in (dy, z, y, dz)]
    for at in range(0, z.size, CACHE_BLOCK):
        dy_, z_, y_, dz_ = (a[at : at + CACHE_BLOCK] for a in flat)
        np.multiply(dy_, SLOPES[activation](z_, y_), out=dz_)
    return dz
