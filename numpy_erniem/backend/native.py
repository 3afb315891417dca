"""The native kernels of the primitives in `ops`: arrays checked, C called, status → result.

C never sees an array whose shape, dtype and layout were not checked here. Where C does not take the
arguments, a kernel returns `Unsupported`, and the NumPy function runs. Only `dispatch` calls these.
"""

import numpy as np

from numpy_erniem._kernels import ffi, lib
from numpy_erniem.backend import native_training
from numpy_erniem.backend.activation_numbers import ACTIVATIONS
from numpy_erniem.backend.frozen import is_frozen
from numpy_erniem.backend.independent_rows import rows_are_independent
from numpy_erniem.backend.memory import (
    FLOAT,
    floats,
    new_array,
    new_floats,
    readable,
    result_or_reason,
)
from numpy_erniem.backend.native_attention import attention
from numpy_erniem.backend.packing import ROWS, forget, layer_arguments, panels, rows_were_read
from numpy_erniem.backend.ranking import top_scores
from numpy_erniem.backend.tables import word_table
from numpy_erniem.backend.unsupported import NOT_FLOAT, SIZES, Unsupported
from numpy_erniem.quantization.numbers import INT8, NARROW

WRONG_ISA, BAD_SIZE = lib.ERNIEM_WRONG_ISA, lib.ERNIEM_BAD_SIZE


def linear(x, w, activation=None, norm=None):
    """Native kernel of `ops.linear`; the norm is part of the same call of C."""
    if x.dtype != FLOAT:
        return NOT_FLOAT
    layer = layer_arguments(w, _linear_arguments)
    if type(layer) is Unsupported:
        return layer
    n, k, weight, bias = layer
    shape, number = x.shape, ACTIVATIONS.get(activation)
    if number is None or not shape or shape[-1] != k or not x.size:
        return SIZES
    its_shape = *shape[:-1], n
    normed = None if norm is None else _norm_of(its_shape, *norm)
    if type(normed) is Unsupported:
        return normed
    y, results = new_floats(its_shape)
    product = x.size // k, floats(x), weight, bias, number, rows_are_independent()
    if normed is None:
        status = lib.erniem_linear(*product, results)
    else:
        status = lib.erniem_linear_add_norm(*product, *normed, results)
    if status == WRONG_ISA:
        forget(w)
        return linear(x, w, activation, norm)
    return result_or_reason(y, status)


def float32_linear(x, w):
    """Native kernel of `training.products.float32_linear`."""
    y = native_training.thirds_linear(x, w)
    return linear(x, w) if y is None else y


def linears(x, ws):
    """Native kernel of `ops.linears`: one call for all weights, if they have one shape."""
    if x.dtype != FLOAT:
        return NOT_FLOAT
    layers = [layer_arguments(w, _linear_arguments) for w in ws]
    for layer in layers:
        if type(layer) is Unsupported:
            return layer
    if not layers or not x.ndim or not x.size:
        return SIZES
    ns, ks, weights, biases = zip(*layers, strict=True)
    n, k, shape = ns[0], ks[0], x.shape
    if shape[-1] != k:
        return SIZES
    if ns.count(n) != len(ws) or ks.count(k) != len(ws):
        return Unsupported("weights of different shapes")
    its_shape, alone = (*shape[:-1], n), rows_are_independent()
    ys, results = zip(*(new_floats(its_shape) for _ in ws), strict=True)
    status = lib.erniem_linears(len(ws), x.size // k, floats(x), weights, biases, 0, alone, results)
    if status == WRONG_ISA:
        for w in ws:
            forget(w)
        return linears(x, ws)
    if status == BAD_SIZE:  # weights of different number types: one call for each
        ys = [linear(x, w) for w in ws] if len(ws) > 1 else SIZES
        return next((y for y in ys if type(y) is Unsupported), ys)
    return result_or_reason(list(ys), status)


def mlp(x, first, second, activation, norm=None):
    """Native kernel of `ops.mlp`: one call, which keeps the wide array in it."""
    if x.dtype != FLOAT:
        return NOT_FLOAT
    layers = [layer_arguments(w, _linear_arguments) for w in (first, second)]
    for layer in layers:
        if type(layer) is Unsupported:
            return layer
    (wide, k, *to_wide), (n, its_k, *back) = layers
    number = ACTIVATIONS.get(activation)
    if number is None or not x.size or x.shape[-1] != k or its_k != wide:
        return SIZES
    shape = *x.shape[:-1], n
    normed = None if norm is None else _norm_of(shape, *norm)
    if type(normed) is Unsupported:
        return normed
    y, results = new_floats(shape)
    products = x.size // k, floats(x), *to_wide, number, *back, rows_are_independent()
    if normed is None:
        status = lib.erniem_mlp(*products, results)
    else:
        status = lib.erniem_mlp_add_norm(*products, *normed, results)
    if status == WRONG_ISA:
        forget(first)
        forget(second)
        return mlp(x, first, second, activation, norm)
    return result_or_reason(y, status)


def _linear_arguments(w):
    """N, K, the packed weight and a copy of the bias of a linear layer."""
    weight, bias, scale = w["weight"], w["bias"], None
    if bias.dtype != FLOAT or weight.dtype not in (FLOAT, *NARROW):
        return NOT_FLOAT
    if weight.ndim != 2 or not weight.size or bias.shape != weight.shape[:1]:
        return SIZES
    if weight.dtype == INT8:
        scale = w["scale"]
        if scale.dtype != FLOAT or scale.shape != bias.shape:
            return Unsupported("scales that are not one float32 number for each row")
    packed = panels(weight, scale)
    if type(packed) is Unsupported:
        return packed
    return (*weight.shape, packed, floats(bias.copy()))


def add_norm(x, residual, w, eps):
    """Native kernel of `ops.add_norm`."""
    if x.dtype != FLOAT:
        return NOT_FLOAT
    shape = x.shape
    normed = _norm_of(shape, residual, w, eps)
    if type(normed) is Unsupported:
        return normed
    if not x.size:
        return SIZES
    y, results = new_floats(shape)
    status = lib.erniem_add_norm(x.size // shape[-1], shape[-1], floats(x), *normed, results)
    return result_or_reason(y, status)


def _norm_of(shape, residual, w, eps):
    """What C reads for the norm of an array of this shape: residual, γ, β and eps."""
    layer = layer_arguments(w, _norm_arguments)
    if type(layer) is Unsupported:
        return layer
    d, scale, shift = layer
    if not shape or shape[-1] != d:
        return SIZES
    if residual is None:
        return ffi.NULL, scale, shift, eps
    if residual.dtype != FLOAT:
        return NOT_FLOAT
    if residual.shape != shape:
        return Unsupported("a residual that broadcasts")
    return floats(residual), scale, shift, eps


def _norm_arguments(w):
    """D, and copies of the factor γ and the shift β of a layer norm."""
    weight, bias = w["weight"], w["bias"]
    if weight.dtype != FLOAT or bias.dtype != FLOAT:
        return NOT_FLOAT
    if weight.ndim != 1 or not weight.size or bias.shape != weight.shape:
        return SIZES
    return weight.size, floats(weight.copy()), floats(bias.copy())


def layer_norm(x, w, eps):
    """Native kernel of `ops.layer_norm`."""
    return add_norm(x, None, w, eps)


def embed(ids, rows, w, eps):
    """Native kernel of `ops.embed`.

    A call of C takes a few texts, or a part of a single row, so that few rows of a mapped table are
    in memory at a time.
    """
    words, positions = w["word_embeddings"]["weight"], w["position_embeddings"]["weight"]
    weight, bias = w["layer_norm"]["weight"], w["layer_norm"]["bias"]
    if any(a.dtype != FLOAT for a in (positions, weight, bias)):
        return NOT_FLOAT
    table = word_table(w["word_embeddings"])
    if type(table) is Unsupported:
        return table
    if ids.dtype.kind != "i" or rows.dtype.kind != "i":
        return Unsupported("indices that are not integers")
    if ids.ndim != 2 or not ids.size or rows.shape not in (ids.shape, (1, ids.shape[1])):
        return SIZES
    d = weight.shape[0] if weight.ndim == 1 else 0
    tables = words.ndim == 2 and positions.ndim == 2 and words.shape[1] == positions.shape[1] == d
    if not d or not tables or bias.shape != (d,):
        return SIZES
    if not (_inside(ids, len(words)) and _inside(rows, len(positions))):
        return Unsupported("indices that count from the end, or lie outside")
    ids, rows = (readable(a.astype(np.int64, copy=False)) for a in (ids, rows))
    y, status = new_array((*ids.shape, d)), 0
    same, T = rows.size == ids.size, ids.shape[1]  # rows of all tokens, or those of a text
    step = ROWS if same else max(1, ROWS // T) * T
    ids, rows, flat = ids.reshape(-1), rows.reshape(-1), y.reshape(-1, d)
    for start in range(0, ids.size, step):
        some = slice(start, start + step)
        its_ids, its_rows = ids[some], rows[some] if same else rows
        status = status or lib.erniem_embed(
            its_ids.size,
            d,
            _indices(its_ids),
            table,
            _indices(its_rows),
            its_rows.size,
            floats(positions),
            floats(weight),
            floats(bias),
            eps,
            floats(flat[some]),
        )
        rows_were_read(words, its_ids.size)
    return result_or_reason(y, status)


def _inside(indices: np.ndarray, end: int) -> bool:
    return indices.min() >= 0 and indices.max() < end


def _indices(array: np.ndarray):
    return ffi.from_buffer("int64_t[]", array)


def prepare(w):
    """Keep what the kernels read of a linear layer or a layer norm, so that no call makes it."""
    if is_frozen(w["weight"]):
        layer_arguments(w, _norm_arguments if w["weight"].ndim == 1 else _linear_arguments)


KERNELS = {
    "linear": linear,
    "linears": linears,
    "mlp": mlp,
    "add_norm": add_norm,
    "layer_norm": layer_norm,
    "embed": embed,
    "attention": attention,
    "top_scores": top_scores,
    "float32_linear": float32_linear,
    **native_training.KERNELS,
}
