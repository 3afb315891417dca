"""Fit the polynomials behind the float32 GELU, print their coefficients and the largest error.

For a normal variable X, log P(X > a) is smooth and nearly quadratic in a, so a polynomial fits it;
exp then gives the probability. An error e of the exponent becomes an error P(X > a) · e of the
probability, so the fit is minimax with the weight P(X > a), found by Lawson's iteration of weighted
least squares. The weight is at least FLOOR, so that the far tail keeps four digits.
"""

import math

import numpy as np

from numpy_erniem.activations import TAIL_END, gelu

DEGREE, FLOOR, NODES, ROUNDS = 9, 1e-4, 3000, 300
POWER_DEGREE = 5


def log_tail(a: np.ndarray) -> np.ndarray:
    """log P(X > a) in float64."""
    return np.array([math.log(0.5 * math.erfc(v / math.sqrt(2))) for v in a])


def minimax(basis: np.ndarray, want: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Coefficients of basis columns (NODES, n) with the least largest weighted error."""
    emphasis = np.full(NODES, 1 / NODES)
    for _ in range(ROUNDS):
        scale = np.sqrt(emphasis) * weight
        found = np.linalg.lstsq(basis * scale[:, None], want * scale, rcond=None)[0]
        emphasis *= np.abs(basis @ found - want) * weight
        emphasis /= emphasis.sum()
    return found


def nodes() -> np.ndarray:
    """Chebyshev's points, in [-1, 1]."""
    return np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)


def fit() -> np.ndarray:
    """Coefficients of the polynomial, constant term first."""
    want = log_tail((nodes() + 1) / 2 * TAIL_END)
    basis = np.polynomial.chebyshev.chebvander(nodes(), DEGREE)
    found = minimax(basis, want, np.maximum(np.exp(want), FLOOR))
    series = np.polynomial.Chebyshev(found, domain=[0, TAIL_END])
    return series.convert(kind=np.polynomial.Polynomial).coef


def fit_power() -> np.ndarray:
    """Coefficients of 2^r for |r| up to 1/2, of which the first is exactly 1."""
    r = nodes() / 2
    basis = np.vander(r, POWER_DEGREE, increasing=True)
    return np.concatenate([[1], minimax(basis, (2**r - 1) / r, np.abs(r) / 2**r)])


def main() -> None:
    """Print the coefficients, then the error of gelu over a fine grid."""
    coefficients = fit()
    print("the exponent of e, as in activations.py; constant term first")
    for c in coefficients:
        print(f"    {np.float32(c)!s},")
    print("the exponent of 2, as in csrc/micro/micro_activations.h")
    for c in coefficients:
        print(f"    {np.float32(float(np.float32(c)) / math.log(2))!s},")
    print("2^r for |r| <= 1/2, there too")
    for c in fit_power():
        print(f"    {np.float32(c)!s},")
    x = np.linspace(-12, 12, 2_000_001).astype(np.float32)
    error = np.abs(gelu(x) - gelu(x.astype(np.float64)))
    ulp = np.spacing(np.maximum(np.abs(x), np.float32(1e-30)))
    print(f"largest error {error.max():.2e}, {(error / ulp).max():.2f} ulp of x")


if __name__ == "__main__":
    main()
