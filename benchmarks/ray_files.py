"""Ray over 200 files while a worker is killed: python -m benchmarks.ray_files TEXTS [--files N].

TEXTS has one text a line. They go into files of four formats, one of which is damaged. Two workers
of a Ray that is started here write them in blocks; the first worker that finishes its tenth block
is killed. Then every file is run by this process alone, and the rows are compared, byte by byte.
"""

import argparse
import csv
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from numpy_erniem import Embedder
from numpy_erniem.engines.blocks import Done, Reading
from numpy_erniem.engines.input_paths import find_files
from numpy_erniem.engines.job import Job
from numpy_erniem.engines.local import run_job
from numpy_erniem.engines.ray import RunReport, run_blocks
from numpy_erniem.engines.records import read_records
from numpy_erniem.engines.run_folder import RunFolder

KINDS = ("jsonl", "csv", "txt", "parquet")
KILL_AT = 10  # blocks
BLOCK_ROWS = 7


def write_files(folder: Path, texts: list[str], count: int) -> None:
    """Spread texts over files, as many in each; the last file is damaged."""
    folder.mkdir()
    for n in range(count):
        rows = [{"text": text, "id": i} for i, text in enumerate(texts[n::count])]
        path = folder / f"{n:03d}.{KINDS[n % len(KINDS)]}"
        if path.suffix == ".jsonl":
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            path.write_text(lines, encoding="utf-8")
        elif path.suffix == ".csv":
            with path.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, ["text", "id"])
                writer.writeheader()
                writer.writerows(rows)
        elif path.suffix == ".txt":
            path.write_text("".join(row["text"] + "\n" for row in rows), encoding="utf-8")
        else:
            import pyarrow
            from pyarrow import parquet

            parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    (folder / "damaged.parquet").write_bytes(b"PAR1 and nothing else")


def job_of(model: str | None) -> Job:
    """Texts to vectors."""
    embedder = Embedder.from_pretrained(model)
    return Job(
        embedder,
        lambda value: value if isinstance(value, str) else value["text"],
        lambda value: {"text": value if isinstance(value, str) else value["text"]},
        lambda vector: {"vector": vector},
        ("text", "vector"),
        "stop",
        {"model": model},
        embedder.width,
    )


def run_on_ray(job: Job, texts: Path, out: Path, killing: bool) -> tuple[RunReport, list[int]]:
    """Run, and kill a worker if asked to; what became of it, and the process that was killed."""
    blocks = 0
    killed: list[int] = []

    def report(done: Done) -> None:
        nonlocal blocks
        blocks += 1
        if killing and blocks == KILL_AT:
            os.kill(done.worker, signal.SIGKILL)
            killed.append(done.worker)

    run = RunFolder(out, job.options, ".jsonl")
    inputs = run.begin(find_files([str(texts)], None))
    reading = Reading(columns=("text",), block_rows=BLOCK_ROWS)
    return run_blocks(job, run, inputs, reading, workers=2, quiet=True, report=report), killed


def compare(job: Job, texts: Path, out: Path, scratch: Path) -> int:
    """The number of files whose blocks are equal to what this process writes alone."""
    equal = 0
    for path, kind in find_files([str(texts)], None):
        name = Path(path).name
        if name.startswith("damaged"):
            continue
        run_job(job, read_records([(path, kind)], columns=("text",)), scratch)
        blocks = b"".join(block.read_bytes() for block in sorted(out.glob(f"{name}.*")))
        if blocks != scratch.read_bytes():
            sys.exit(f"{name}: Ray wrote other rows than this process")
        equal += 1
    return equal


def main() -> None:
    """Write the files, run, compare, and run again."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ray_files", description=__doc__)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--files", type=int, default=200, metavar="N")
    parser.add_argument("--model", metavar="MODEL", help="(the bundled checkpoint)")
    options = parser.parse_args()
    texts = options.texts.read_text(encoding="utf-8").splitlines()
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "in"), Path(folder, "out")
        write_files(source, texts, options.files)
        job = job_of(options.model)
        for killing in (True, False):
            started = time.perf_counter()
            report, killed = run_on_ray(job, source, out, killing)
            seconds = time.perf_counter() - started
            print(
                f"{report.written} blocks, {report.counts.rows} rows written in {seconds:.0f} s; "
                f"killed: {killed or 'none'}; errors: {report.errors}"
            )
        equal = compare(job, source, out, Path(folder, "alone.jsonl"))
        print(f"{equal} files are equal to those of one process, byte by byte")


if __name__ == "__main__":
    main()
