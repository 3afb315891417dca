"""python -m benchmarks: its parts and options; one trial runs, whose times mean nothing."""

import json

import pytest

from numpy_erniem import bundled_checkpoint

pytest.importorskip("numpy_erniem._kernels")
pytest.importorskip("benchmarks.parts")

from benchmarks import measuring, options, pages, parts, tables, workers
from benchmarks.__main__ import main

MODEL = str(bundled_checkpoint())


@pytest.fixture
def files(tmp_path):
    """Names in a command → files."""
    (tmp_path / "texts").write_text("a\n")
    (tmp_path / "page.md").write_text("<!-- linear -->\n<!-- /linear -->\n")
    (tmp_path / "old.json").write_text('{"machines": []}')
    (tmp_path / "bad.json").write_text('{"start": {}}')
    return lambda command: command.format(MODEL, tmp_path).split()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("--parts linear,x", "'x' is none of start, engines"),
        ("--all --parts linear", "not allowed with argument --all"),
        ("--engines native,tensorflow", "'tensorflow' is none of native, native-amx, numpy"),
        ("--sizes 8by3", "invalid sizes value: '8by3'"),
        ("--sizes 8", "is not like 1x8,8x128"),
        ("--sizes 0x8", "is not like 1x8,8x128"),
        ("--rounds 0", "0 is not at least 1"),
        ("--threads 0", "0 is not at least 1"),
        ("--redraw", "--redraw needs --json"),
        ("--redraw --json {1}/none.json", "--redraw needs --json"),
        ("--json {1}/bad.json", "bad.json has no list of machines"),
        ("--parts linear --document {1}/none.md", "none.md: no such file"),
        ("--parts ladder --document {1}/page.md", "none of the marks <!-- ladder -->"),
        ("--parts linear --plot a.pdf", "has to end in .svg or .png"),
        ("--renew --json {1}/old.json", "goes without --json"),
        ("--trial --renew", "without --renew"),
        ("--trial --json {1}/old.json", "would replace results"),
        ("--price 1", "--price goes with --parts scaling"),
        ("--parts threading --sizes=", "--parts threading needs --sizes"),
        ("--parts corpus --corpus {1}/texts", "need each other"),
        ("--parts corpus --model {0}", "need each other"),
        ("--parts linear --corpus {1}/texts --model {0}", "go with --parts corpus or scaling"),
        ("--parts corpus --corpus none --model {0}", "none: no such file"),
        ("--parts corpus --corpus {1}/texts --model none", "no folder with a config.json"),
        ("--parts corpus --texts 0", "--texts 0 is not at least 1"),
        ("--parts corpus --batch-tokens 0", "has a number below 1"),
        ("--parts corpus --batch-sizes 4,x", "--batch-sizes: invalid"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_measured(files, capsys, command, message):
    with pytest.raises(SystemExit) as stopped:
        options.arguments(files(command))
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_parts_can_be_chosen():
    assert options.arguments([]).parts == ["engines", "growth"]
    assert options.arguments(["--parts", "search,linear"]).parts == ["search", "linear"]
    every = options.arguments(["--all"]).parts
    assert {mark for name in every for mark in parts.MARKS[name]} == set(tables.TABLES)


def test_a_renewal_writes_the_pages_of_the_checkout():
    found = options.arguments(["--parts", "linear", "--renew"])
    assert found.json.name == "performance.json"
    assert {path.name for path in found.document} >= {"performance.md", "README.md"}
    assert found.plot.name == "performance.svg"


def test_every_engine_and_number_type_is_compared_by_default():
    assert parts.engines_of("engines", None) == parts.FLOAT32.split(",")
    assert {"native-int8", "native-bfloat16"} < set(parts.engines_of("precision", None))
    assert {"numpy", "torch", "native-int8"} < set(parts.engines_of("corpus", None))
    assert parts.engines_of("corpus", "native,torch") == ["native", "torch"]


class Told:
    """Results that note what is measured, and measure nothing."""

    def __init__(self):
        self.parts = []

    def measure(self, name, rows, engines=()):
        self.parts.append(name)


@pytest.fixture
def no_engines(monkeypatch):
    """No model is made, no process started."""
    monkeypatch.setattr(parts.engines, "make_model", lambda folder, **sizes: None)
    monkeypatch.setattr(parts.engines, "export_if_needed", lambda folder, names: None)
    monkeypatch.setattr(parts.precision_engines, "prepare", lambda folder, names: [])
    monkeypatch.setattr(measuring, "start_workers", lambda names, folder, threads: [])
    monkeypatch.setattr(parts.corpus, "measured", lambda *given: [])


@pytest.mark.usefixtures("no_engines")
@pytest.mark.parametrize("name", list(parts.PARTS))
def test_a_part_measures_what_it_says(name, tmp_path):
    given = options.arguments(["--parts", name, "--folder", str(tmp_path)])
    told = Told()
    assert list(parts.measure(given, told)) == []
    assert set(told.parts) == parts.MARKS[name]


@pytest.mark.usefixtures("no_engines")
def test_a_part_that_fails_stops_no_other(tmp_path, monkeypatch):
    def fail(*given):
        raise measuring.DifferentError("torch differs")

    monkeypatch.setattr(parts.compare_threading, "rows", fail)
    given = options.arguments(["--parts", "threading,linear", "--folder", str(tmp_path)])
    told = Told()
    assert list(parts.measure(given, told)) == ["threading: torch differs"]
    assert told.parts == ["linear"]


def test_the_large_model_has_a_folder_of_its_own(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(
        parts.engines, "make_model", lambda folder, **sizes: made.append((folder, sizes))
    )
    monkeypatch.setattr(parts.engines, "export_if_needed", lambda folder, names: None)
    monkeypatch.setattr(parts.precision, "measure", lambda *given: None)
    given = options.arguments(["--parts", "precision,large", "--folder", str(tmp_path)])
    assert list(parts.measure(given, Told())) == []
    (base, base_sizes), (large, large_sizes) = made
    assert (base, large) == (tmp_path, tmp_path / "large")
    assert (base_sizes, large_sizes["num_hidden_layers"]) == ({}, 24)


def test_a_trial_runs_writes_and_says_that_it_is_one(tmp_path, monkeypatch, capsys):
    for name, value in (("PATIENCE", workers.PATIENCE), ("STARTS", workers.STARTS)):
        monkeypatch.setattr(workers, name, value)  # set back afterwards
    for name in ("multiply_add_peak", "memory_bandwidth"):
        monkeypatch.setattr(parts.limits, name, lambda: 10.0)
    monkeypatch.setattr(parts.limits, "narrow_peaks", lambda: {"int8": 10.0, "bfloat16": 10.0})
    from numpy_erniem.backend import settings

    threads = settings.get_num_threads()
    page, written = tmp_path / "page.md", tmp_path / "results.json"
    page.write_text(
        "".join(f"<!-- {n} -->\n<!-- /{n} -->\n" for n in (*tables.TABLES, *pages.MADE))
    )
    command = "--trial --parts start,precision --engines native,native-int8"
    where = ["--json", str(written), "--document", str(page)]
    try:
        assert main([*command.split(), *where]) == 0
    finally:
        settings.set_num_threads(threads)
    (own,) = json.loads(written.read_text(encoding="utf-8"))["machines"]
    assert set(own["parts"]) == {"start", "agreement", "precision"}
    for part in own["parts"].values():
        assert part["note"] == "A trial with a small model: these figures mean nothing"
    assert {row["engine"] for row in own["parts"]["precision"]["rows"]} == {"native", "native-int8"}
    text = page.read_text(encoding="utf-8")
    assert text.count("A trial with a small model") == 3
    assert pages.fill_in(text, [own]) == text
    assert "part 2 of 2, precision" in capsys.readouterr().err


def test_a_failure_is_told_at_the_end_and_by_the_exit_code(monkeypatch, capsys):
    from numpy_erniem.backend import settings

    threads = str(settings.get_num_threads())
    monkeypatch.setattr(parts, "measure", lambda given, results: iter(["start: torch differs"]))
    assert main(["--parts", "start", "--threads", threads]) == 1
    assert capsys.readouterr().err == "start: torch differs\n"


def test_a_model_is_exported_for_the_engines_that_read_it(tmp_path, monkeypatch):
    from benchmarks import engines

    exported = []
    monkeypatch.setattr(engines, "export_onnx", exported.append)
    engines.export_if_needed(tmp_path, ["native", "torch"])
    assert exported == []
    engines.export_if_needed(tmp_path, ["openvino-int8"])
    assert exported == [tmp_path]
    (tmp_path / "model.onnx").touch()
    engines.export_if_needed(tmp_path, ["onnxruntime"])
    assert exported == [tmp_path]


def test_without_the_exporter_the_others_are_measured(tmp_path, monkeypatch, capsys):
    from benchmarks import engines, precision_engines

    def absent(folder):
        raise ImportError("No module named 'onnx'")

    monkeypatch.setattr(engines, "export_onnx", absent)
    engines.export_if_needed(tmp_path, ["openvino"])
    assert "No module named 'onnx'" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match=r"model\.onnx is not there"):
        precision_engines.exported(tmp_path)


def test_an_engine_whose_file_is_missing_is_named(tmp_path, monkeypatch):
    from benchmarks import precision_engines

    def missing(folder):
        raise FileNotFoundError("model.onnx is not there")

    monkeypatch.setattr(precision_engines, "quantize_onnx", missing)
    told = list(precision_engines.prepare(tmp_path, ["onnxruntime-int8"]))
    assert told == ["onnxruntime-int8: model.onnx is not there"]
