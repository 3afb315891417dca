"""The engine of a command: this process, or Ray, which writes a file for each block of rows."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy_erniem.cli.notes import note, progress_file, remark
from numpy_erniem.cli.progress import tell
from numpy_erniem.engines.blocks import Reading
from numpy_erniem.engines.job import Job
from numpy_erniem.engines.output_paths import SUFFIXES, check_format
from numpy_erniem.engines.ray import require_ray, run_blocks
from numpy_erniem.engines.run_folder import BLOCK_ROWS, LOG, RunFolder

ENGINES = ("local", "ray")
FORMATS = tuple(suffix[1:] for suffix in SUFFIXES)
SHOWN = 20  # errors on the screen; all are in the log
OF_RAY = ("engine", "address", "workers", "block_rows", "output_format")


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Declare which engine runs, and how."""
    group = parser.add_argument_group(
        "engine",
        "With --engine ray, --output is a folder, with a file for each block of rows. What is "
        "complete there is not run again. See docs/scaling.md.",
    )
    group.add_argument(
        "--engine", choices=ENGINES, default="local", help="this process, or Ray (local)"
    )
    group.add_argument(
        "--address", metavar="ADDRESS", help="of a Ray cluster (RAY_ADDRESS; else Ray starts here)"
    )
    group.add_argument(
        "--workers", type=int, metavar="N", help="processes with a model (one for four cores)"
    )
    group.add_argument(
        "--block-rows", type=int, metavar="N", help=f"most rows of a block ({BLOCK_ROWS})"
    )
    group.add_argument("--output-format", choices=FORMATS, help="of the blocks (jsonl)")


def check_local(options: argparse.Namespace) -> None:
    """Raise a ValueError for options that only Ray has."""
    for name in OF_RAY[1:]:
        if getattr(options, name) is not None:
            raise ValueError(f"--{name.replace('_', '-')} is for --engine ray; leave it out")


class Blocks:
    """The output folder of a command line with --engine ray, checked before a model is loaded.

    Parameters
    ----------
    options : argparse.Namespace
        With those of `add_engine_options`.
    files : list of (path, format)
    reading : sequence of str
        The columns that are read.
    columns : sequence of str
        That the output has.
    of_results : dict
        What the results depend on.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        files: Sequence[tuple[str, str]],
        reading: Sequence[str],
        columns: Sequence[str],
        of_results: Mapping[str, Any],
    ) -> None:
        if options.text:
            raise ValueError("--engine ray is for --input PATH; give texts in a file, or local")
        if not options.output:
            raise ValueError("--engine ray needs --output FOLDER")
        if options.resume:
            raise ValueError("--engine ray goes on by itself where a run ended; leave --resume out")
        if options.workers is not None and options.workers < 1:
            raise ValueError(f"--workers {options.workers} is not at least 1")
        rows = BLOCK_ROWS if options.block_rows is None else options.block_rows
        if rows < 1:
            raise ValueError(f"--block-rows {rows} is not at least 1")
        require_ray()
        self.options = options
        self.suffix = f".{options.output_format or 'jsonl'}"
        check_format(f"{options.output}/*{self.suffix}", columns)
        self.reading = Reading(options.encoding, tuple(reading), rows)
        folders = sorted({str(Path(path).resolve().parent) for path, _ in files})
        noted = {**of_results, "folders": folders, "block_rows": rows, "output": self.suffix}
        self.run = RunFolder(options.output, noted, self.suffix)
        self.inputs = self.run.begin(files)

    def write(self, job: Job) -> int:
        """Run the job; returns the exit code."""
        options = self.options
        report = run_blocks(
            job,
            self.run,
            self.inputs,
            self.reading,
            workers=options.workers,
            address=options.address,
            quiet=not progress_file().isatty(),
        )
        for error in report.errors[:SHOWN]:
            remark(error)
        if len(report.errors) > SHOWN:
            more = len(report.errors) - SHOWN
            remark(f"there are {more} more errors; {self.run.folder / LOG} has one of each file")
        tell(report.counts, job.pipeline, job.on_error)
        whole = sum(file.is_written for file in self.inputs)
        note(
            f"{report.written} blocks written to {options.output}; {whole} of {len(self.inputs)} "
            "files are complete"
        )
        return 1 if report.errors else 0
