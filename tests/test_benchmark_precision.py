"""The benchmark of number types: tables and comparison; nothing is timed here."""

import doctest

import numpy as np
import pytest

from numpy_erniem import ErnieMConfig

markdown = pytest.importorskip("benchmarks.markdown")
measuring = pytest.importorskip("benchmarks.measuring")
precision = pytest.importorskip("benchmarks.precision")
engines = pytest.importorskip("benchmarks.precision_engines")
tables = pytest.importorskip("benchmarks.tables")

LIMITS = {"machine": "a machine", "peak": 200.0, "bandwidth": 30.0}


def row(engine, best, median):
    sizes = {"B": 8, "T": 128, "flops": 10**9}
    return {"engine": engine, **sizes, "runs": 3, "best": best, "median": median}


class Answering:
    """A worker that writes hidden states (B, T, D) to a file."""

    startup = 0.5

    def __init__(self, engine, path, hidden):
        self.engine, self.path, self.hidden = engine, path, hidden

    def ask(self, B, T, n):
        np.save(self.path, np.float32(self.hidden))
        return {"file": str(self.path), "peak_kb": 2048}


def test_examples_are_right():
    assert doctest.testmod(markdown) == doctest.TestResults(failed=0, attempted=1)


def test_a_lead_is_over_the_fastest_peer_of_the_same_type():
    rows = [
        *(row("native", 0.010, 0.012), row("native-int8", 0.002, 0.004)),
        *(row("openvino", 0.020, 0.020), row("openvino-int8", 0.004, 0.004)),
        *(row("openvino-int8-bfloat16", 0.003, 0.003), row("openvino-bfloat16", 0.008, 0.008)),
        row("native-amx", 0.001, 0.001),  # not our default
    ]
    text = tables.TABLES["precision"]({**LIMITS, "rows": rows})
    assert "| 8 × 128 | 10.0 (12.0) | 2.0 (4.0) | 20.0 (20.0) |" in text
    end = "| 8 × 128 | 1.50 (0.75) | 500 | – | – | – | – | 2.00 (1.67) | 100 | 0.50 |"
    assert text.rstrip().endswith(end)


def test_speed_stands_beside_the_peak_of_its_number_type():
    peaks = {"peaks": {"int8": 1000.0, "bfloat16": 400.0}}
    rows = [
        {**row("native-int8", 0.002, 0.004), **peaks},
        {**row("native-bfloat16", 0.010, 0.012), **peaks},
    ]
    text = tables.TABLES["precision"]({**LIMITS, "rows": rows})
    assert "30 GB/s. Peak of int8 1000 GOP/s, of bfloat16 400 GOP/s.\n" in text
    assert text.rstrip().endswith("| 8 × 128 | – | 500 | 0.50 | – | 100 | 0.25 | – | – | – |")


def test_peaks_are_measured_once_and_kept_with_each_row(tmp_path, monkeypatch):
    ErnieMConfig(vocab_size=99).save_pretrained(tmp_path)
    times = [{"B": 1, "T": 8, "engine": "native"}, {"B": 1, "T": 16, "engine": "native"}]
    monkeypatch.setattr(measuring, "time_by_size", lambda *arguments: iter(times))
    monkeypatch.setattr(precision.limits, "narrow_peaks", iter([{"int8": 7.0}]).__next__)
    rows = list(precision.speed_rows(tmp_path, [], [], 1))
    assert [row["peaks"] for row in rows] == [{"int8": 7.0}] * 2


def test_agreement_is_the_cosine_of_sentence_vectors(tmp_path):
    first = np.ones((2, 3, 4))
    other = first + np.eye(4)[0] * np.arange(2)[:, None, None]  # the second text differs
    workers = [
        Answering("native", tmp_path / "a.npy", first),
        Answering("native-int8", tmp_path / "b.npy", other),
    ]
    same, tilted = precision.agreement_rows(workers)
    assert (same["lowest"], same["mean"], same["peak_kb"]) == (1.0, 1.0, 2048)
    cosine = 5 / np.sqrt(4 * 7)  # of (2, 1, 1, 1) with ones
    assert tilted["lowest"] == pytest.approx(cosine)
    assert tilted["mean"] == pytest.approx((1 + cosine) / 2)
    text = tables.TABLES["agreement"]({**LIMITS, "rows": [same, tilted]})
    assert f"| native-int8 | 0.50 | 2 | {cosine:.5f} | {(1 + cosine) / 2:.5f} |" in text


def test_an_engine_that_computes_something_else_is_not_timed(tmp_path):
    first = np.ones((1, 2, 3))
    workers = [
        Answering("native", tmp_path / "a.npy", first),
        Answering("openvino-int8", tmp_path / "b.npy", -first),
    ]
    with pytest.raises(measuring.DifferentError, match=r"openvino-int8: .* nothing was timed"):
        list(precision.agreement_rows(workers))


def test_xlm_roberta_has_a_place_for_every_tensor_but_the_pooler():
    name = "encoder.layers.3.self_attn.self_attn.q_proj.weight"
    assert engines.xlm_roberta_name(name) == "encoder.layer.3.attention.self.query.weight"
    name = "embeddings.layer_norm.bias"
    assert engines.xlm_roberta_name(name) == "embeddings.LayerNorm.bias"
    assert engines.xlm_roberta_name("pooler.dense.weight") == ""


def test_every_engine_that_is_timed_is_known():
    from benchmarks.engines import ENGINES

    assert set(precision.ENGINES.split(",")) <= set(ENGINES | engines.ENGINES)


def test_what_cannot_be_made_is_named(tmp_path, monkeypatch):
    def absent(folder):
        raise ImportError("No module named 'nncf'")

    monkeypatch.setattr(engines, "calibrate", absent)
    found = list(engines.prepare(tmp_path, ["native", "openvino-int8"]))
    assert found == ["openvino-int8: No module named 'nncf'"]
