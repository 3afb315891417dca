"""The activations of a feed-forward layer: every name in upstream's ACT2FN, as a formula."""

import math
from collections.abc import Callable

import numpy as np

# log P(X > a) of a normal X for 0 ≤ a ≤ 6 as a polynomial in a, constant term first: minimax,
# weighted by P(X > a); made by `benchmarks/fit_gelu.py`.
LOG_TAIL = (
    -0.6931472,
    -0.79788595,
    -0.31829423,
    -0.036399305,
    0.0049064755,
    -9.306588e-05,
    -0.00013811834,
    3.3155535e-05,
    -3.5125092e-06,
    1.4803116e-07,
)
TAIL_END = 6.0

_erfc = np.frompyfunc(math.erfc, 1, 1)


def upper_tail(a: np.ndarray) -> np.ndarray:
    """P(X > a) of the standard normal distribution, ½ erfc(a/√2), for 0 ≤ a.

    Notes
    -----
    float32: exp of a polynomial, for a up to 6 (`within_tail`). Largest absolute error 6e-8.
    float64: `math.erfc`, exact but slow; that dtype is for checking.
    """
    if a.dtype == np.float64:
        return 0.5 * _erfc(a / math.sqrt(2.0)).astype(np.float64)
    exponent = a * LOG_TAIL[-1]
    exponent += LOG_TAIL[-2]
    for coefficient in LOG_TAIL[-3::-1]:  # Horner's rule
        exponent *= a
        exponent += coefficient
    return np.exp(exponent, out=exponent)


def within_tail(x: np.ndarray) -> np.ndarray:
    """|x|, in float32 at most 6, beyond which P(X > |x|) is below 1e-9."""
    size = np.abs(x)
    return size if x.dtype == np.float64 else np.minimum(size, TAIL_END, out=size)


def gelu(x: np.ndarray) -> np.ndarray:
    """Gaussian error linear unit, exact: x Φ(x), Φ the normal distribution function.

    Notes
    -----
    Computed as max(x, 0) - |x| P(X > |x|), which cancels nowhere. In float32 the error is at most
    2 ulp of x (2.4e-7 absolute at |x| ≤ 8); from x = -6 down the result stays at -6e-9.

    References
    ----------
    Hendrycks and Gimpel, "Gaussian Error Linear Units", arXiv:1606.08415, section 2.
    """
    size = within_tail(x)
    tail = upper_tail(size)
    tail *= size
    return np.subtract(np.maximum(x, 0), tail, out=tail)


def gelu_clipped(x: np.ndarray) -> np.ndarray:
    """gelu(x) clipped to [-10, 10]."""
    return np.clip(gelu(x), -10, 10)


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    """½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), the tanh approximation of gelu."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def quick_gelu(x: np.ndarray) -> np.ndarray:
    """x σ(1.702 x), the sigmoid approximation of gelu."""
    return x * sigmoid(1.702 * x)


def laplace(x: np.ndarray) -> np.ndarray:
    """½ (1 + erf((x - μ) / (σ √2))) with μ = 0.707107, σ = 0.282095 (MEGA, arXiv:2209.10655)."""
    z = (x - 0.707107) / 0.282095
    tail = upper_tail(within_tail(z))
    return np.where(z < 0, tail, 1 - tail)


def leaky_relu(x: np.ndarray) -> np.ndarray:
    """x where x > 0, else 0.01 x."""
    return np.where(x > 0, x, 0.01 * x)


def linear(x: np.ndarray) -> np.ndarray:
    """x itself."""
    return x


def mish(x: np.ndarray) -> np.ndarray:
    """x tanh(log(1 + eˣ))."""
    return x * np.tanh(np.logaddexp(np.zeros((), x.dtype), x))


def relu(x: np.ndarray) -> np.ndarray:
    """max(x, 0)."""
    return np.maximum(x, 0)


def relu_squared(x: np.ndarray) -> np.ndarray:
    """max(x, 0)²."""
    return np.square(relu(x))


def relu6(x: np.ndarray) -> np.ndarray:
    """min(max(x, 0), 6)."""
    return np.clip(x, 0, 6)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e⁻ˣ)."""
    with np.errstate(over="ignore"):  # e⁻ˣ = inf gives the right 0
        return 1 / (1 + np.exp(-x))


def silu(x: np.ndarray) -> np.ndarray:
    """x σ(x)."""
    return x * sigmoid(x)


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
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
    "sigmoid": sigmoid,
    "silu": silu,
    "swish": silu,
    "tanh": np.tanh,
}
