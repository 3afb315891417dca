"""Files, a job and a run in blocks, for the tests with Ray and those without it."""

from numpy_erniem import Embedder
from numpy_erniem.engines.blocks import Reading
from numpy_erniem.engines.input_paths import find_files
from numpy_erniem.engines.job import Job
from numpy_erniem.engines.ray import run_blocks
from numpy_erniem.engines.run_folder import RunFolder

TEXTS = ["Open the file", "Öffnen Sie die Datei", "", "打开文件", "Close it, and then the others"]


def job_of(on_error="stop"):
    """Vectors of a column; of lambdas alone, which go to other processes with their code."""
    return Job(
        Embedder.from_pretrained(),
        lambda value: value["text"],
        lambda value: {"id": value["id"]},
        lambda vector: {"vector": vector},
        ("id", "vector"),
        on_error,
        {"on_error": on_error},
        128,
    )


def run(job, texts, out, suffix=".jsonl", **options):
    folder = RunFolder(out, job.options, suffix)
    inputs = folder.begin(find_files([str(texts)], None))
    return run_blocks(job, folder, inputs, Reading(block_rows=3), quiet=True, **options)


def joined(out, name):
    """The bytes of a file's blocks, one after the other."""
    return b"".join(path.read_bytes() for path in sorted(out.glob(f"{name}.*")))
