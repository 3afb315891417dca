"""The options of `value_and_grad` that a training run sets for its steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from numpy_erniem.training.training_config import TrainingConfig


class StepOptions(NamedTuple):
    """The values that `value_and_grad` takes for options that are left out.

    Attributes
    ----------
    gradient_checkpointing : bool
    threads : int
    precision : str
    """

    gradient_checkpointing: bool = False
    threads: int = 1
    precision: str = "float32"


DEFAULTS = StepOptions()
_chosen: ContextVar[StepOptions] = ContextVar("numpy_erniem_step_options", default=DEFAULTS)


@contextmanager
def steps_of(config: TrainingConfig) -> Iterator[None]:
    """Let `value_and_grad` take its options from a config, in a `with` block of this thread."""
    token = _chosen.set(
        StepOptions(config.gradient_checkpointing, config.threads, config.precision)
    )
    try:
        yield
    finally:
        _chosen.reset(token)


def step_options(
    gradient_checkpointing: bool | None, threads: int | None, precision: str | None
) -> StepOptions:
    """The options that are given; for those that are None, the values of the block of `steps_of`.

    Parameters
    ----------
    gradient_checkpointing, threads, precision
        As of `value_and_grad`.

    Returns
    -------
    StepOptions
        Outside of such a block: no checkpointing, one thread, float32.
    """
    given = (gradient_checkpointing, threads, precision)
    pairs = zip(given, _chosen.get(), strict=True)
    return StepOptions(*(other if value is None else value for value, other in pairs))
