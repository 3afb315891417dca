"""Machines that are not comfortable: no home, no network, other locales, odd paths, no _ctypes."""

import os
import shutil
import subprocess
import sys

import pytest

from numpy_erniem import bundled_checkpoint
from tests.conftest import REPOSITORY

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NOWHERE = "/proc/no/such/home"  # where nobody can make a folder
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="knows Linux's rules")


@pytest.fixture
def erniem(tmp_path):
    """Run the command with few variables; its exit code, output and errors."""
    kept = {n: os.environ[n] for n in ("PATH", "SYSTEMROOT", "VIRTUAL_ENV") if n in os.environ}

    def run(*arguments, folders=(), **variables):
        path = os.pathsep.join(map(str, (*folders, REPOSITORY)))
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "numpy_erniem", *map(str, arguments)],
            cwd=tmp_path,
            env={**kept, "PYTHONPATH": path, **variables},
            capture_output=True,
            encoding="utf-8",
        )
        return done.returncode, done.stdout, done.stderr

    return run


def test_without_home_and_other_variables(erniem):
    code, out, told = erniem("embed", "a")
    assert (code, told) == (0, "")
    assert out.startswith('{"text": "a", "vector": [')


@LINUX
def test_a_home_that_cannot_be_written_to(erniem):
    assert erniem("embed", "a", HOME=NOWHERE)[::2] == (0, "")


@LINUX
def test_no_network_and_no_cache_is_one_clear_line(erniem):
    pytest.importorskip("huggingface_hub")
    variables = {"HOME": NOWHERE, "HF_HUB_OFFLINE": "1"}
    code, out, told = erniem("embed", "a", "--model", "nobody/nothing", **variables)
    assert (code, out, told.count("\n")) == (2, "", 1)
    assert "was not reached; check the network, or give a folder" in told


@pytest.mark.parametrize("variables", [{}, ASCII], ids=["UTF-8", "ASCII"])
def test_paths_with_spaces_and_letters_of_any_language(erniem, tmp_path, variables):
    folder = tmp_path / "ein Ordner ä 文"
    shutil.copytree(bundled_checkpoint(), folder / "модель 1")
    (folder / "ü 1.txt").write_text("ä文\n", encoding="utf-8")
    files = ("--input", folder / "ü 1.txt", "--output", folder / "ö 2.jsonl")
    code, out, told = erniem("embed", "--model", folder / "модель 1", *files, **variables)
    assert (code, out, told) == (0, "", "")
    assert (folder / "ö 2.jsonl").read_text(encoding="utf-8").startswith('{"text": "ä文"')


@LINUX
def test_a_text_that_the_locale_cannot_hold_is_told_with_the_remedy(erniem):
    code, out, told = erniem("embed", "a", "ä", **ASCII)
    assert (code, out) == (2, "")
    assert "text 2 is not valid in the encoding of the command line; set PYTHONUTF8=1" in told
    assert erniem("embed", "a", "ä", **{**ASCII, "PYTHONUTF8": "1"})[0] == 0


@LINUX
def test_a_path_that_is_missing_is_told_in_an_ascii_locale(erniem, tmp_path):
    code, _, told = erniem("embed", "--input", tmp_path / "ä.txt", **ASCII)
    assert (code, told.count("\n")) == (2, 1)
    assert "does not exist" in told


def test_python_without_ctypes(erniem, tmp_path):
    (tmp_path / "sitecustomize.py").write_text('import sys\nsys.modules["_ctypes"] = None\n')
    code, out, told = erniem("embed", "--threads", "1", "a", folders=(tmp_path,))
    assert (code, told) == (0, "")
    assert out.count('"vector"') == 1


@pytest.mark.parametrize("package", ["sentencepiece", "safetensors"])
def test_a_package_that_is_not_installed_is_one_line(package, erniem, tmp_path):
    code = f"import sys\nsys.modules[{package!r}] = None\n"
    (tmp_path / "sitecustomize.py").write_text(code)
    status, out, told = erniem("embed", "a", folders=(tmp_path,))
    assert (status, out, told.count("\n")) == (2, "", 1)
    assert told.startswith(f"erniem: {package} cannot be imported (")
    assert told.endswith("pip install --force-reinstall numpy-erniem\n")


def test_a_package_for_another_libc_is_one_line(erniem, tmp_path):
    (tmp_path / "sentencepiece").mkdir()
    code = "raise ImportError('libc.so.6: cannot open it', name='sentencepiece._sentencepiece')"
    (tmp_path / "sentencepiece" / "__init__.py").write_text(code)
    status, out, told = erniem("embed", "a", folders=(tmp_path,))
    assert (status, out, told.count("\n")) == (2, "", 1)
    assert told.startswith("erniem: sentencepiece cannot be imported (libc.so.6: cannot open it)")


def test_a_module_of_the_package_that_is_missing_keeps_its_traceback(erniem, tmp_path):
    name = "numpy_erniem.pipelines.embed"
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{name!r}] = None\n")
    status, _, told = erniem("embed", "a", folders=(tmp_path,))
    assert status == 1
    assert told.startswith("Traceback")


def test_training_imports_without_ctypes(tmp_path):
    code = "import sys; sys.modules['_ctypes'] = None; import numpy_erniem.training"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
