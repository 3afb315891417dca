"""The items of a request on their way through a model, and what runs several of them at once."""

from collections.abc import Callable
from typing import Any, NamedTuple

from numpy_erniem.pipelines.base import Pipeline
from numpy_erniem.pipelines.streaming import Prepared
from numpy_erniem.serving.notes import collect_notes


class Job:
    """The items of a request, on their way through a model.

    Parameters
    ----------
    task : Pipeline
        With the options of the request.
    items : list
        As `task.check` gives them.
    key : tuple
        Jobs with equal keys may run in one batch: the options that differ are read before or after
        the model runs.
    places : list of str
        What an error calls each item.
    on_done : function
        Called once, in the thread of the runner, when there are results or an error.
    """

    def __init__(
        self,
        task: Pipeline[Any],
        items: list[Any],
        key: tuple[Any, ...],
        places: list[str],
        on_done: Callable[["Job"], None],
    ) -> None:
        self.task = task
        self.items = items
        self.key = key
        self.places = places
        self.on_done = on_done
        self.taken = 0  # items that a batch has taken
        self.results: list[Any] = []
        self.tokens: list[int] = []  # of each item
        self.read: int = 0  # tokens that the model has read, special ones and windows included
        self.cut: list[int] = []  # items of which something was left out
        self.notes: list[str] = []  # what the task warned of
        self.error: Exception | None = None
        self.over = False  # has results or an error, or is wanted no longer

    @property
    def waiting(self) -> int:
        """Items that no batch has taken."""
        return len(self.items) - self.taken

    def fail(self, error: Exception) -> None:
        """End without results."""
        if not self.over:
            self.error, self.over = error, True
            self.on_done(self)

    def add(self, results: list[Any], prepared: list[Prepared]) -> None:
        """Take the results of the next items; end when they are all there."""
        if self.over:
            return
        first = len(self.results)
        self.results += results
        self.tokens += [p.tokens for p in prepared]
        self.read += sum(len(row) for p in prepared for row in p.rows)
        self.cut += [first + n for n, p in enumerate(prepared) if p.cut]
        if len(self.results) == len(self.items):
            self.over = True
            self.on_done(self)


class Slice(NamedTuple):
    """Some items of a job, ready for the model."""

    job: Job
    items: list[Any]
    prepared: list[Prepared]


class CancelledError(Exception):
    """Nobody waits for what is running."""


def run_slices(parts: list[Slice]) -> list[list[Any]]:
    """The results of slices whose rows may stand in one batch.

    Parameters
    ----------
    parts : list of Slice
        Where the task has a `run` of its own, of one job.

    Returns
    -------
    list of lists
        For each slice the result of each item.

    Raises
    ------
    CancelledError
        No job is wanted any longer.
    """

    def done(part: float) -> None:
        if all(part.job.over for part in parts):
            raise CancelledError

    leader = parts[0].job.task
    if merges(leader):
        rows = [row for part in parts for p in part.prepared for row in p.rows]
        outputs = iter(leader.compute(rows, done))
        return [
            [
                part.job.task.finish(item, p, [next(outputs) for _ in p.rows])
                for item, p in zip(part.items, part.prepared, strict=True)
            ]
            for part in parts
        ]
    results = []
    for part in parts:
        with collect_notes(part.job.notes):
            results.append(part.job.task.run(part.items, part.prepared, done))
    return results


def merges(task: Pipeline[Any]) -> bool:
    """Whether a task runs the model once, so that jobs with other options can be in its batch."""
    return type(task).run is Pipeline.run
