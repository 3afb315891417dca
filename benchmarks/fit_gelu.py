"""Fit the polynomial behind the float32 GELU and print its coefficients and largest error.

-log(½ erfc(a/√2)) is smooth and nearly quadratic in a, so a Chebyshev fit of modest degree
reaches float32 precision on [0, 6]; exp undoes the logarithm.
"""

import math

import numpy as np

END, DEGREE, NODES = 6.0, 12, 4000


def log_tail(a: np.ndarray) -> np.ndarray:
    """-log(½ erfc(a/√2)) in float64."""
    return np.array([-math.log(0.5 * math.erfc(v / math.sqrt(2))) for v in a])


def main() -> None:
    """Print the coefficients, then the error of gelu over a fine grid."""
    nodes = (np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES) + 1) / 2 * END
    fit = np.polynomial.Chebyshev.fit(nodes, log_tail(nodes), DEGREE, domain=[0, END])
    for c in fit.convert(kind=np.polynomial.Polynomial).coef:
        print(f"    {np.float32(c)!s},")

    from numpy_erniem.activations import gelu

    x = np.linspace(-12, 12, 2_000_001).astype(np.float32)
    error = np.abs(gelu(x) - gelu(x.astype(np.float64)))
    ulp = np.spacing(np.maximum(np.abs(x), np.float32(1e-30)))
    print(f"largest error {error.max():.2e}, {(error / ulp).max():.2f} ulp of x")


if __name__ == "__main__":
    main()
