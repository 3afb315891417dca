"""The package has types that mypy and pyright accept in a client, and every name is in them."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import numpy_erniem

CLIENT = Path(__file__).with_name("typed_client.py")
ROOT = Path(numpy_erniem.__file__).parent.parent


@pytest.fixture
def client(tmp_path):
    """A copy of the client, in a folder from which the package is not reached by chance."""
    return Path(shutil.copy(CLIENT, tmp_path))


def test_the_client_uses_every_public_name():
    used = set(re.findall(r"\w+", CLIENT.read_text(encoding="utf-8")))
    assert set(numpy_erniem.__all__) <= used


def test_the_client_runs(tmp_path, capsys):
    pytest.importorskip("sentencepiece")
    from tests.clients import typed_client

    typed_client.main(tmp_path)
    assert capsys.readouterr().out.startswith(f"numpy_erniem {numpy_erniem.__version__}\n")


WRONG = """
import numpy_erniem as erniem
erniem.nonsense
erniem.load(3)
erniem.ErnieMConfig(hidden_size="768")
erniem.ErnieMModel(erniem.ErnieMConfig())([[0]]).logits
erniem.ErnieMForMaskedLM.from_pretrained("x").forward(input_ids=[[0]], label=1)
erniem.check_parity("x", revision=3)
erniem.convert("x", "y", subfoldr="z")
"""


@pytest.fixture
def mypy(tmp_path):
    """Run mypy on a file; its exit code and its lines."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")

    def run(file):
        options = ("--strict", "--follow-imports=silent", "--cache-dir", tmp_path / "cache")
        done = subprocess.run(
            [sys.executable, "-m", "mypy", *options, file],
            cwd=tmp_path,
            env={**os.environ, "MYPYPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_mypy_strict_accepts_the_client_and_refuses_mistakes(client, mypy):
    code, text = mypy(client)
    assert code == 0, text
    wrong = client.with_name("wrong.py")
    wrong.write_text(WRONG)
    _, text = mypy(wrong)
    lines = {int(n) for n in re.findall(r"^wrong.py:(\d+): error", text, re.MULTILINE)}
    assert lines == {3, 4, 5, 6, 7, 8, 9}, text


@pytest.fixture
def pyright(tmp_path):
    """Run pyright on a file in the folder; its errors by line."""
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright is not installed")

    def run(file):
        settings = {"include": [file.name], "extraPaths": [str(ROOT)]}
        (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
        done = subprocess.run(
            [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable],
            cwd=tmp_path,
            env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
            capture_output=True,
            text=True,
        )
        if not done.stdout.lstrip().startswith("{"):
            pytest.skip(f"pyright could not be started: {done.stderr.strip()[-200:]}")
        report = json.loads(done.stdout)
        assert report["summary"]["filesAnalyzed"] == 1
        return {d["range"]["start"]["line"] + 1: d["message"] for d in report["generalDiagnostics"]}

    return run


def test_pyright_accepts_the_client_and_refuses_mistakes(client, pyright):
    assert pyright(client) == {}
    wrong = client.with_name("wrong.py")
    wrong.write_text(WRONG)
    assert {3, 4, 5, 6, 7, 8, 9} <= pyright(wrong).keys()


def test_what_is_installed_says_that_it_is_typed():
    assert (ROOT / "numpy_erniem" / "py.typed").is_file()
    settings = ROOT / "pyproject.toml"
    if settings.is_file():  # a checkout
        assert '"py.typed"' in settings.read_text(encoding="utf-8")
