"""AdamW, and what belongs to a step: clipping, the schedule, a rate for every layer."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from numpy_erniem.ops import CACHE_BLOCK
from numpy_erniem.training.gradient_tree import SparseRows
from numpy_erniem.training.threads import in_threads

Flat = Mapping[str, Any]  # flat name → array, or SparseRows


@dataclass
class AdamW:
    """Adam with decoupled weight decay.

    Parameters
    ----------
    rate : float
        Learning rate η, before `step`'s factor.
    betas : (float, float)
        How much of the two running means each step keeps.
    eps : float
    weight_decay : float
        λ. Biases and layer norms, tensors of one axis, are not decayed.
    factors : dict of str to float
        Of the rate, by flat name; 1 where a name is missing. See `layer_factors`.

    Notes
    -----
    For every weight w with gradient g, at step t::

        m ← β₁ m + (1 - β₁) g        v ← β₂ v + (1 - β₂) g²
        w ← w - η λ w - η (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + ε)

    Rows of a table that were not looked up count as g = 0, as in torch, and so they move on by
    what m holds of them.

    References
    ----------
    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", arXiv:1711.05101, algorithm 2.
    """

    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01
    factors: dict[str, float] = field(default_factory=dict)
    steps: int = 0
    first: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    second: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def step(
        self,
        weights: Mapping[str, np.ndarray],
        gradients: Flat,
        factor: float = 1,
        threads: int = 1,
    ) -> None:
        """Change the weights, in place, that have a gradient.

        factor multiplies the learning rate: the schedule's. Threads do not change the result.
        """
        self.steps += 1
        tasks = []
        for name, g in gradients.items():
            w = weights[name]
            for means in (self.first, self.second):
                if name not in means:
                    means[name] = np.zeros_like(w)
            g = g.dense() if isinstance(g, SparseRows) else g
            rate = self.rate * factor * self.factors.get(name, 1)
            decay = self.weight_decay * rate if w.ndim > 1 else 0
            lines = [a.reshape(-1) for a in (w, g, self.first[name], self.second[name])]
            for at in range(0, w.size, CACHE_BLOCK):
                tasks.append(([line[at : at + CACHE_BLOCK] for line in lines], rate, decay))
        shares = [tasks[n::threads] for n in range(threads)]
        in_threads(lambda share: [self._update(*task) for task in share], shares)

    def _update(self, arrays: list[np.ndarray], rate: float, decay: float) -> None:
        """The formula on one block of the four arrays."""
        w, g, m, v = arrays
        (b1, b2), t = self.betas, self.steps
        m *= b1
        m += (1 - b1) * g
        v *= b2
        part = np.square(g)
        part *= 1 - b2
        v += part
        np.sqrt(v, out=part)
        part *= 1 / math.sqrt(1 - b2**t)
        part += self.eps
        np.divide(m, part, out=part)
        part *= rate / (1 - b1**t)
        if decay:
            w *= 1 - decay
        w -= part


def clip(gradients: dict[str, Any], largest: float | None) -> tuple[dict[str, Any], float]:
    """Scale all gradients down together if their common norm is above `largest`.

    Returns
    -------
    gradients : dict
        The same, or scaled ones; the arrays given are reused.
    norm : float
        √ Σ g² before clipping; NaN or infinite where a gradient is.

    References
    ----------
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks",
    arXiv:1211.5063, section 3.2; `torch.nn.utils.clip_grad_norm_`.
    """
    norm = math.sqrt(sum(_squares(g) for g in gradients.values()))
    if largest is not None and largest < norm < math.inf:
        factor = largest / (norm + 1e-6)
        for g in gradients.values():
            values = g.values if isinstance(g, SparseRows) else g
            values *= factor
    return gradients, norm


def _squares(g: Any) -> float:
    line = (g.values if isinstance(g, SparseRows) else g).reshape(-1)
    with np.errstate(over="ignore"):
        return float(line @ line)


def nonfinite(tensors: Flat) -> list[str]:
    """Names of the tensors that hold NaN or infinity."""
    return [
        name
        for name, g in tensors.items()
        if not np.isfinite(g.values if isinstance(g, SparseRows) else g).all()
    ]


def linear_decay(share: float) -> float:
    """1 - s: a straight line to 0."""
    return 1 - share


def cosine_decay(share: float) -> float:
    """½ (1 + cos π s)."""
    return 0.5 * (1 + math.cos(math.pi * share))


DECAYS: dict[str, Callable[[float], float]] = {
    "linear": linear_decay,
    "cosine": cosine_decay,
    "constant": lambda share: 1.0,
}


def schedule(step: int, steps: int, warmup: int, decay: str = "linear") -> float:
    """Factor of the learning rate at a step, counted from 0: up from 0 by `warmup`, then down.

    Examples
    --------
    >>> [schedule(step, 6, 2) for step in range(6)]
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]
    """
    if step < warmup:
        return step / warmup
    return DECAYS[decay](min(1.0, (step - warmup) / max(1, steps - warmup)))


def layer_factors(names: Any, layers: int, decay: float) -> dict[str, float]:
    """Layer-wise decay of the learning rate: decayⁿ, n layers below the head.

    The head has 1, the last layer `decay`, the embeddings decay^(layers + 1); the pooler counts to
    the head. The authors' scripts have 0.8.

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
