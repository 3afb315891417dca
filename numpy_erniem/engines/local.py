"""Run a pipeline over the rows of files on this machine, and go on after an interruption."""

import errno
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from numpy_erniem.engines.errors import DataError
from numpy_erniem.engines.journal import Counts, Journal
from numpy_erniem.engines.records import Record
from numpy_erniem.engines.writers import Writer, writer_of
from numpy_erniem.pipelines.base import Pipeline
from numpy_erniem.pipelines.streaming import Outcome

ON_ERROR = ("stop", "skip", "row")
ERROR = "error"  # the column that tells why a row has no result
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SAVE_EVERY = 1.0  # seconds between two notes of how far a run is


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


def run_job(
    job: Job,
    records: Iterator[Record],
    output: Path | None = None,
    *,
    resume: bool = False,
    report: Callable[[Counts], None] = lambda counts: None,
) -> Counts:
    """Write a row for each record, in order and as soon as it is there.

    Parameters
    ----------
    job : Job
    records : iterator of Record
    output : Path, optional
        From `check_output`; left out, standard output.
    resume : bool
        Go on from where an interrupted run ended. The output is the same as of one that was not
        interrupted.
    report : function
        Told after every row.

    Returns
    -------
    Counts

    Raises
    ------
    ValueError
        There is an interrupted run and it is not resumed, or it cannot be.
    DataError
        A row is wrong, with on_error "stop"; the input is not that of the interrupted run; the
        output is full. All rows before are written.
    """
    journal = None if output is None else Journal(output, job.options)
    noted = journal.begin(resume) if journal else {}
    counts = Counts(**noted.get("counts", {}))
    digest = hashlib.sha256()
    _skip(records, counts.rows, digest, noted.get("digest"))
    outcomes = _outcomes(job, records)
    first = list(islice(outcomes, 1))  # before an earlier file of this name is overwritten
    _stop_at_error(job, first)
    columns = (*job.columns, ERROR) if job.on_error == "row" else job.columns
    writer = writer_of(output, columns, noted.get("bytes", 0), job.width)
    saved = -SAVE_EVERY

    def save(every: float = 0.0) -> None:
        nonlocal saved
        if journal is not None and time.monotonic() - saved >= every:
            journal.save(counts, writer.flush(), digest.hexdigest())
            saved = time.monotonic()

    try:
        save()
        for record, outcome in chain(first, outcomes):
            if outcome.error is not None:
                save()
                _stop_at_error(job, [(record, outcome)])
            _write(job, writer, record, outcome)
            _count(counts, outcome)
            digest.update(_key(record))
            report(counts)
            save(SAVE_EVERY)
        writer.close()
    except BaseException as error:
        writer.abandon()
        if journal is not None and not counts.rows:  # there is nothing to go on from
            writer.target.unlink(missing_ok=True)
            journal.finish()
        if isinstance(error, OSError) and error.errno in FULL:
            kept = f"{output}: {error.strerror}; what was written is kept: make room, then resume"
            raise DataError(kept if output else f"standard output: {error.strerror}") from None
        raise
    if journal is not None:
        journal.finish()
    return counts


def _stop_at_error(job: Job, pairs: list[tuple[Record, Outcome[Any]]]) -> None:
    """Raise a DataError where a row has an error, and the job stops at one."""
    for _, outcome in pairs:
        if outcome.error is not None and job.on_error == "stop":
            raise DataError(str(outcome.error))


def _skip(records: Iterator[Record], count: int, digest: Any, noted: str | None) -> None:
    """Read over the rows that are done, and check that they are the same."""
    for n in range(count):
        record = next(records, None)
        if record is None:
            raise DataError(
                f"the input has {n} rows, fewer than the {count} of the run that is resumed"
            )
        digest.update(_key(record))
    if noted is not None and digest.hexdigest() != noted:
        raise DataError(f"the first {count} rows of the input are not those of the run to resume")


def _key(record: Record) -> bytes:
    return repr((record.value, record.error)).encode("utf-8", "backslashreplace")


def _outcomes(job: Job, records: Iterator[Record]) -> Iterator[tuple[Record, Outcome[Any]]]:
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


def _write(job: Job, writer: Writer, record: Record, outcome: Outcome[Any]) -> None:
    kept = {} if record.error is not None and not record.value else job.kept(record.value)
    if outcome.error is None:
        writer.write({**kept, **job.result(outcome.result)})
    elif job.on_error == "row":
        writer.write({**kept, ERROR: str(outcome.error)})


def _count(counts: Counts, outcome: Outcome[Any]) -> None:
    counts.rows += 1
    counts.errors += outcome.error is not None
    counts.cut += outcome.cut > 0
    counts.empty += outcome.error is None and outcome.tokens == 0
    counts.tokens += outcome.tokens
