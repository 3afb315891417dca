"""The benchmark of processes and threads: what it runs, compares and tells; without times."""

import json

import numpy as np
import pytest

from numpy_erniem import bundled_checkpoint

pytest.importorskip("numpy_erniem._kernels")
pytest.importorskip("benchmarks.scaling")

from benchmarks import corpus, measuring, scaling
from benchmarks.scaling_tables import scaling_table

TEXTS = ["Open the file", "", "Datei öffnen"]


def row(engine, processes, threads, seconds):
    return {
        "engine": engine,
        "processes": processes,
        "threads": threads,
        "texts": 100,
        "tokens": 2000,
        "best": seconds / 2,
        "median": seconds,
        "runs": 3,
        "price": 0.1,
        "source": "made",
    }


@pytest.fixture
def part():
    """One core takes 1 s for 100 texts; two threads 0.8 s, two processes 1.25 s for 200."""
    rows = [row("native", 1, 1, 1.0), row("native", 1, 2, 0.8), row("native", 2, 1, 1.25)]
    rows += [row("native-int8", 1, 1, 0.5), row("native-int8", 2, 1, 0.5)]
    return {"machine": "A machine", "peak": 100, "bandwidth": 10, "rows": rows}


def cells(text, start):
    line = [line for line in text.splitlines() if line.startswith(f"| {start} |")][-1]
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_speeds_count_all_processes(part):
    text = scaling_table(part)
    assert "100 texts (made), 20 tokens each on average" in text
    assert cells(text, "float32 | 2 × 1")[1:] == ["320 (160)", "6400 (3200)", "0.80"]
    assert cells(text, "float32 | 1 × 2")[1:] == ["250 (125)", "5000 (2500)", "0.62"]


def test_many_texts_take_the_fastest_layout_and_all_cores_are_paid(part):
    text = scaling_table(part)
    machine = 1e9 / 160 / 86400
    want = [1e9 / 100 / 86400, machine, machine / 10, machine / 100]
    hours = 1e9 / 160 / 3600 * 2
    assert cells(text, "float32")[-6:] == [
        *(f"{days:,.1f}" for days in want),
        f"{hours:,.0f}",
        f"{hours * 0.1:,.0f}",
    ]
    assert cells(text, "int8")[-6] == f"{1e9 / 200 / 86400:,.1f}"
    assert cells(text, "bfloat16") == ["–"] * 6


def test_real_processes_embed_all_texts(tmp_path):
    folder = tmp_path / "work"
    corpus.prepare_folder(folder, bundled_checkpoint(), TEXTS, ["native"])
    rows = list(scaling.scaling_rows(folder, TEXTS, ["native", "torch"], 2, 1, 0.05))
    assert [(r["processes"], r["threads"]) for r in rows] == [(1, 1), (1, 2), (2, 1)]
    assert {(r["engine"], r["texts"], r["runs"]) for r in rows} == {("native", 3, 1)}
    assert json.dumps(rows)


def test_processes_that_differ_are_told(tmp_path, monkeypatch):
    folder = tmp_path / "work"
    corpus.prepare_folder(folder, bundled_checkpoint(), TEXTS, ["native"])
    monkeypatch.setattr(scaling, "Worker", FakeWorker)
    monkeypatch.setattr(scaling, "vectors_of", lambda worker, *_: (worker.vectors, {}))
    with pytest.raises(measuring.DifferentError, match="processes differ in a vector"):
        list(scaling.scaling_rows(folder, TEXTS, ["native"], 2, 1, 0.05))


class FakeWorker:
    """A process whose vectors are those of its folder's number."""

    def __init__(self, engine, folder, threads, module):
        self.ready, self.vectors = {"ready": True}, np.full((3, 2), int(folder.name[-1]))

    def end(self):
        """Nothing runs."""
