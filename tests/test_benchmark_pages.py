"""Results of several machines: the file that keeps them, and the pages that show them."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import REPOSITORY

machine = pytest.importorskip("benchmarks.machine")
pages = pytest.importorskip("benchmarks.pages")
results = pytest.importorskip("benchmarks.results")
tables = pytest.importorskip("benchmarks.tables")

RESULTS = REPOSITORY / "docs/performance.json"
PAGES = ["docs/performance.md", "docs/kernels.md", "docs/scaling.md", "README.md"]
FACTS = {"features": ["avx2"], "caches": {"L2": "1M"}, "memory_gb": 8.5, "system": "Linux, arm"}
ONE = {"name": "2 × One", "model": "family 6, model 1", **FACTS}
OTHER = {"name": "8 × Other", "model": "family 6, model 2", **FACTS}
TIMES = {"native": (0.010, 0.012), "torch": (0.030, 0.048), "openvino": (0.009, 0.010)}


def part(name, date="2026-11-27", **times):
    rows = [
        {"engine": engine, "B": 1, "T": 8, "flops": 9, "best": best, "median": median}
        for engine, (best, median) in (times or TIMES).items()
    ]
    told = {"machine": f"{name}; C kernels; {date}", "date": date, "version": "9.9", "left_out": []}
    return {**told, "peak": 200.0, "bandwidth": 30.0, "rows": rows}


def start(name, date="2026-11-27"):
    memory = {"native": 1000, "native, from text": 1100, "torch": 5000, "openvino": 4000}
    rows = [
        {"engine": engine, "version": "", "seconds": 0.8, "peak_kb": kb, "difference": 0.0}
        for engine, kb in memory.items()
    ]
    return {**part(name, date), "rows": rows}


def with_parts(facts, **parts):
    return {**facts, "parts": parts}


@pytest.fixture
def two():
    """The first one measured last; it has no start."""
    older = "8 × Other", "2026-11-01"
    return [
        with_parts(OTHER, start=start(*older), engines=part(*older)),
        with_parts(ONE, engines=part("2 × One", native=(0.010, 0.012), torch=(0.020, 0.024))),
    ]


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_in_the_documents_are_those_of_the_results(page):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    machines = results.read_machines(RESULTS)
    if not pages.marks(text) & set(pages.texts(machines)):
        pytest.skip("nothing was measured yet that this page shows")
    assert pages.fill_in(text, machines) == text


def test_two_processors_are_on_file_and_on_the_page():
    text = (REPOSITORY / PAGES[0]).read_text(encoding="utf-8")
    names = {one["name"] for one in results.read_machines(RESULTS)}
    assert len(names) >= 2
    assert all(f"- **{name}**" in text for name in names)


def test_every_part_has_a_place_on_some_page():
    marks = set().union(*(pages.marks((REPOSITORY / page).read_text("utf-8")) for page in PAGES))
    assert marks == {*tables.TABLES, *pages.MADE}


def test_tables_of_all_machines_take_their_places_the_last_measured_first(two):
    document = "before\n<!-- engines -->\nold\n<!-- /engines -->\nafter\n"
    once = pages.fill_in(document, two)
    one, other = (tables.engines_table(found["parts"]["engines"]) for found in reversed(two))
    assert once == f"before\n<!-- engines -->\n\n{one}\n{other}\n<!-- /engines -->\nafter\n"
    assert pages.fill_in(once, two) == once


def test_parts_without_a_place_and_places_without_a_part_stay_as_they_are(two):
    document = "<!-- engines -->\n<!-- /engines -->\n<!-- growth -->\nold\n<!-- /growth -->\n"
    assert pages.fill_in(document, two).endswith("<!-- growth -->\nold\n<!-- /growth -->\n")


def test_a_document_without_a_place_is_an_error(two):
    with pytest.raises(ValueError, match="none of the marks <!-- start -->"):
        pages.fill_in("text\n", two)


def test_the_summary_has_the_smallest_and_the_largest_ratio_of_medians_for_each_machine(two):
    rows = two[0]["parts"]["engines"]["rows"]
    rows += [
        {**row, "T": 9, "median": row["median"] * (1 + (row["engine"] == "torch"))} for row in rows
    ]
    two.append(with_parts(ONE, start=start("2 × New"), engines=part("2 × New")))
    text = pages.texts(two)["summary"]
    assert "4.00 to 8.00 times as fast as torch, which takes 5.0 times the memory" in text
    assert "0.83 to 0.83 times as fast as OpenVINO, which takes 4.0 times the memory" in text
    assert "0.80 s from the start" in text
    assert text.index("**2 × New**") < text.index("**8 × Other**")
    assert "2 × One" not in text  # it has no start


def test_losses_are_the_sizes_at_which_a_peer_is_faster_by_the_median(two):
    bfloat16 = {"native-bfloat16": (1.0, 1.0), "openvino-bfloat16": (2.0, 0.5)}
    two[1]["parts"]["precision"] = part("2 × One", **bfloat16)
    text = pages.texts(two)["losses"]
    assert "- 8 × Other, 2026-11-01, float32: 1 × 8 (0.83)\n" in text
    assert "- 2 × One, 2026-11-27, float32: none\n" in text
    assert "- 2 × One, 2026-11-27, bfloat16: 1 × 8 (0.50)\n" in text


def test_the_list_of_machines_says_what_ran_when(two):
    unknown = {"model": "", "features": [], "caches": {}, "memory_gb": None, "system": ""}
    two.append(with_parts({"name": "4 × Old", **unknown}, threading=part("4 × Old", "2026-10-01")))
    text = pages.texts(two)["machines"]
    assert (
        "- **2 × One**\n    - processor: family 6, model 1\n    - instruction sets: avx2\n" in text
    )
    assert "measured on 2026-11-01 with 9.9: start, engines\n" in text
    old = text[text.index("4 × Old") :]
    assert old.count("not recorded") == 5


def test_a_note_and_what_was_left_out_stand_above_the_table(two):
    told = {**two[0]["parts"]["engines"], "note": "Noisy", "left_out": ["openvino", "numpy"]}
    assert "2026-11-01. Noisy. Left out: openvino, numpy. Multiply-add" in tables.engines_table(
        told
    )


def test_memory_that_the_system_does_not_tell_is_a_dash():
    told = start("2 × One")
    told["rows"] = [{**told["rows"][0], "peak_kb": 0}]
    assert "| native | 0.80 | – | 0.0e+00 |" in tables.start_table(told)


# -- the file of results


@pytest.fixture
def measured(monkeypatch):
    """Limits that need no kernels, and this machine is ONE."""
    import benchmarks

    told = SimpleNamespace(multiply_add_peak=lambda: 7.0, memory_bandwidth=lambda: 3.0)
    monkeypatch.setitem(sys.modules, "benchmarks.limits", told)
    monkeypatch.setattr(benchmarks, "limits", told, raising=False)
    monkeypatch.setattr(machine, "record", lambda: dict(ONE))
    monkeypatch.setattr(machine, "setup", lambda name, threads: f"{name}; {threads} threads")


def write(path, machines):
    path.write_text(json.dumps({"machines": machines}), encoding="utf-8")


ROW = {"rung": "three loops", "gflops": 2.0}


@pytest.mark.usefixtures("measured")
def test_records_of_other_machines_and_other_parts_are_kept(tmp_path, two):
    path = tmp_path / "results.json"
    write(path, two)
    results.Results(path, 2).measure("ladder", [ROW])
    other, own = results.read_machines(path)
    assert other == two[0]
    assert own["parts"].pop("ladder")["rows"] == [ROW]
    assert own == two[1]


@pytest.mark.usefixtures("measured")
def test_a_part_that_is_measured_again_replaces_that_of_this_machine_alone(tmp_path, two):
    path = tmp_path / "results.json"
    write(path, two)
    results.Results(path, 3).measure("engines", part("2 × One", native=(0.5, 0.5))["rows"])
    other, own = results.read_machines(path)
    assert other == two[0]
    assert own["parts"]["engines"]["machine"] == "2 × One; 3 threads"
    assert [row["best"] for row in own["parts"]["engines"]["rows"]] == [0.5]
    assert own["parts"]["engines"]["date"] == machine.today()


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize(
    "change", [{"model": "family 6, model 9"}, {"features": []}, {"model": ""}]
)
def test_a_processor_of_the_same_name_is_another_machine(tmp_path, two, change):
    path = tmp_path / "results.json"
    write(path, [{**two[1], **change}])
    results.Results(path, 2).measure("ladder", [ROW])
    older, own = results.read_machines(path)
    assert older == {**two[1], **change}
    assert set(own["parts"]) == {"ladder"}


@pytest.mark.usefixtures("measured")
def test_what_is_not_installed_is_said(capsys):
    found = results.Results(None, 2)
    found.measure("engines", part("2 × One")["rows"], ["native", "torch", "openvino", "numpy"])
    assert "Left out: numpy." in capsys.readouterr().out
    assert found.machines[0]["parts"]["engines"]["left_out"] == ["numpy"]


@pytest.mark.usefixtures("measured")
def test_rows_that_were_measured_before_an_interruption_are_kept_and_marked(tmp_path, two):
    def interrupted():
        yield ROW
        raise KeyboardInterrupt

    path = tmp_path / "results.json"
    with pytest.raises(KeyboardInterrupt):
        results.Results(path, 2).measure("ladder", interrupted())
    (own,) = results.read_machines(path)
    assert own["parts"]["ladder"]["rows"] == [ROW]
    assert own["parts"]["ladder"]["note"] == "Interrupted: rows are missing"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"machines": 1}', '{"machines": [{"name": "a"}]}', '{"start": {}}']
)
def test_a_file_that_is_none_of_results_is_refused(tmp_path, text):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(results.FormatError, match="has no list of machines"):
        results.read_machines(path)


# -- the record of a machine


def test_processors_are_counted_and_named(tmp_path):
    path = tmp_path / "cpuinfo"
    one = "model name\t: A\nmodel\t\t: 167\nflags\t: fpu avx2\n\n"
    path.write_text("".join(f"processor\t: {n}\n{one}" for n in range(3)))
    told = machine.processor_facts(path)
    assert (told["model name"], told["model"], told["cores"]) == ("A", "167", 3)
    assert machine.processor_facts(tmp_path / "none") == {}


def test_caches_are_those_that_hold_data(tmp_path):
    for n, facts in enumerate(
        [("1", "Data", "48K"), ("1", "Instruction", "64K"), ("2", "Unified", "2M")]
    ):
        folder = tmp_path / f"index{n}"
        folder.mkdir()
        for name, fact in zip(("level", "type", "size"), facts, strict=True):
            (folder / name).write_text(fact + "\n")
    assert machine.caches(tmp_path) == {"L1d": "48K", "L2": "2M"}
    assert machine.caches(tmp_path / "none") == {}


def test_a_record_can_be_told_apart_and_written():
    told = machine.record()
    assert machine.is_same(told, json.loads(json.dumps(told)))
    assert set(told) == {"name", "model", "features", "caches", "memory_gb", "system"}


@pytest.mark.parametrize(
    ("system", "want"), [("Windows", "Intel64 Family 6"), ("Darwin", "Apple M9")]
)
def test_a_machine_without_cpuinfo_has_a_name_and_a_model(monkeypatch, system, want):
    monkeypatch.setattr(machine, "processor_facts", dict)
    monkeypatch.setattr(machine, "brand", lambda: "Apple M9" if system == "Darwin" else "")
    monkeypatch.setattr(machine.platform, "processor", lambda: "Intel64 Family 6")
    told = machine.record()
    assert told["name"].endswith(f"× {want}")
    assert told["model"]


def test_the_line_tells_threads_kernels_and_strassen(monkeypatch):
    pytest.importorskip("numpy_erniem._kernels")
    from numpy_erniem.backend import settings
    from numpy_erniem.backend.dispatch import get_threading

    line = machine.setup("2 × One", 3)
    assert line.startswith("2 × One; ")
    assert f"; 3 threads ({get_threading()}); {settings.description()}; " in line
    assert "Strassen" not in line
    monkeypatch.setattr(settings, "get_strassen", lambda: True)
    assert machine.setup("2 × One", 3).endswith("; Strassen's algorithm")


def test_the_version_names_the_commit_of_a_checkout(monkeypatch, tmp_path):
    from numpy_erniem import __version__

    assert machine.version().startswith(__version__)
    monkeypatch.setattr(machine, "REPOSITORY", Path(tmp_path))
    assert machine.version() == __version__
