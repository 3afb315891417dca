"""The cffi boundary: pointers and lifetimes, status → exception. Imported by `backend` alone.

C never sees an array whose shape, dtype and layout were not checked here.
"""

import numpy as np

from numpy_erniem._kernels import ffi, lib
from numpy_erniem.backend import Declined


def description() -> str:
    """One line on the kernels that are loaded."""
    return "C kernels, generic"


def _pointer(array: np.ndarray):
    return ffi.cast("float *", ffi.from_buffer(array, require_writable=False))


def _float32(*arrays: np.ndarray) -> bool:
    return all(a.dtype == np.float32 and a.dtype.isnative for a in arrays)


def add_norm(x, residual, w, eps):
    """Twin of `ops.add_norm`."""
    weight, bias = w["weight"], w["bias"]
    d = x.shape[-1]
    if not _float32(x, weight, bias) or (residual is not None and not _float32(residual)):
        return Declined("not float32")
    if d == 0 or weight.shape != (d,) or bias.shape != (d,):
        return Declined("sizes for which NumPy has the error message")
    if residual is not None and residual.shape != x.shape:
        return Declined("a residual that broadcasts")
    x, weight, bias = (np.ascontiguousarray(a) for a in (x, weight, bias))
    y = np.empty_like(x)
    added = ffi.NULL
    if residual is not None:
        residual = np.ascontiguousarray(residual)
        added = _pointer(residual)
    status = lib.erniem_add_norm(
        x.size // d, d, _pointer(x), added, _pointer(weight), _pointer(bias), eps, _pointer(y)
    )
    return y if status == 0 else Declined(f"status {status}")


def layer_norm(x, w, eps):
    """Twin of `ops.layer_norm`."""
    return add_norm(x, None, w, eps)


TWINS = {"add_norm": add_norm, "layer_norm": layer_norm}
