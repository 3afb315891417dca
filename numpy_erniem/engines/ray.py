"""Pipelines on Ray: over folders of files, and over datasets, on this machine or on a cluster.

Files are read in blocks, and every block becomes a file of its own (`run_folder`, `blocks`). Ray
hands the blocks to workers, starts another worker where one was killed, and shows the progress.
"""

import logging
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from numpy_erniem.backend.dispatch import get_num_threads
from numpy_erniem.checks import warn
from numpy_erniem.engines.blocks import (
    GO_ON,
    Done,
    End,
    FileTask,
    ReadBlocks,
    Reading,
    WriteBlocks,
    from_table,
    software_here,
    to_table,
)
from numpy_erniem.engines.cores import cores_to_ask_for, workers_of
from numpy_erniem.engines.datasets import MapPipeline
from numpy_erniem.engines.errors import DataError
from numpy_erniem.engines.job import Job
from numpy_erniem.engines.journal import Counts
from numpy_erniem.engines.run_folder import InputFile, RunFolder
from numpy_erniem.pipelines.base import Pipeline

OBJECT_STORE = 200_000_000  # bytes of shared memory, where Ray is started here
ATTEMPTS = 3  # at a block whose worker is killed; then the run ends
READERS = 4  # files that are read at a time, at most


@dataclass
class RunReport:
    """What became of a run.

    Attributes
    ----------
    counts : Counts
        Of the blocks that were written now.
    written : int
        Blocks that were written now.
    errors : list of str
        Why blocks are missing, one for each.
    """

    counts: Counts = field(default_factory=Counts)
    written: int = 0
    errors: list[str] = field(default_factory=list)


def require_ray() -> Any:
    """The module ray; ValueError with the way to install it where it is not."""
    try:
        import ray.data
    except ImportError:
        raise ValueError("the engine ray needs Ray: pip install 'numpy-erniem[ray]'") from None
    return ray


@contextmanager
def cluster(address: str | None = None) -> Iterator[Any]:
    """Ray at an address, or started here for as long as the block lasts.

    Parameters
    ----------
    address : str, optional
        Left out, RAY_ADDRESS of the environment; without it, Ray starts with as many cores as this
        process has threads. A program that uses Ray already goes on with that.

    Yields
    ------
    module
        ray

    Raises
    ------
    ValueError
        Ray is not installed; or an address is given, and the program uses Ray already.
    ConnectionError
        Nothing answers at the address, or Ray does not start.
    """
    ray = require_ray()
    if ray.is_initialized():
        if address is not None:
            raise ValueError(f"address {address!r}: Ray is in use already; leave the address out")
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    options: dict[str, Any] = {"logging_level": "error", "log_to_driver": False}
    if address:
        _check_answer(address)
    else:
        address = "local"
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options |= {"num_cpus": get_num_threads(), "include_dashboard": False}
        options |= {"object_store_memory": OBJECT_STORE}
    try:
        ray.init(address, **options)
    except Exception as error:  # Ray has no common class for these
        ray.shutdown()
        raise ConnectionError(f"Ray cannot be used: {error}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_answer(address: str) -> None:
    """Raise a ConnectionError where nothing answers; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (port.isascii() and port.isdigit()):  # "auto", or what Ray refuses
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise ConnectionError(f"no Ray cluster answers at {address}: {error}") from None


def map_pipeline(
    dataset: Any,
    pipeline: Pipeline[Any],
    column: str | Sequence[str] | Mapping[str, str] = "text",
    *,
    result: str = "result",
    on_error: str = "stop",
    workers: int | None = None,
    **options: Any,
) -> Any:
    """Add the results of a pipeline to a dataset of Ray, as a column.

    Parameters
    ----------
    dataset : ray.data.Dataset
    pipeline : Pipeline
    column, result, on_error
        As of `MapPipeline`.
    workers : int, optional
        Left out, one for every four cores. All threads together make all cores busy.
    **options
        Of `Dataset.map_batches`, such as batch_size.

    Returns
    -------
    ray.data.Dataset

    Raises
    ------
    TypeError, ValueError
        Ray is not installed, or an option has a wrong value.
    """
    ray = require_ray()
    if not ray.is_initialized():
        raise ValueError("Ray is not in use; call ray.init() before a dataset is made")
    MapPipeline(pipeline, column, on_error=on_error)  # a wrong option is told here, not by a worker
    workers, threads = workers_of(ray, workers)
    return dataset.map_batches(
        MapPipeline,
        fn_constructor_args=(pipeline, column),
        fn_constructor_kwargs={"result": result, "on_error": on_error, "threads": threads},
        num_cpus=cores_to_ask_for(ray, threads),
        compute=ray.data.ActorPoolStrategy(size=workers),
        **options,
    )


def run_blocks(
    job: Job,
    run: RunFolder,
    inputs: Sequence[InputFile],
    reading: Reading,
    *,
    workers: int | None = None,
    address: str | None = None,
    quiet: bool = False,
    report: Callable[[Done], None] = lambda done: None,
) -> RunReport:
    """Write a file for each block of the inputs that is not there yet.

    Parameters
    ----------
    job : Job
    run : RunFolder
    inputs : sequence of InputFile
        From `run.begin`.
    reading : Reading
    workers : int, optional
        As of `share_cores`.
    address : str, optional
        As of `cluster`.
    quiet : bool
        Show no progress.
    report : function
        Told of every block that is done.

    Returns
    -------
    RunReport
        A damaged file, and a wrong row where the job stops at one, are among its errors: that block
        is not written, all others are.

    Raises
    ------
    DataError
        The output is full, or Ray gave up. What was written is kept, and a further run goes on.
    ValueError, OSError
        As of `cluster` and `share_cores`.
    """
    todo = {file.name: file for file in inputs if not file.is_written}
    result = RunReport()
    if not todo:
        return result
    with cluster(address) as ray:
        count, threads = workers_of(ray, workers)
        writing = (ray.cloudpickle.dumps(job), run, threads, software_here())
        try:
            for message in _messages(ray, list(todo.values()), reading, writing, count, quiet):
                _take(message, run, todo[message.name], result)
                if isinstance(message, Done):
                    report(message)
        except ray.exceptions.RayError as error:
            lines = str(getattr(error, "cause", None) or error).strip().splitlines() or [""]
            raise DataError(f"Ray ended the run: {lines[-1]}; {GO_ON}") from None
    return result


def _messages(
    ray: Any,
    files: list[InputFile],
    reading: Reading,
    writing: tuple[Any, ...],
    workers: int,
    quiet: bool,
) -> Iterator[Done | End]:
    """Run on Ray; what became of each block and file, as soon as it is known."""
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    tasks = [FileTask(file.path, file.kind, file.name, frozenset(file.done)) for file in files]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray about its own defaults, and max_task_retries
        context = ray.data.DataContext.get_current().copy()
        context.target_max_block_size = 1  # every block of ours is handed out by itself
        context.enable_progress_bars = not quiet
        with ray.data.DataContext.current(context):
            dataset = (
                ray.data.from_arrow([to_table(task) for task in tasks])
                .map_batches(
                    ReadBlocks(reading),
                    batch_size=1,
                    batch_format="pyarrow",
                    num_cpus=0,
                    compute=ray.data.TaskPoolStrategy(size=min(READERS, len(files))),
                )
                .map_batches(
                    WriteBlocks,
                    fn_constructor_args=writing,
                    batch_size=1,
                    batch_format="pyarrow",
                    num_cpus=writing[2],
                    compute=ray.data.ActorPoolStrategy(size=workers),
                    max_task_retries=ATTEMPTS - 1,
                )
            )
    for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield from from_table(table)


def _take(message: Done | End, run: RunFolder, file: InputFile, result: RunReport) -> None:
    """Note what became of a block, or of a file."""
    if message.error is not None:
        if isinstance(message, Done) and message.is_fatal:
            raise DataError(message.error)
        result.errors.append(message.error)
        run.note(file, error=message.error)
    elif isinstance(message, Done):
        file.done.add(message.number)
        result.written += 1
        result.counts.add(message.counts)
        for text in message.warnings:
            warn(text)
    else:
        file.blocks = message.blocks
    if file.is_written and "error" not in file.noted:
        run.note(file, blocks=file.blocks)
