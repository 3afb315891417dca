"""What a command does with rows, whichever engine runs it: the rules for rows and their errors."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy_erniem.engines.errors import DataError
from numpy_erniem.engines.journal import Counts
from numpy_erniem.engines.records import Record
from numpy_erniem.engines.writers import Writer, writer_of
from numpy_erniem.pipelines.base import Pipeline
from numpy_erniem.pipelines.streaming import Outcome

ON_ERROR = ("stop", "skip", "row")
ERROR = "error"  # the column that tells why a row has no result


@dataclass(frozen=True)
class Job:
    """What a command asks for.

    Attributes
    ----------
    pipeline : Pipeline
    item : function
        From the value of a record to an item of the pipeline; ValueError where it holds none.
    kept : function
        From the value of a record to the columns that the output has of it.
    result : function
        From a result of the pipeline to columns of the output.
    columns : tuple of str
        Of the output, in order.
    on_error : {"stop", "skip", "row"}
        Stop at a row without a result, leave it out, or write a row with the column "error".
    options : dict
        What the results depend on: a run is only resumed with the same.
    width : int
        Numbers of a vector, where the results are vectors.
    """

    pipeline: Pipeline[Any]
    item: Callable[[Any], Any]
    kept: Callable[[Any], Mapping[str, Any]]
    result: Callable[[Any], Mapping[str, Any]]
    columns: tuple[str, ...]
    on_error: str
    options: Mapping[str, Any]
    width: int = 0

    @property
    def written(self) -> tuple[str, ...]:
        """The columns of the output, the one of errors included."""
        return (*self.columns, ERROR) if self.on_error == "row" else self.columns


def outcomes(job: Job, records: Iterator[Record]) -> Iterator[tuple[Record, Outcome[Any]]]:
    """Each record with its outcome, in order; those that cannot be read do not reach the model."""
    waiting: deque[tuple[Record, bool]] = deque()  # with whether the pipeline has it
    names: deque[str] = deque()

    def items() -> Iterator[Any]:
        for record in records:
            error = record.error
            if error is None:
                try:
                    item = job.item(record.value)
                except ValueError as wrong:
                    error = str(wrong)
            if error is None:
                waiting.append((record, True))
                names.append(record.where)
                yield item
            else:
                waiting.append((record._replace(error=error), False))

    def unreadable() -> Iterator[tuple[Record, Outcome[Any]]]:
        while waiting and not waiting[0][1]:
            record, _ = waiting.popleft()
            yield record, Outcome(None, DataError(f"{record.where} {record.error}"))

    for outcome in job.pipeline.outcomes(items(), where=lambda n: names.popleft()):
        yield from unreadable()
        yield waiting.popleft()[0], outcome
    yield from unreadable()


def stop_at_error(job: Job, outcome: Outcome[Any]) -> None:
    """Raise a DataError where a row has an error, and the job stops at one."""
    if outcome.error is not None and job.on_error == "stop":
        raise DataError(str(outcome.error))


def write(job: Job, writer: Writer, record: Record, outcome: Outcome[Any]) -> None:
    """Write the row of a record: what is kept of it, and its result or, if asked for, its error.

    Parameters
    ----------
    job : Job
    writer : Writer
    record : Record
    outcome : Outcome
    """
    kept = {} if record.error is not None and not record.value else job.kept(record.value)
    if outcome.error is None:
        writer.write({**kept, **job.result(outcome.result)})
    elif job.on_error == "row":
        writer.write({**kept, ERROR: str(outcome.error)})


def count(counts: Counts, outcome: Outcome[Any]) -> None:
    """Count a row that is done."""
    counts.rows += 1
    counts.errors += outcome.error is not None
    counts.cut += outcome.cut > 0
    counts.empty += outcome.error is None and outcome.tokens == 0
    counts.tokens += outcome.tokens


def write_file(job: Job, records: Iterator[Record], path: Path) -> Counts:
    """Write a file with the rows of some records from start to end.

    Parameters
    ----------
    job : Job
    records : iterator of Record
    path : Path
        Its ending tells the format.

    Returns
    -------
    Counts
    """
    counts = Counts()
    writer = writer_of(path, job.written, width=job.width)
    try:
        for record, outcome in outcomes(job, records):
            stop_at_error(job, outcome)
            write(job, writer, record, outcome)
            count(counts, outcome)
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    return counts
