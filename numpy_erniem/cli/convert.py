"""`erniem convert`: a checkpoint from anywhere becomes a folder of ours."""

import argparse
import sys
import time
from typing import IO


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem convert`."""
    parser.add_argument("source", metavar="SOURCE", help="folder, or a name on the hub")
    parser.add_argument("out", metavar="OUT", help="folder to make")
    parser.add_argument(
        "--dtype", choices=("float32", "float16", "bfloat16"), help="of the weights (as they are)"
    )
    parser.add_argument(
        "--no-tokenizer", action="store_true", help="convert the weights and the config alone"
    )
    parser.add_argument(
        "--max-shard-size", default="5GB", metavar="SIZE", help="largest file (5GB)"
    )
    parser.add_argument("--revision", metavar="NAME", help="branch, tag or commit on the hub")
    parser.add_argument("--names", action="store_true", help="list every tensor that was renamed")


def run(options: argparse.Namespace) -> int:
    """Convert and say what was done; returns the exit code."""
    from numpy_erniem.conversion import convert

    report = convert(
        options.source,
        options.out,
        dtype=options.dtype,
        tokenizer=not options.no_tokenizer,
        max_shard_size=options.max_shard_size,
        revision=options.revision,
        progress=Progress(sys.stderr),
    )
    print(report)
    if options.names:
        for old, new in report.renamed.items():
            print(f"  {old} -> {new}")
    return 0


class Progress:
    """A line about bytes written, for files that take longer than two seconds."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.started = time.monotonic()
        self.last = self.started + 2

    def __call__(self, done: int, total: int) -> None:
        """Say that `done` of `total` bytes are written, now and then."""
        now = time.monotonic()
        if now < self.last:
            return
        self.last = now + (0.2 if self.file.isatty() else 10)
        start, end = ("\r", "") if self.file.isatty() and done < total else ("", "\n")
        line = f"{start}{done / 1e6:.0f} of {total / 1e6:.0f} MB written "
        print(line, end=end, file=self.file, flush=True)
