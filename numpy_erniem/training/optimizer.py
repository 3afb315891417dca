"""AdamW, and clipping of gradients to a largest norm."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from numpy_erniem.checks import check_range
from numpy_erniem.training.gradient_tree import SparseRows, scale, stored_values
from numpy_erniem.training.primitives import adamw, sum_of_squares
from numpy_erniem.training.threads import in_threads, parts_of_batch

BLOCK = 1 << 19  # elements that a thread takes at once; of a sparse gradient, made dense
Flat = Mapping[str, Any]  # flat name → array, or SparseRows


@dataclass
class AdamW:
    """Adam with decoupled weight decay.

    Parameters
    ----------
    learning_rate : float
        η, the peak; `step` multiplies it by the factor of the schedule.
    betas : (float, float)
        β₁ and β₂: how much of the running means of g and g² each step keeps, in [0, 1).
    eps : float
        ε, which keeps the division finite.
    weight_decay : float
        λ. Biases and layer norms, which are tensors of one axis, are not decayed.
    factors : dict of str to float
        Further factors of the learning rate, by flat name; 1 where a name is missing. See
        `layer_factors`.
    steps : int
        t, the steps made so far.
    first, second : dict of str to array
        The running means m and v, by flat name; `step` makes those that are missing.

    Raises
    ------
    ValueError
        A number out of its range.

    Notes
    -----
    For every weight w with gradient g, at step t::

        m ← β₁ m + (1 - β₁) g        v ← β₂ v + (1 - β₂) g²
        w ← w - η λ w - η (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + ε)

    Rows of a table that were not looked up have g = 0, but are still moved by their momentum m, as
    in torch.

    References
    ----------
    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", arXiv:1711.05101, algorithm 2.
    """

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01
    factors: dict[str, float] = field(default_factory=dict)
    steps: int = 0
    first: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    second: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        check_betas(self.betas)
        check_range("learning_rate", self.learning_rate, "[0, inf)")
        check_range("eps", self.eps, "(0, inf)")
        check_range("weight_decay", self.weight_decay, "[0, inf)")

    def step(
        self,
        weights: Mapping[str, np.ndarray],
        gradients: Flat,
        factor: float = 1,
        threads: int = 1,
        gradient_factor: float = 1,
    ) -> None:
        """Change the weights that have a gradient, in place.

        Parameters
        ----------
        weights : dict of str to array
            By flat name, of any shapes; C-contiguous.
        gradients : dict of str to array or SparseRows
            By flat name, each of its weight's shape and dtype.
        factor : float
            Multiplies the learning rate: the value of `schedule` at this step.
        threads : int
            The result does not depend on their number.
        gradient_factor : float
            Multiplies the gradients, which stay as they are: the factor of `clip_factor`.

        Raises
        ------
        ValueError
            A gradient of no weight or of another shape, or a weight that cannot be changed in
            place. Nothing is changed then.
        """
        for name, g in gradients.items():
            _check_weight(name, weights.get(name), g)
        self.steps += 1
        tasks = []
        for name, g in gradients.items():
            w = weights[name]
            for means in (self.first, self.second):
                if name not in means:
                    means[name] = np.zeros_like(w)
            rate = self.learning_rate * factor * self.factors.get(name, 1)
            decay = self.weight_decay * rate if w.ndim > 1 else 0
            arrays = (w, self.first[name], self.second[name])
            tasks += [(*block, rate, decay, gradient_factor) for block in _blocks(g, arrays)]
        with parts_of_batch(threads) as parts:
            shares = [tasks[n::parts] for n in range(parts)]
            in_threads(lambda share: [self._update(*task) for task in share], shares)

    def _update(
        self,
        g: "np.ndarray | _RowBlock",
        arrays: list[np.ndarray],
        rate: float,
        decay: float,
        scale: float,
    ) -> None:
        """Apply the formula to one block of g and of w, m and v."""
        g = g if isinstance(g, np.ndarray) else g.dense()
        adamw((g, *arrays), self.betas, self.eps, rate, decay, self.steps, scale)


def _check_weight(name: str, weight: np.ndarray | None, gradient: Any) -> None:
    """ValueError unless a gradient fits its weight, and the weight can be changed in place."""
    if weight is None:
        raise ValueError(f"there is a gradient of {name}, which is no weight")
    if tuple(gradient.shape) != weight.shape:
        raise ValueError(f"{name} has the shape {weight.shape}, its gradient {gradient.shape}")
    if not weight.flags.writeable or not weight.flags.c_contiguous:
        raise ValueError(
            f"{name} cannot be changed in place: it is read-only or not C-contiguous; take a model "
            "from `trainable`"
        )


@dataclass(frozen=True)
class _RowBlock:
    """Rows start..end-1 of a sparse gradient; made dense only while they are used."""

    gradient: SparseRows
    start: int
    end: int

    def dense(self) -> np.ndarray:
        return self.gradient.dense_rows(self.start, self.end)


def _blocks(g: np.ndarray | SparseRows, arrays: tuple[np.ndarray, ...]) -> Iterator[tuple]:
    """g and the arrays of its shape, in blocks that threads share."""
    if isinstance(g, SparseRows):
        V, D = g.shape
        rows = max(1, BLOCK // D)
        for at in range(0, V, rows):
            end = min(at + rows, V)
            yield _RowBlock(g, at, end), [a[at:end] for a in arrays]
        return
    flat, lines = g.reshape(-1), [a.reshape(-1) for a in arrays]
    for at in range(0, flat.size, BLOCK):
        block = slice(at, at + BLOCK)
        yield flat[block], [line[block] for line in lines]


def clip_factor(gradients: Flat, max_norm: float | None, threads: int = 1) -> tuple[float, float]:
    """The factor that makes the common norm of all gradients `max_norm` at most, and that norm.

    Parameters
    ----------
    gradients : dict of str to array or SparseRows
        By flat name.
    max_norm : float or None
        None: the factor is 1.
    threads : int
        The result does not depend on their number.

    Returns
    -------
    factor : float
        For `AdamW.step`; 1 where the norm is not above max_norm, or not finite.
    norm : float
        √ Σ g²; NaN or infinite if a gradient is.

    Raises
    ------
    ValueError
        A `max_norm` that is not above 0.

    References
    ----------
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks",
    arXiv:1211.5063, section 3.2; `torch.nn.utils.clip_grad_norm_`.
    """
    if max_norm is not None:
        check_max_norm("max_norm", max_norm)
    with parts_of_batch(threads), np.errstate(over="ignore"):
        norm = math.sqrt(sum(sum_of_squares(stored_values(g)) for g in gradients.values()))
    is_long = max_norm is not None and max_norm < norm < math.inf
    return (max_norm / (norm + 1e-6) if is_long else 1), norm


def clip(gradients: dict[str, Any], max_norm: float | None) -> tuple[dict[str, Any], float]:
    """Scale all gradients in place by their `clip_factor`.

    Parameters
    ----------
    gradients, max_norm
        As of `clip_factor`.

    Returns
    -------
    gradients : dict
        The dict that was given.
    norm : float
        As of `clip_factor`: that before clipping.

    Raises
    ------
    ValueError
        A `max_norm` that is not above 0.
    """
    factor, norm = clip_factor(gradients, max_norm)
    if factor != 1:
        scale(gradients, factor)
    return gradients, norm


def nonfinite(tensors: Flat) -> list[str]:
    """The names of the tensors that hold NaN or infinity."""
    return [name for name, t in tensors.items() if not np.isfinite(stored_values(t)).all()]


def check_betas(betas: Any) -> None:
    """ValueError unless β₁ and β₂ are two numbers in [0, 1)."""
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ValueError(f"betas is {betas!r}, not two numbers, β₁ and β₂")
    for beta in betas:
        check_range("each of betas", beta, "[0, 1)")


def check_max_norm(name: str, value: Any) -> None:
    """ValueError unless a largest norm is above 0."""
    try:
        check_range(name, value, "(0, inf]")
    except ValueError as error:
        raise ValueError(f"{error}; None turns clipping off") from None
