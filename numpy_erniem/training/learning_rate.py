"""The learning rate: its schedule over the steps, and its decay from layer to layer."""

import math
import re
from collections.abc import Callable, Iterable

# Factor after the warm-up, by the share of the steps after it that are done, 0 ≤ s < 1.
DECAYS: dict[str, Callable[[float], float]] = {
    "linear": lambda s: 1 - s,
    "cosine": lambda s: 0.5 * (1 + math.cos(math.pi * s)),
    "constant": lambda s: 1.0,
}


def schedule(step: int, steps: int, warmup: int, decay: str = "linear") -> float:
    """The factor of the learning rate at a step: up to 1 in the warm-up, then down towards 0.

    Parameters
    ----------
    step : int
        s, counted from 0; the last step is steps - 1.
    steps : int
        n, all steps of the run.
    warmup : int
        w, how many of them are warm-up; 0: none.
    decay : {"linear", "cosine", "constant"}
        What follows the warm-up.

    Returns
    -------
    float
        In (0, 1] for the steps 0..n-1. After the last step: 0, or 1 for "constant".

    Raises
    ------
    ValueError
        An unknown decay.

    Notes
    -----
    The factor is::

        (s + 1) / w                        s < w: the warm-up, from 1/w to 1
        (n - s) / (n - w)                  "linear", from 1 to 1 / (n - w)
        ½ (1 + cos(π (s - w) / (n - w)))   "cosine", from 1
        1                                  "constant"

    No step has the factor 0, so every step changes the weights.

    Examples
    --------
    >>> [schedule(step, 6, 2) for step in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    if decay not in DECAYS:
        raise ValueError(f"decay {decay!r} is not one of {', '.join(DECAYS)}")
    if step < warmup:
        return (step + 1) / warmup
    return DECAYS[decay](min(1.0, (step - warmup) / max(1, steps - warmup)))


def layer_factors(names: Iterable[str], layers: int, decay: float) -> dict[str, float]:
    """Layer-wise decay of the learning rate: decayⁿ for weights n layers below the head.

    Parameters
    ----------
    names : iterable of str
        Flat names of weights.
    layers : int
        L, the layers of the encoder.
    decay : float
        1: the same learning rate everywhere. The authors' scripts use 0.8.

    Returns
    -------
    dict of str to float
        1 for the head and the pooler, `decay` for the last layer, decay^(L + 1) for the embeddings.

    Examples
    --------
    >>> names = ["classifier.bias", "ernie_m.encoder.layers.1.norm1.bias",
    ...          "ernie_m.embeddings.layer_norm.bias"]
    >>> [round(f, 3) for f in layer_factors(names, 2, 0.8).values()]
    [1.0, 0.8, 0.512]
    """
    factors = {}
    for name in names:
        layer = re.search(r"encoder\.layers\.(\d+)\.", name)
        below = layers - int(layer[1]) if layer else 0
        if ".embeddings." in f".{name}":
            below = layers + 1
        factors[name] = decay**below
    return factors
