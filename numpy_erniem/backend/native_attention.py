"""The native kernel of `ops.attention`: arrays checked, C called, status → result."""

from itertools import chain

import numpy as np

from numpy_erniem._kernels import ffi, lib
from numpy_erniem.backend.memory import (
    FLOAT,
    FLOATS,
    floats,
    from_buffer,
    is_readable,
    new_array,
    new_floats,
    readable,
    result_or_reason,
)
from numpy_erniem.backend.unsupported import NOT_FLOAT, SIZES, Unsupported
from numpy_erniem.quantization.numbers import BFLOAT16


def attention(
    q,
    k,
    v,
    *,
    starts=None,
    key_bias=None,
    mask=None,
    head_mask=None,
    query_distance=None,
    key_distance=None,
    dtype=None,
    keep_probabilities=False,
):
    """Native kernel of `ops.attention`."""
    if q.dtype != FLOAT or k.dtype != FLOAT or v.dtype != FLOAT:
        return NOT_FLOAT
    if query_distance is not None or key_distance is not None:
        return Unsupported("relative positions")
    if q.ndim != 4 or k.ndim != 4 or not q.size or not k.size:
        return SIZES
    B, H, T, d = q.shape
    S = k.shape[2]
    if k.shape != (B, H, S, d) or v.shape != k.shape:
        return SIZES
    arguments = (
        starts_arguments(starts),
        _key_bias_arguments(key_bias, (B, S)),
        mask_arguments(mask, (B, H, T, S), starts),
        head_mask_arguments(head_mask, (B, H, 1, 1)),
    )
    for given in arguments:
        if type(given) is Unsupported:
            return given
    context, contexts = new_floats((B, T, H, d))
    probabilities = new_array((B, H, T, S)) if keep_probabilities else None
    status = lib.erniem_attention(
        lib.ERNIEM_BFLOAT16 if dtype == BFLOAT16 else lib.ERNIEM_FLOAT32,
        *(B, H, T, S, d),
        *rows_arguments(q),
        *rows_arguments(k),
        *rows_arguments(v),
        *chain.from_iterable(arguments),
        contexts,
        ffi.NULL if probabilities is None else floats(probabilities),
    )
    return result_or_reason((context, probabilities), status)


def starts_arguments(starts):
    """Number of texts and pointer to their starts, which C checks; 0 and NULL if not packed."""
    if starts is None:
        return 0, ffi.NULL
    starts = np.asarray(starts)
    if starts.ndim != 1 or len(starts) < 2 or starts.dtype.kind != "i":
        return Unsupported("starts that are not integers, two at least")
    starts = readable(starts.astype(np.int64, copy=False))
    return len(starts) - 1, ffi.from_buffer("int64_t[]", starts)


def _key_bias_arguments(key_bias, shape):
    """Pointer of a (B or 1, S) bias, and elements from one row to the next; NULL and 0 if none."""
    if key_bias is None:
        return ffi.NULL, 0
    if key_bias.dtype != FLOAT or key_bias.shape not in (shape, (1, shape[1])):
        return Unsupported("a bias of keys that is not float32, or of another shape")
    return floats(key_bias), shape[1] if len(key_bias) > 1 else 0


def mask_arguments(mask, shape, starts=None):
    """Pointer and strides of a mask that broadcasts to (B, H, T, S), or NULL twice.

    With a row for each query of a packed batch, S stands for the tokens of its longest text.
    """
    if mask is None:
        return ffi.NULL, ffi.NULL
    if np.size(starts) > 1 and mask.ndim == 4 and mask.shape[2] > 1:
        shape = (*shape[:3], int(np.diff(starts).max()))
    if mask.dtype != bool or not _broadcasts(mask, shape, exact=3):
        return Unsupported("a mask that is not bool, or whose last axis broadcasts")
    mask = readable(mask)
    return ffi.from_buffer("uint8_t[]", mask), _strides(mask)


def head_mask_arguments(head_mask, shape):
    """Pointer and strides of factors that broadcast to (B, H, 1, 1), or NULL twice."""
    if head_mask is None:
        return ffi.NULL, ffi.NULL
    if head_mask.dtype != FLOAT or not _broadcasts(head_mask, shape, exact=2):
        return Unsupported("a head mask that differs between tokens")
    head_mask = readable(head_mask)
    return floats(head_mask), _strides(head_mask)


def rows_arguments(x: np.ndarray):
    """Pointer to a (B, H, T, d) array, and elements from one entry to the next along B, H, T.

    Its memory is in this order, or in the order (B, T, H, d); anything else is copied first.
    """
    _, H, T, d = x.shape
    by_token = x.swapaxes(1, 2)
    if is_readable(by_token):
        return from_buffer(FLOATS, by_token), (T * H * d, d, H * d)
    return floats(x), (H * T * d, T * d, d)


def _strides(x: np.ndarray) -> list[int]:
    """Elements from one entry to the next along the first three axes; 0 along an axis of one."""
    (i, j, k, _), (a, b, c, _), item = x.shape, x.strides, x.itemsize
    return [a // item if i > 1 else 0, b // item if j > 1 else 0, c // item if k > 1 else 0]


def _broadcasts(x: np.ndarray, shape: tuple[int, ...], exact: int) -> bool:
    """Whether a 4-axis array broadcasts to `shape`, the axes from `exact` on as they are."""
    return (
        x.ndim == 4
        and x.shape[exact:] == shape[exact:]
        and all(n in (1, m) for n, m in zip(x.shape, shape, strict=True))
    )
