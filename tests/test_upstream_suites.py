"""The table of differences that tools/upstream_suites.py reads; the suites need the network."""

import importlib.util
import tarfile

import pytest

from tests.conftest import REPOSITORY

SCRIPT = REPOSITORY / "tools" / "upstream_suites.py"
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="not in a checkout")


@pytest.fixture(scope="module")
def suites():
    spec = importlib.util.spec_from_file_location("upstream_suites", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_row_of_the_table_is_read(suites):
    section = suites.DIFFERENCES.read_text(encoding="utf-8").partition(suites.HEADING)[2]
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    assert len(suites.rows()) == len(rows) - 2  # without the head


def test_no_test_is_both_explained_and_not_run(suites):
    assert not [name for name, *_ in suites.rows() if suites.why_not(name)]


class Report:
    """The outcome of one test, as pytest reports it."""

    failed, skipped = True, False
    nodeid = "upstream_adapter.py::ErnieMModel::test_forward_signature"
    longrepr = "AttributeError: ErnieMConfig has no 'x'"


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (("test_forward_signature", "has no 'x'", "on purpose"), 0),
        (("test_forward_signature", "has no 'y'", "on purpose"), 1),
        (("test_determinism", "has no 'x'", "on purpose"), 1),
    ],
)
def test_a_failure_needs_a_row_with_its_test_and_error(suites, monkeypatch, capsys, row, code):
    monkeypatch.setattr(suites, "rows", lambda: [row])
    results = suites.Results("")
    results.names = {"test_forward_signature"}
    results.pytest_runtest_logreport(Report())
    assert suites.report(results, whole=False) == code
    assert f"0 passed, 1 failed ({code} of them not explained)" in capsys.readouterr().out


def test_a_row_that_no_failure_needs_is_told(suites, monkeypatch, capsys):
    monkeypatch.setattr(suites, "rows", lambda: [("test_determinism", "x", "on purpose")])
    monkeypatch.setattr(suites, "PATTERNS", {})
    results = suites.Results("")
    results.names = results.passed = {"test_determinism"}
    assert suites.report(results, whole=True) == 1
    assert "no longer needed: test_determinism (x)" in capsys.readouterr().out


def test_a_pass_without_an_object_of_ours_is_told(suites, monkeypatch, capsys):
    monkeypatch.setattr(suites, "rows", list)
    results = suites.Results("")
    results.names = {"test_determinism"}
    assert suites.report(results, whole=False) == 1
    assert "without an object of the tested classes: test_determinism" in capsys.readouterr().out


def test_only_the_files_that_the_suites_need_are_unpacked(suites, monkeypatch, tmp_path):
    monkeypatch.setattr(suites.subprocess, "run", lambda *args, **kwargs: None)
    source = tmp_path / "source.tar.gz"
    (tmp_path / "a.py").write_text("x = 1\n", encoding="utf-8")
    with tarfile.open(source, "w:gz") as archive:
        for name in (*suites.NEEDED, "test_cache_utils"):
            archive.add(tmp_path / "a.py", f"transformers-{suites.VERSION}/tests/{name}.py")
    suites.unpack(source, tmp_path / "there")
    found = {path.stem for path in (tmp_path / "there" / "upstream_tests").glob("*.py")}
    assert found == {"__init__", *suites.NEEDED}
