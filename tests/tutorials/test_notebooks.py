"""Every notebook runs from a clean kernel; its checks refuse wrong answers and take right ones."""

import ast
import importlib.util
import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "tutorials"
NOTEBOOKS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))

if not NOTEBOOKS:
    pytest.skip("the tutorials are not beside these tests", allow_module_level=True)


@pytest.fixture(scope="module")
def run():
    """The module tutorials/run.py."""
    for needed in ("nbclient", "nbformat", "ipykernel", "matplotlib"):
        pytest.importorskip(needed)
    spec = importlib.util.spec_from_file_location("tutorials_run", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def name_of(path):
    return path.stem


def cells_of(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


@pytest.mark.filterwarnings("default")  # of the notebook machinery, not ours
@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_notebook_runs_and_its_checks_tell_right_from_wrong(run, path):
    assert run.check(path) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_notebook_is_stored_so_that_a_diff_can_be_read(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|tmp)/|[A-Z]:\\\\Users", text)
    cells = cells_of(path)
    ids = [cell["id"] for cell in cells]
    assert len(set(ids)) == len(ids)
    for cell in cells:
        tags = cell["metadata"].get("tags", [])
        assert set(cell["metadata"]) <= {"tags"}
        if cell["cell_type"] != "code":
            continue
        assert cell["execution_count"] is None
        if "measured" in tags or "raises-exception" in tags:
            assert cell["outputs"] == []
        names = [output.get("name") for output in cell["outputs"]]
        assert ("stdout", "stdout") not in itertools.pairwise(names)
        for output in cell["outputs"]:
            assert output.get("name") != "stderr"
            assert len(output.get("data", {}).get("image/png", "")) < 90_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_notebook_has_claim_assertions_exercises_and_what_to_read_next(path):
    cells = cells_of(path)
    prose = "".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    code = "".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    for part in ("**Question.**", "**Claim.**", "## Exercises", "**Read next:**"):
        assert part in prose
    assert code.count("assert ") >= 8
    assert sum(tag.startswith("check-") for c in cells for tag in c["metadata"].get("tags", [])) > 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_every_picture_is_described_for_those_who_do_not_see_it(path):
    cells = cells_of(path)
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                text = "".join(after["source"]).partition("\n")[0]
                assert text.startswith("*In the picture:* ")
                alt = output["metadata"]["image/png"]["alt"]
                assert alt == text.removeprefix("*In the picture:* ")
                assert len(alt) > 40


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_an_answer_in_place_of_an_exercise_leaves_nothing_undefined(path):
    for cell in cells_of(path):
        if any(tag.startswith("exercise-") for tag in cell["metadata"].get("tags", ())):
            for node in ast.parse("".join(cell["source"])).body:
                names = {name.id for name in getattr(node, "targets", ())}
                assert isinstance(node, ast.FunctionDef) or names == {"SOURCE"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_between_exercises_no_cell_checks_something_else(path):
    begun = False
    for cell in cells_of(path):
        text = "".join(cell["source"])
        begun |= cell["cell_type"] == "markdown" and "**Exercise 1.**" in text
        if begun and cell["cell_type"] == "code" and not cell["metadata"].get("tags"):
            assert "assert" not in text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_every_exercise_has_several_wrong_answers(run, path):
    for number, answers in run.solutions_of(path).items():
        kinds = [kind for kind, _ in answers]
        assert kinds.count("right") == 1
        assert len(kinds) > 2, f"exercise {number} has {len(kinds) - 1} wrong answer"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_outputs_that_teach_are_stored(path):
    printing = [
        cell
        for cell in cells_of(path)
        if cell["cell_type"] == "code"
        and "print(" in "".join(cell["source"])
        and not re.search(r"^(if|def|    )", "".join(cell["source"]).splitlines()[-1])
        and not cell["metadata"].get("tags")
    ]
    assert printing
    assert all(cell["outputs"] for cell in printing)


def test_without_a_compiler_the_ladder_is_explained(run, monkeypatch, tmp_path):
    for tool in ("env", "uname"):
        found = shutil.which(tool)
        if found:
            (tmp_path / tool).symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CC", "no-such-compiler")
    (path,) = (p for p in NOTEBOOKS if p.name.startswith("07"))
    assert run.check(path) == []


def compile_rung(path, library, *more):
    flags = ["-std=gnu11", "-O3", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", *more]
    command = ["cc", *flags, str(path), "-o", str(library), "-lpthread"]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
@pytest.mark.parametrize("path", sorted((FOLDER / "ladder").glob("*.c")), ids=name_of)
def test_every_rung_compiles_without_warnings(path, tmp_path):
    done = compile_rung(path, tmp_path / "rung.so")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_the_rung_of_openmp_compiles_with_openmp(tmp_path):
    probe = tmp_path / "probe.c"
    probe.write_text("#include <omp.h>\nint f(void) { return omp_get_num_threads(); }")
    if compile_rung(probe, tmp_path / "probe.so", "-fopenmp").returncode:
        pytest.skip("this compiler has no OpenMP")
    done = compile_rung(FOLDER / "ladder" / "7_openmp.c", tmp_path / "rung.so", "-fopenmp")
    assert done.returncode == 0, done.stderr


def test_readme_names_every_notebook():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"]({path.name})" in text for path in NOTEBOOKS)
