"""Files in blocks of rows, and blocks into files: what workers of the engine `ray` do.

`ReadBlocks` and `WriteBlocks` are callables for `ray.data.Dataset.map_batches`. What goes from one
process to the other is a table with one column of bytes, each a pickle of one of the classes here.
"""

import os
import pickle
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from numpy_erniem import __version__
from numpy_erniem.backend.dispatch import backend_report, set_num_threads
from numpy_erniem.checkpoint.atomic import hidden_folder
from numpy_erniem.engines.errors import FULL, DataError
from numpy_erniem.engines.job import Job, write_file
from numpy_erniem.engines.journal import Counts, check_same_options
from numpy_erniem.engines.records import Record, read_records
from numpy_erniem.engines.run_folder import BLOCK_ROWS, RunFolder, blocks_of

COLUMN = "message"
GO_ON = "what was written is kept, and the same command goes on"


@dataclass(frozen=True)
class Reading:
    """How input files are read.

    Attributes
    ----------
    encoding, columns
        As of `read_records`.
    block_rows : int
        Most rows of a block.
    """

    encoding: str = "utf-8"
    columns: Sequence[str] = ()
    block_rows: int = BLOCK_ROWS


class FileTask(NamedTuple):
    """A file to read: as of `find_files`, with the numbers of its blocks that are written."""

    path: str
    kind: str
    name: str
    done: frozenset[int]


class Block(NamedTuple):
    """Rows on their way to a worker."""

    name: str
    number: int
    records: list[Record]


class End(NamedTuple):
    """A file was read to its end: how many blocks it has; or why it cannot be read any further."""

    name: str
    blocks: int
    error: str | None = None


@dataclass
class Done:
    """What became of a block.

    Attributes
    ----------
    name : str
        Of the input file.
    number : int
        Of the block, from 0.
    counts : Counts
    worker : int
        Process id of the worker.
    error : str or None
        Why it is not written.
    is_fatal : bool
        Whether no other block can be written, either.
    warnings : list of str
    """

    name: str
    number: int
    counts: Counts = field(default_factory=Counts)
    worker: int = field(default_factory=os.getpid)
    error: str | None = None
    is_fatal: bool = False
    warnings: list[str] = field(default_factory=list)


def to_table(message: Any) -> Any:
    """A message as a table with one row."""
    import pyarrow

    return pyarrow.table({COLUMN: pyarrow.array([pickle.dumps(message)], pyarrow.large_binary())})


def from_table(table: Any) -> Iterator[Any]:
    """The messages of a table."""
    return (pickle.loads(value) for value in table[COLUMN].to_pylist())  # own pickles


class ReadBlocks:
    """From files to their blocks that are not written yet, and an `End` for each file.

    Parameters
    ----------
    reading : Reading
    """

    __name__ = "read"  # what Ray's progress bar shows

    def __init__(self, reading: Reading) -> None:
        self.reading = reading

    def __call__(self, tasks: Any) -> Iterator[Any]:
        """Read a table of files."""
        for task in from_table(tasks):
            yield from map(to_table, self.read(task))

    def read(self, task: FileTask) -> Iterator[Block | End]:
        """Read a file."""
        reading, count = self.reading, 0
        files = [(task.path, task.kind)]
        try:
            records = read_records(files, reading.encoding, reading.columns)
            for records_of_block in blocks_of(records, reading.block_rows):
                if count not in task.done:
                    yield Block(task.name, count, records_of_block)
                count += 1
        except DataError as error:
            yield End(task.name, count, str(error))
        except OSError as error:
            yield End(task.name, count, f"{task.path} cannot be read: {error.strerror or error}")
        else:
            yield End(task.name, count)


class WriteBlocks:
    """From blocks to what became of them; each is written to a file.

    Parameters
    ----------
    job : bytes
        A pickle of the job, made by the process that started the run.
    run : RunFolder
    threads : int
        Of the kernels.
    software : dict
        From `software()`, there.

    Raises
    ------
    ValueError
        This process has other software.
    """

    def __init__(
        self, job: bytes, run: RunFolder, threads: int, software: Mapping[str, Any]
    ) -> None:
        set_num_threads(threads)
        check_same_options(
            software, software_here(), "the process that started the run", "install the same"
        )
        self.job: Job = pickle.loads(job)  # loads the model
        self.run = run

    def __call__(self, messages: Any) -> Iterator[Any]:
        """Write a table of blocks."""
        for message in from_table(messages):
            yield to_table(self.write(message) if isinstance(message, Block) else message)

    def write(self, block: Block) -> Done:
        """Write a block: a file that appears complete, or not at all."""
        done = Done(block.name, block.number)
        path = self.run.block(block.name, block.number)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("default")
            try:
                with hidden_folder(path.parent) as hidden:
                    done.counts = write_file(self.job, iter(block.records), hidden / path.name)
                    os.replace(hidden / path.name, path)
            except DataError as error:
                done.error = str(error)
            except OSError as error:
                room = "make room: " if error.errno in FULL else ""
                done.error = f"{path} cannot be written: {error.strerror or error}; {room}{GO_ON}"
                done.is_fatal = True
        done.warnings = [str(warning.message) for warning in told]
        return done


def software_here() -> dict[str, Any]:
    """What all workers need alike, so that they give the same results."""
    return {"numpy-erniem": __version__, "backend": backend_report()["backend"]}
