"""TrainingConfig: everything that decides how a training run goes, except model and data."""

from dataclasses import dataclass
from numbers import Integral

from numpy_erniem.backend.cores import available_cores, check_num_threads
from numpy_erniem.checks import check_range
from numpy_erniem.training.learning_rate import DECAYS
from numpy_erniem.training.optimizer import check_betas, check_max_norm
from numpy_erniem.training.products import check_precision

LEAST = {  # whole numbers, and the least that each may be
    **dict.fromkeys(("steps", "batch_size", "gradient_accumulation", "save_every"), 1),
    **dict.fromkeys(("seed", "threads", "evaluate_every", "patience"), 0),
}
INTERVALS = {
    "learning_rate": "(0, 10)",
    "warmup": "[0, 1)",
    "layer_decay": "[0, 1]",
    "weight_decay": "[0, inf)",
}


@dataclass(frozen=True)
class TrainingConfig:
    """The options of a training run; all of them are written to run.json.

    Parameters
    ----------
    steps : int
        Optimizer steps in all, at least 1.
    batch_size : int
        Examples in a batch, at least 1.
    learning_rate : float
        The peak of the learning rate, in (0, 10).
    warmup : float
        The share of the steps in which the learning rate rises to its peak, in [0, 1); 0: it
        starts at the peak.
    decay : {"linear", "cosine", "constant"}
        How the learning rate falls after the warm-up; see `schedule`.
    layer_decay : float
        Factor of the learning rate from each layer to the one below, in [0, 1]; 1: the same for all
        layers, 0: only the head and the pooler learn. See `layer_factors`.
    weight_decay : float
        λ of AdamW; 0: none.
    betas : (float, float)
        β₁ and β₂ of AdamW, in [0, 1).
    max_grad_norm : float or None
        Gradients are scaled down to this norm, taken over all of them together; None: never.
    gradient_accumulation : int
        Batches in a step, at least 1. A step uses the mean of their gradients.
    seed : int
        Of everything drawn at random: new weights, order of the examples, masks, dropout; at least
        0.
    threads : int
        Threads that compute, at most 1024; 0: one for each core that the process may use. With
        native kernels the result does not depend on their number; with NumPy it is bit-identical
        for a fixed number.
    gradient_checkpointing : bool
        Compute each layer twice instead of keeping its intermediate results: less memory, about a
        third more work.
    precision : {"float32", "bfloat16"}
        Of the products of linear maps. "bfloat16", mixed precision: their inputs are rounded to
        bfloat16 and summed in float32, forward and backward; weights, gradients and all else stay
        float32. Evaluations are computed in float32.
    save_every : int
        Steps between two saved states, at least 1.
    evaluate_every : int
        Steps between two evaluations; 0: only after the last step.
    patience : int
        The run stops after so many evaluations in a row without a better score; 0: never.

    Raises
    ------
    ValueError
        A value out of its range.
    """

    steps: int
    batch_size: int = 32
    learning_rate: float = 1e-4
    warmup: float = 0.1
    decay: str = "linear"
    layer_decay: float = 1.0
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float | None = 1.0
    gradient_accumulation: int = 1
    seed: int = 0
    threads: int = 0
    gradient_checkpointing: bool = False
    precision: str = "float32"
    save_every: int = 500
    evaluate_every: int = 0
    patience: int = 0

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
                raise ValueError(f"{name} is {value!r}, not a whole number of at least {least}")
            object.__setattr__(self, name, int(value))  # of NumPy's, which run.json does not take
        for name, interval in INTERVALS.items():
            check_range(name, getattr(self, name), interval)
            object.__setattr__(self, name, float(getattr(self, name)))
        check_betas(self.betas)
        object.__setattr__(self, "betas", tuple(map(float, self.betas)))
        if self.max_grad_norm is not None:
            check_max_norm("max_grad_norm", self.max_grad_norm)
            object.__setattr__(self, "max_grad_norm", float(self.max_grad_norm))
        if self.patience and not self.evaluate_every:
            raise ValueError(f"patience {self.patience} needs evaluate_every, which is 0")
        if self.decay not in DECAYS:
            raise ValueError(f"decay {self.decay!r} is not one of {', '.join(DECAYS)}")
        if not isinstance(self.gradient_checkpointing, bool):
            raise ValueError(
                f"gradient_checkpointing is {self.gradient_checkpointing!r}, not True or False"
            )
        check_precision(self.precision)
        object.__setattr__(
            self, "threads", check_num_threads(self.threads or available_cores(), "threads")
        )

    @property
    def warmup_steps(self) -> int:
        """The steps in which the learning rate rises."""
        return round(self.warmup * self.steps)
