"""Run a pipeline over the rows of files on this machine, and go on after an interruption."""

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from numpy_erniem.engines.errors import DataError, check_room
from numpy_erniem.engines.job import Job, count, outcomes, stop_at_error, write
from numpy_erniem.engines.journal import Counts, Journal
from numpy_erniem.engines.output_paths import link_target
from numpy_erniem.engines.records import Record
from numpy_erniem.engines.writers import writer_of

SAVE_EVERY = 1.0  # seconds between two notes of how far a run is


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
    pairs = outcomes(job, records)
    first = list(islice(pairs, 1))  # before an earlier file of this name is overwritten
    for _, outcome in first:
        stop_at_error(job, outcome)
    writer = writer_of(output, job.written, noted.get("bytes", 0), job.width)
    saved = -math.inf

    def save(every: float = 0.0) -> None:
        nonlocal saved
        if journal is not None and time.monotonic() - saved >= every:
            journal.save(counts, writer.flush(), digest.hexdigest())
            saved = time.monotonic() if counts.rows else -math.inf  # the first row is noted at once

    try:
        save()
        for record, outcome in chain(first, pairs):
            if outcome.error is not None:
                save()
                stop_at_error(job, outcome)
            write(job, writer, record, outcome)
            count(counts, outcome)
            digest.update(_key(record))
            report(counts)
            save(SAVE_EVERY)
        writer.close()
    except BaseException as error:
        writer.abandon()
        if journal is not None and not counts.rows:  # there is nothing to go on from
            link_target(writer.target).unlink(missing_ok=True)
            journal.finish()
        if isinstance(error, OSError):
            kept = "what was written is kept: make room, then resume"
            check_room(error, *((str(output), kept) if output else ("standard output",)))
        raise
    if journal is not None:
        journal.finish()
    return counts


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
