"""Pipelines on Ray: a real one on this machine, with two workers. Skipped where it is missing."""

import gc
import os
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest

from numpy_erniem import (
    Embedder,
    ErnieMConfig,
    ErnieMForSequenceClassification,
    Reranker,
)
from numpy_erniem.engines import ray as engine
from numpy_erniem.engines.input_paths import find_files
from numpy_erniem.engines.local import run_job
from numpy_erniem.engines.ray import map_pipeline
from numpy_erniem.engines.records import read_records
from tests.engines.block_runs import TEXTS, job_of, joined, run

pytest.importorskip("ray.data")
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own, of every kind


@pytest.fixture(scope="module")
def cluster():
    """Ray with two cores, for all tests."""
    import ray

    options = {"num_cpus": 2, "object_store_memory": 100_000_000}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ray.init("local", include_dashboard=False, log_to_driver=False, **options)
        except Exception as error:
            skip_if_slow(str(error))
            raise
        else:
            yield ray
        finally:
            ray.shutdown()
            wait_for_processes()


def skip_if_slow(message):
    """Skip where Ray did not start in the 30 seconds that it gives itself; other errors count."""
    if any(words in message for words in ("timed out during startup", "Failed to start GCS")):
        pytest.skip(f"Ray starts too slowly here: {message}")


def wait_for_processes():
    """Ray does not wait for its own processes, of which Python warns when it frees them."""
    for thing in gc.get_objects():
        if isinstance(thing, subprocess.Popen) and "ray" in str(thing.args):
            try:
                thing.wait(timeout=10)
            except subprocess.TimeoutExpired:  # of a start that failed
                thing.kill()
                thing.wait()


def alone(job, path, out):
    """The bytes that one process writes."""
    run_job(job, read_records(find_files([str(path)], None)), out)
    return out.read_bytes()


def test_killed_worker_and_damaged_file_leave_the_rest_equal_to_one_process(
    cluster, texts, tmp_path, same_bits
):
    broken = texts / "3.jsonl"
    broken.with_suffix(".jsonl.gz").write_bytes(b"\x1f\x8b\x08 not gzip")
    broken.unlink()
    job, out, killed = job_of(), tmp_path / "out", []
    blocks = []

    def kill(done):
        blocks.append((done.name, done.number))
        if len(blocks) == 4:
            killed.append(done.worker)
            os.kill(done.worker, signal.SIGKILL)
        assert done.error is None

    report = run(job, texts, out, workers=2, report=kill)
    again = run(job, texts, out, workers=2)
    assert (again.written, again.errors) == (0, report.errors)
    assert killed
    assert len(set(blocks)) == len(blocks) == report.written
    (error,) = report.errors
    assert "3.jsonl.gz" in error
    good = [path for path in sorted(texts.iterdir()) if path.suffix == ".jsonl"]
    assert report.counts.rows == sum(len(path.read_text("utf-8").splitlines()) for path in good)
    for path in good:
        assert joined(out, path.name) == alone(job, path, tmp_path / "one.jsonl")
    assert not list(out.glob("3.*"))
    assert not list(out.glob(".saving-*"))


def test_a_worker_without_the_model_ends_the_run_with_one_line(cluster, texts, tmp_path):
    job = job_of()
    job.pipeline._source = tmp_path / "not here"
    with pytest.raises(engine.DataError, match=r"Ray ended the run: .*not here"):
        run(job, texts, tmp_path / "out")


def test_a_dataset_gets_the_vectors_of_its_texts(cluster, same_bits):
    embedder = Embedder.from_pretrained()
    rows = [{"n": n, "text": text} for n, text in enumerate(TEXTS * 4)]
    dataset = cluster.data.from_items(rows, override_num_blocks=4)
    found = map_pipeline(dataset, embedder, result="vector", workers=1, batch_size=3).take_all()
    found.sort(key=lambda row: row["n"])
    np.testing.assert_array_equal([row["vector"] for row in found], embedder(TEXTS * 4))


def test_a_dataset_gets_results_that_are_no_vectors(cluster, same_bits):
    embedder = Embedder.from_pretrained()
    config = ErnieMConfig(
        vocab_size=len(embedder.tokenizer),
        hidden_size=12,
        num_attention_heads=3,
        num_hidden_layers=2,
        intermediate_size=37,
        num_labels=1,
    )
    model = ErnieMForSequenceClassification(config, seed=1)  # in memory alone
    reranker = Reranker(model, embedder.tokenizer)
    rows = [{"q": text, "hits": ["open", "close"], "n": n} for n, text in enumerate(TEXTS)]
    columns = {"query": "q", "texts": "hits"}
    dataset = cluster.data.from_items(rows, override_num_blocks=2)
    found = map_pipeline(dataset, reranker, columns, workers=2).take_all()
    for row in found:
        want = reranker(row["q"], ["open", "close"])
        assert [hit["index"] for hit in row["result"]] == [hit["index"] for hit in want]
        assert [hit["score"] for hit in row["result"]] == [hit["score"] for hit in want]


def test_a_dataset_that_reads_files_leaves_no_worker_waiting(cluster, texts):
    dataset = cluster.data.read_json(str(texts), lines=True)
    assert map_pipeline(dataset, Embedder.from_pretrained(), workers=2).count() == 84


def test_a_worker_with_all_cores_leaves_room_for_what_reads_the_dataset(cluster, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    parquet.write_table(pyarrow.table({"text": TEXTS}), tmp_path / "texts.parquet")
    dataset = cluster.data.read_parquet(str(tmp_path))
    assert map_pipeline(dataset, Embedder.from_pretrained()).count() == len(TEXTS)


def command(texts, out, *more):
    return ["embed", "--engine", "ray", "--input", str(texts), "--output", str(out), *more]


def test_the_command_starts_ray_and_ends_it(texts, tmp_path):
    """In a process of its own, as users run it."""
    code = (
        "import sys; from numpy_erniem.cli.main import main; code = main(sys.argv[1:]);"
        "import ray; assert not ray.is_initialized(); sys.exit(code)"
    )
    arguments = [sys.executable, "-c", code, *command(texts, tmp_path / "out", "--workers", "1")]
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    environment["NUMPY_ERNIEM_NUM_THREADS"] = "1"
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment)
    skip_if_slow(done.stderr)
    assert done.returncode == 0, done.stderr
    assert "8 of 8 files are complete" in done.stderr
