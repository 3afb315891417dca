"""What the benchmarks make of their measurements; nothing is timed here."""

import doctest
import json
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import REPOSITORY

tables = pytest.importorskip("benchmarks.tables")
measuring = pytest.importorskip("benchmarks.measuring")
pages = pytest.importorskip("benchmarks.pages")
workers = pytest.importorskip("benchmarks.workers")

LIMITS = {"machine": "a machine", "date": "2026-11-27", "peak": 200.0, "bandwidth": 30.0}


def row(engine, B, T, best, median):
    return {"engine": engine, "B": B, "T": T, "runs": 3, "best": best, "median": median}


@pytest.fixture
def engines():
    """Two sizes; torch did not live to see the second."""
    rows = [
        row("native", 1, 8, 0.010, 0.012),
        row("torch", 1, 8, 0.030, 0.048),
        row("onnxruntime", 1, 8, 0.020, 0.036),
        row("native", 8, 128, 1.0, 1.25),
        row("onnxruntime", 8, 128, 1.5, 1.5),
    ]
    return {**LIMITS, "rows": rows}


def test_flops_count_every_product_of_the_base_model():
    T, D, F = 7, 768, 3072
    linear = 4 * T * D * D + 2 * T * D * F
    attention = 2 * T * T * D  # q k' and p v, all heads together
    assert tables.flops(3, T) == 3 * 12 * 2 * (linear + attention)


def test_examples_are_right():
    assert doctest.testmod(tables) == doctest.TestResults(failed=0, attempted=1)


def test_lead_is_over_the_fastest_peer_at_the_best_and_at_the_median(engines):
    text = tables.engines_table(engines)
    assert "| 1 × 8 | 10.0 (12.0) | 30.0 (48.0) | 20.0 (36.0) | 2.00 (3.00) |" in text
    assert "| 8 × 128 | 1000.0 (1250.0) | – | 1500.0 (1500.0) | 1.50 (1.20) |" in text


def test_rates_stand_beside_the_peak(engines):
    gigaflops = tables.flops(8, 128) / 1e9
    assert f"| {gigaflops / 200:.2f} ({gigaflops / 250:.2f}) |" in tables.engines_table(engines)


def test_kinds_of_threads_stand_beside_each_other():
    rows = [
        row("native, openmp", 1, 8, 0.011, 0.012),
        row("native, pool", 1, 8, 0.010, 0.016),
        row("native, pool", 8, 128, 1.0, 1.25),
    ]
    text = tables.threading_table({**LIMITS, "rows": rows})
    assert "| batch × tokens | openmp | pool | openmp / pool |" in text
    assert "| 1 × 8 | 11.0 (12.0) | 10.0 (16.0) | 1.100 (0.750) |" in text
    assert "| 8 × 128 | – | 1000.0 (1250.0) | – |" in text


class Answering:
    """A worker that writes these vectors to a file."""

    def __init__(self, engine, path, values):
        self.engine, self.path, self.values = engine, path, values

    def ask(self, B, T, n):
        if self.values is None:
            return {"missing": "the process ended"}
        np.save(self.path, np.float32(self.values))
        return {"file": str(self.path)}


def test_kinds_of_threads_that_give_other_bits_are_not_timed(tmp_path):
    from benchmarks.compare_threading import compare

    first = Answering("native, openmp", tmp_path / "a.npy", [1, 2])
    compare([first, Answering("native, pool", tmp_path / "b.npy", [1, 2])], 1, 2)
    other = Answering("native, pool", tmp_path / "b.npy", [1, np.nextafter(np.float32(2), 3)])
    with pytest.raises(measuring.DifferentError, match="native, pool: not the same bits"):
        compare([first, other], 1, 2)
    with pytest.raises(measuring.DifferentError, match="the process ended"):
        compare([first, Answering("native, pool", tmp_path / "b.npy", None)], 1, 2)


def test_an_engine_uses_its_kind_of_threads(monkeypatch):
    from benchmarks import engines
    from numpy_erniem.backend import dispatch

    chosen = []
    monkeypatch.setattr(dispatch, "set_threading", chosen.append)
    monkeypatch.setattr(engines, "native", lambda folder, threads: (folder, threads))
    assert engines.ENGINES["native, pool"]("folder", 2) == ("folder", 2)
    assert engines.ENGINES["native, openmp"]("folder", 3) == ("folder", 3)
    assert chosen == ["pool", "openmp"]


def test_growth_counts_the_memory_above_the_start_per_token():
    grown = {"B": 2, "T": 64, "best": 0.128, "median": 0.2, "base_kb": 1024, "peak_kb": 2048}
    text = tables.growth_table({**LIMITS, "rows": [grown]})
    assert "| 2 × 64 | 128.0 (200.0) | 1000 |" in text
    assert text.rstrip().endswith("| 2 | 8 |")


def test_a_peak_is_measured_over_enough_rounds(monkeypatch):
    """A run of a thousand rounds is over before a second thread wakes."""
    pytest.importorskip("numpy_erniem._kernels")
    from benchmarks import limits

    asked = []

    def fastest(run, times):
        run()
        return asked[-1] * 1e-5  # seconds

    monkeypatch.setattr(limits, "fastest", fastest)

    def kernel(rounds):
        asked.append(rounds)
        return 500

    assert limits.peak_rate(kernel) == pytest.approx(500 * 1e5 / 1e9)
    assert asked == [1, 1000, 2000, 2000]
    with pytest.raises(RuntimeError, match="the kernel did not run"):
        limits.peak_rate(lambda rounds: 0)


def test_a_product_is_shown_beside_the_limits_of_its_own_minute():
    row = {"m": 8, "n": 1000, "k": 500, "seconds": 1e-4, "peak": 160.0, "bandwidth": 25.0}
    text = tables.linear_table({**LIMITS, "rows": [row]})
    assert text.rstrip().endswith("| 8 | 1000 × 500 | 100 | 80 | 0.50 | 20.0 | 0.80 |")


def test_a_search_is_shown_beside_the_slower_of_reading_and_multiplying():
    one = {"place": "memory", "n": 10**6, "d": 250, "q": 1, "k": 10, "seconds": 0.1}
    row = {**one, "peak": 400.0, "bandwidth": 20.0}
    many = {**row, "q": 100, "place": "file", "seconds": 0.25}
    text = tables.search_table({**LIMITS, "rows": [row, many]})
    assert "| 1000000 × 250 | memory | 1 | 100 | 10 | 10.0 | 5 | 0.50 |\n" in text
    assert text.rstrip().endswith("| 1000000 × 250 | file | 100 | 250 | 400 | 4.0 | 200 | 0.50 |")


def test_a_search_that_finds_other_rows_is_not_timed(monkeypatch):
    pytest.importorskip("numpy_erniem._kernels")
    from benchmarks import search
    from numpy_erniem import SearchIndex

    vectors = search.unit_rows(np.random.default_rng(0), 300)
    index = SearchIndex(vectors)
    search.compare_with_full_sort(index, vectors[:5])
    found = index.search
    monkeypatch.setattr(index, "search", lambda x, k: found(-x, k))
    with pytest.raises(measuring.DifferentError, match=r"query 0: .* nothing was timed"):
        search.compare_with_full_sort(index, vectors[:5])


def test_searches_are_timed_in_memory_and_in_a_file(monkeypatch):
    pytest.importorskip("numpy_erniem._kernels")
    from benchmarks import search

    monkeypatch.setattr(search, "QUERIES", (1, 3))
    monkeypatch.setattr(search, "multiply_add_peak", lambda: 400.0)
    monkeypatch.setattr(search, "memory_bandwidth", lambda: 20.0)
    rows = list(search.search_rows(500))
    assert [(r["place"], r["q"]) for r in rows] == [
        (place, q) for place in ("memory", "file") for q in (1, 3)
    ]
    assert all(r["seconds"] > 0 for r in rows)


def test_the_ladder_has_a_row_for_each_step():
    rows = [{"rung": "three loops", "gflops": 2.25}, {"rung": "packed", "gflops": 35.0}]
    text = tables.ladder_table({**LIMITS, "rows": rows})
    assert text.startswith("**a machine**. One thread")
    assert "| three loops | 2.2 |\n| packed | 35 |\n" in text


def test_a_checkout_without_kernels_is_told_how_to_build_them():
    code = (
        "import runpy, sys; sys.argv = ['benchmarks']; "
        "sys.modules['numpy_erniem._kernels'] = None; "
        "runpy.run_module('benchmarks', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].startswith("the C kernels are not built")
    assert "Traceback" not in done.stderr


def test_scripts_can_be_run_by_their_path():
    """Then their folder comes first in sys.path, before the standard library."""
    names = {path.stem for path in (REPOSITORY / "benchmarks").glob("*.py")}
    assert not names & set(sys.stdlib_module_names)


def test_small_sizes_run_often_and_large_ones_once():
    assert measuring.runs_of(1, 8) == 40
    assert measuring.runs_of(1, 512) == 3
    assert measuring.runs_of(32, 128) == 1


class Silent:
    """A worker whose process ended after some answers."""

    def __init__(self, engine, answers):
        self.engine, self.answers = engine, answers

    def ask(self, B, T, n):
        self.answers -= 1
        return {"times": [0.1, 0.3]} if self.answers >= 0 else {"missing": "the process ended"}


def test_an_engine_that_ends_is_left_out_and_the_others_go_on(monkeypatch):
    monkeypatch.setattr(measuring, "wait_until_quiet", lambda: None)
    rows = list(
        measuring.time_by_size([Silent("a", 99), Silent("b", 1)], [(1, 8), (2, 8)], rounds=2)
    )
    counts = [(r["engine"], r["B"], r["runs"]) for r in rows]
    assert counts == [("a", 1, 4), ("b", 1, 2), ("a", 2, 4)]
    assert (rows[0]["best"], rows[0]["median"]) == (0.1, 0.2)


def test_modules_are_kept_compiled_as_an_installed_package_has_them():
    given = {"PATH": "here", "PYTHONDONTWRITEBYTECODE": "1"}
    got = workers.environment(given, 3)
    assert got["PATH"] == "here"
    assert "PYTHONDONTWRITEBYTECODE" not in got


def test_libraries_of_a_worker_are_told_the_threads_before_they_load():
    got = workers.environment({"OMP_NUM_THREADS": "9"}, 3)
    assert got == {"OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3"}


def test_a_picture_is_drawn_of_the_parts_that_are_there(engines, tmp_path):
    pytest.importorskip("matplotlib")
    from benchmarks.plot import draw

    grown = [
        {"B": B, "T": T, "best": 0.1 * B, "median": 0.1 * B, "base_kb": 1024, "peak_kb": 2048}
        for B, T in ((1, 128), (2, 128), (2, 64))
    ]
    older = {**LIMITS, "machine": "an old machine; x", "date": "2026-11-22", "rows": grown}
    results = {"engines": engines, "growth": {**LIMITS, "rows": grown}}
    for name, parts in (("both", results), ("one", {"growth": results["growth"]})):
        machines = [{"parts": {"growth": older}}, {"parts": parts}]
        draw(json.loads(json.dumps(machines)), tmp_path / f"{name}.svg")
        text = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        assert "128 tokens per text" in text
        assert "a machine, 2026-11-27" in text
        assert "an old machine" not in text
        assert ("peak of the machine" in text) == (name == "both")
