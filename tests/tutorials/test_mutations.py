"""The tool that changes what the notebooks teach: which changes it makes, and that it sees them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"

if not (TOOLS / "code_changes.py").exists():
    pytest.skip("the tools are not beside these tests", allow_module_level=True)
tomllib = pytest.importorskip("tomllib")

SAMPLE = '''
def f(x: int = 1 + 2, scale=2.0):
    """A text."""
    low = x < 0
    if low:
        where = 3 * x; raise ValueError(f"too low: {where}")
    rows = BLOCK * 2
    x = np.asarray(x)
    if x > 3 and scale:
        x = x * scale
    x -= 1
    return -x
'''


@pytest.fixture
def code_changes(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    import code_changes

    return code_changes


@pytest.fixture(scope="module")
def taught():
    return tomllib.loads((ROOT / "tutorials" / "taught.toml").read_text(encoding="utf-8"))


def test_every_statement_condition_and_operator_is_changed_once(code_changes):
    (function,) = ast.parse(SAMPLE).body
    found = {(change.line, change.what) for change in code_changes.changes(function, {"BLOCK"})}
    assert found == {
        (10, "if x > 3 and scale:  deleted"),
        (9, "x > 3 and scale  ->  x > 3 or scale"),
        (9, "x > 3 and scale  ->  not (x > 3 and scale)"),
        (9, "x > 3  ->  x <= 3"),
        (10, "x = x * scale  deleted"),
        (10, "x * scale  ->  x / scale"),
        (10, "x * scale  ->  x"),
        (10, "x * scale  ->  scale"),
        (11, "x -= 1  deleted"),
        (11, "x -= 1  ->  x += 1"),
        (12, "return -x  deleted"),
        (12, "-x  ->  x"),
    }


def test_a_change_can_be_taken_back(code_changes):
    tree = ast.parse(SAMPLE)
    before = ast.unparse(tree)
    for change in code_changes.changes(tree.body[0], set()):
        back = change.swap()
        assert ast.unparse(tree) != before
        back.swap()
        assert ast.unparse(tree) == before


def test_what_is_taught_is_there(code_changes, taught):
    notebooks = {path.name[:2] for path in (ROOT / "tutorials").glob("[0-9][0-9]_*.ipynb")}
    assert taught["teaches"].keys() <= notebooks
    for name in {name for names in taught["teaches"].values() for name in names}:
        assert code_changes.functions_of(name)[2], name


def test_changes_that_are_left_out_are_there_and_have_a_reason(code_changes, taught):
    for one in taught["equivalent"]:
        _, _, functions = code_changes.functions_of(one["function"])
        (function,) = functions.values()
        made = {change.what for change in code_changes.changes(function, set())}
        assert one["change"] in made, one
        assert len(one["reason"]) > 20


def run_tool(*arguments, cache):
    for needed in ("nbclient", "nbformat", "matplotlib", "resource"):
        pytest.importorskip(needed)
    command = [sys.executable, TOOLS / "mutate_tutorials.py", "--cache", cache, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    return done.returncode, done.stdout


def test_the_notebooks_refuse_changes_of_what_they_teach(tmp_path):
    cache = tmp_path / "cache.json"
    code, said = run_tool("--only", "tokenizer.rows", "--most", "1", cache=cache)
    assert (code, said.splitlines()[-1]) == (0, "2 changes, 0 survivors"), said
    assert cache.exists()


def test_a_changed_module_is_what_a_notebook_imports(monkeypatch):
    for needed in ("nbclient", "nbformat", "matplotlib", "resource"):
        pytest.importorskip(needed)
    code = (
        "import sys, ast; sys.path[:0] = [sys.argv[1], sys.argv[2]]\n"
        "import mutate_tutorials as m\n"
        "(path,) = (p for p in m.RUN['NOTEBOOKS'] if p.name.startswith('01'))\n"
        "file, tree, functions = m.functions_of('tokenizer.pieces.stands_alone')\n"
        "(function,) = functions.values()\n"
        "function.body = ast.parse('return False').body\n"
        "module = m.OneModule('numpy_erniem.tokenizer.pieces', str(file), tree)\n"
        "print(m.in_child(path, 60, module)['failed'])\n"
    )
    command = [sys.executable, "-c", code, str(TOOLS), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert done.stdout.startswith("cell 13: AssertionError"), done.stdout + done.stderr
