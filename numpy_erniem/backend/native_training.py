"""The native kernels of the primitives of `training`: arrays checked, C called, status → result."""

import functools
import math
from itertools import chain

import numpy as np

from numpy_erniem._kernels import ffi, lib
from numpy_erniem.backend.activation_numbers import ACTIVATIONS
from numpy_erniem.backend.memory import (
    FLOAT,
    floats,
    is_readable,
    new_array,
    readable,
    result_or_reason,
)
from numpy_erniem.backend.native_attention import (
    head_mask_arguments,
    mask_arguments,
    rows_arguments,
    starts_arguments,
)
from numpy_erniem.backend.unsupported import NOT_FLOAT, SIZES, Unsupported


def linear_backward(dy, x, weight, dx=None):
    """Native kernel of `training.primitives.linear_backward`."""
    return _linear_backward(lib.erniem_linear_backward, dy, x, weight, dx)


def bfloat16_linear_backward(dy, x, weight, dx=None):
    """Native kernel of `training.products.bfloat16_linear_backward`."""
    kernel = functools.partial(lib.erniem_narrow_linear_backward, lib.ERNIEM_BFLOAT16)
    return _linear_backward(kernel, dy, x, weight, dx)


def _linear_backward(kernel, dy, x, weight, dx):
    if any(a.dtype != FLOAT for a in (dy, x, weight) + (() if dx is None else (dx,))):
        return NOT_FLOAT
    if dy.ndim != 2 or x.ndim != 2 or not dy.size or not x.size:
        return SIZES
    (m, n), k = dy.shape, x.shape[1]
    if len(x) != m or weight.shape != (n, k):
        return SIZES
    adds = dx is not None
    if adds and (dx.shape != (m, k) or not is_readable(dx) or not dx.flags.writeable):
        return Unsupported("a gradient that C cannot add to in place")
    dx, dweight, dbias = dx if adds else new_array((m, k)), new_array((n, k)), new_array((n,))
    status = kernel(
        *(m, n, k, floats(dy), floats(x), floats(weight), adds),
        *(floats(dx), floats(dweight), floats(dbias)),
    )
    return result_or_reason((dx, dweight, dbias), status)


def bfloat16_linear(x, w):
    """Native kernel of `training.products.bfloat16_linear`."""
    return _linear(lib.ERNIEM_BFLOAT16, x, w)


def thirds_linear(x, w):
    """The product of `training.products.float32_linear` by AMX; None where that is not in use."""
    return _linear(lib.ERNIEM_TRAINED_FLOAT32, x, w)


def _linear(number, x, w):
    weight, bias = w["weight"], w["bias"]
    if any(a.dtype != FLOAT for a in (x, weight, bias)):
        return NOT_FLOAT
    if weight.ndim != 2 or not x.ndim or not x.size or not weight.size:
        return SIZES
    n, k = weight.shape
    if x.shape[-1] != k or bias.shape != (n,):
        return SIZES
    y = new_array((*x.shape[:-1], n))
    arrays = map(floats, (x, weight, bias, y))
    status = lib.erniem_narrow_linear(number, x.size // k, n, k, *arrays)
    return None if status == lib.ERNIEM_WRONG_ISA else result_or_reason(y, status)


def activate(z, activation):
    """Native kernel of `training.activation_gradients.activate`."""
    number = ACTIVATIONS.get(activation)
    if z.dtype != FLOAT:
        return NOT_FLOAT
    if number is None:
        return Unsupported("an activation that C does not have")
    y = new_array(z.shape)
    return result_or_reason(y, lib.erniem_activated(number, z.size, floats(z), floats(y)))


def activation_backward(dy, z, y, activation):
    """Native kernel of `training.activation_gradients.activation_backward`."""
    number = ACTIVATIONS.get(activation)
    if dy.dtype != FLOAT or z.dtype != FLOAT:
        return NOT_FLOAT
    if number is None:
        return Unsupported("an activation that C does not have")
    if dy.shape != z.shape:
        return SIZES
    dz = new_array(z.shape)
    status = lib.erniem_activation_backward(number, z.size, floats(dy), floats(z), floats(dz))
    return result_or_reason(dz, status)


def sum_of_squares(x):
    """Native kernel of `training.primitives.sum_of_squares`."""
    if x.dtype != FLOAT:
        return NOT_FLOAT
    result = ffi.new("double *")
    status = lib.erniem_sum_of_squares(x.size, floats(x), result)
    return result_or_reason(result[0], status)


def adamw(arrays, betas, eps, rate, decay, steps, scale=1):
    """Native kernel of `training.primitives.adamw`."""
    g = arrays[0]
    if any(a.dtype != FLOAT for a in arrays):
        return NOT_FLOAT
    if any(a.shape != g.shape for a in arrays):
        return SIZES
    if not all(is_readable(a) and a.flags.writeable for a in arrays[1:]):
        return Unsupported("weights or means that C cannot change in place")
    b1, b2 = betas
    correction, size = 1 / math.sqrt(1 - b2**steps), rate / (1 - b1**steps)
    means = [b1, 1 - b1, b2, 1 - b2]
    numbers = ffi.new("float[9]", [*means, correction, eps, size, 1 - decay, scale])
    return result_or_reason(None, lib.erniem_adamw(g.size, numbers, *map(floats, arrays)))


def norm_backward(dy, x, residual, gamma, eps):
    """Native kernel of `training.primitives.norm_backward`."""
    given = [dy, x, gamma] if residual is None else [dy, x, gamma, residual]
    if any(a.dtype != FLOAT for a in given):
        return NOT_FLOAT
    if not x.size or dy.shape != x.shape or gamma.shape != x.shape[-1:]:
        return SIZES
    if residual is not None and residual.shape != x.shape:
        return Unsupported("a residual that broadcasts")
    d, dv = gamma.size, new_array(x.shape)
    dgamma, dbeta = new_array((d,)), new_array((d,))
    added = ffi.NULL if residual is None else floats(residual)
    status = lib.erniem_norm_backward(
        *(x.size // d, d, floats(x), added, floats(gamma), eps, floats(dy)),
        *(floats(dv), floats(dgamma), floats(dbeta)),
    )
    return result_or_reason((dv, dgamma, dbeta), status)


def scores_to_gradient(scores, labels, count):
    """Native kernel of `training.primitives.scores_to_gradient`."""
    if scores.dtype != FLOAT:
        return NOT_FLOAT
    if scores.ndim != 2 or not scores.size or labels.shape != scores.shape[:1] or count < 1:
        return SIZES
    if labels.dtype.kind != "i" or not (is_readable(scores) and scores.flags.writeable):
        return Unsupported("labels that are not integers, or scores that C cannot change in place")
    labels = readable(labels.astype(np.int64, copy=False))
    losses = np.empty(len(labels))
    status = lib.erniem_cross_entropy(
        *(*scores.shape, ffi.from_buffer("int64_t[]", labels), 1 / count, floats(scores)),
        ffi.from_buffer("double[]", losses),
    )
    return result_or_reason(float(losses.sum()) / count, status)


def drop(x, dropped):
    """Native kernel of `training.dropout.drop`."""
    if x.dtype != FLOAT:
        return NOT_FLOAT
    if not x.ndim or not x.size:
        return SIZES
    n, y = x.shape[-1], new_array(x.shape)
    status = lib.erniem_drop(
        *(dropped.first, x.size // n, n, *_dropped_arguments(dropped), floats(x), floats(y))
    )
    return result_or_reason(y, status)


def _dropped_arguments(dropped):
    """The seed, the least number that keeps an element, and the factor of those that are kept."""
    return (0, 0, 1.0) if dropped is None else (dropped.seed, dropped.least, dropped.scale)


def attention_dropped(q, k, v, *, dropped, **options):
    """Native kernel of `training.attention_gradients.attention_dropped`."""
    given = _attention_arguments(q, k, v, dropped, **options)
    if type(given) is Unsupported:
        return given
    sizes, arguments = given
    B, H, T, _, d = sizes
    context = new_array((B, T, H, d))
    status = lib.erniem_attention_dropped(*sizes, *arguments, floats(context))
    return result_or_reason(context, status)


def attention_backward(dc, context, q, k, v, *, dropped=None, **options):
    """Native kernel of `training.attention_gradients.attention_backward`."""
    if dc.dtype != FLOAT or context.dtype != FLOAT:
        return NOT_FLOAT
    given = _attention_arguments(q, k, v, dropped, **options)
    if type(given) is Unsupported:
        return given
    sizes, arguments = given
    B, H, T, S, d = sizes
    if dc.shape != (B, T, H, d) or context.shape != dc.shape:
        return SIZES
    dq, dk, dv = (new_array((B, n, H, d)) for n in (T, S, S))
    status = lib.erniem_attention_backward(
        *sizes, *arguments, *map(floats, (context, dc, dq, dk, dv))
    )
    return result_or_reason((*(a.swapaxes(1, 2) for a in (dq, dk, dv)), {}), status)


def _attention_arguments(
    q,
    k,
    v,
    dropped,
    *,
    starts=None,
    mask=None,
    head_mask=None,
    query_distance=None,
    key_distance=None,
):
    """B, H, T, S, d, and what C takes of q, k, v, texts, masks and dropout; or why it does not."""
    if any(a.dtype != FLOAT for a in (q, k, v)):
        return NOT_FLOAT
    if query_distance is not None or key_distance is not None:
        return Unsupported("relative positions")
    if q.ndim != 4 or k.ndim != 4 or not q.size or not k.size:
        return SIZES
    (B, H, T, d), S = q.shape, k.shape[2]
    if k.shape != (B, H, S, d) or v.shape != k.shape:
        return SIZES
    if dropped is not None and dropped.first:
        return Unsupported("dropout that does not begin with row 0")
    options = (
        starts_arguments(starts),
        mask_arguments(mask, (B, H, T, S), starts),
        head_mask_arguments(head_mask, (B, H, 1, 1)),
    )
    for given in options:
        if type(given) is Unsupported:
            return given
    rows = [*rows_arguments(q), *rows_arguments(k), *rows_arguments(v)]
    arguments = chain(rows, *options, _dropped_arguments(dropped))
    return (B, H, T, S, d), list(arguments)


KERNELS = {
    "attention_backward": attention_backward,
    "attention_dropped": attention_dropped,
    "drop": drop,
    "norm_backward": norm_backward,
    "scores_to_gradient": scores_to_gradient,
    "sum_of_squares": sum_of_squares,
    "linear_backward": linear_backward,
    "bfloat16_linear": bfloat16_linear,
    "bfloat16_linear_backward": bfloat16_linear_backward,
    "activate": activate,
    "activation_backward": activation_backward,
    "adamw": adamw,
}
