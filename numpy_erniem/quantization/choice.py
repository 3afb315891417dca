"""Which layers have to be floats, for no vector to be far from that of float32."""

import copy
from collections.abc import Sequence

from numpy_erniem.models.narrow_weights import SCALE
from numpy_erniem.models.precision import layer_of
from numpy_erniem.models.weights import flatten
from numpy_erniem.quantization.agreement import LEAST_COSINE, Texts
from numpy_erniem.quantization.logits import Model


def keep_layers(wide: Model, narrow: Model, layers: Sequence[str]) -> Model:
    """A copy of the int8 model in which more layers are floats; arrays are shared.

    Parameters
    ----------
    wide, narrow : models of one class
    layers : sequence of str
        Names as of `config.quantization.quantizable_layers`.

    Returns
    -------
    model
    """
    flat, floats = flatten(narrow.weights), flatten(wide.weights)
    for name, values in floats.items():
        if name.endswith(".weight") and layer_of(name) in layers:
            flat.pop(name + SCALE, None)
            flat[name] = values
    model = copy.copy(narrow)
    model.config = copy.deepcopy(narrow.config)
    kept = [*narrow.config.quantization["keep_float"], *layers]
    model.config.quantization = {"dtype": "int8", "keep_float": kept}
    model.config.validate()  # puts the names in order
    model._set_weights(flat)
    return model


def layers_to_keep(
    wide: Model,
    narrow: Model,
    texts: Texts,
    order: Sequence[str],
    least_cosine: float = LEAST_COSINE,
) -> list[str]:
    """The first layers of an order that must be floats for every cosine to reach a bound.

    Parameters
    ----------
    wide, narrow : models of one class
    texts : Texts
    order : sequence of str
        Layers, the one that is most worth keeping first.
    least_cosine : float

    Returns
    -------
    list of str
        Found by bisection: with fewer of them the bound is missed; all, if it is never reached.
    """
    want = texts.vectors(wide)

    def reaches(count: int) -> bool:
        got = texts.vectors(keep_layers(wide, narrow, order[:count]))
        return bool((want * got).sum(axis=1).min() >= least_cosine)

    low, high = 0, 1  # too few, and enough
    while high < len(order) and not reaches(high):
        low, high = high, min(2 * high, len(order))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return list(order[:high])
