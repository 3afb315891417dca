"""Where the C kernels are missing, or cannot be loaded, the package works and says so once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import numpy_erniem

MISSING = "numpy_erniem has no C kernels here"
REINSTALL = "pip cache remove numpy_erniem; pip install --force-reinstall --no-deps numpy-erniem"


@pytest.fixture
def package(tmp_path):
    """A folder with the package and no kernels, to import from.

    Finders of an editable install are removed: they would find the kernels of a checkout.
    """
    skipped = shutil.ignore_patterns("_kernels*", "__pycache__")
    shutil.copytree(Path(numpy_erniem.__file__).parent, tmp_path / "numpy_erniem", ignore=skipped)
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "there = [f for f in sys.meta_path if 'editable' not in getattr(f, '__module__', '')]\n"
        "sys.meta_path[:] = there\n"
    )
    return tmp_path


@pytest.fixture
def python(package):
    """Run code, or a module, in a Python that imports from the folder; its output and errors."""

    def run(*arguments, **variables):
        environment = {**os.environ, "PYTHONPATH": str(package), "PYTHONWARNINGS": ""}
        environment.pop("NUMPY_ERNIEM_BACKEND", None)
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=package,
            env={**environment, **variables},
            capture_output=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    return run


def test_an_import_without_kernels_warns_once_and_names_the_remedy(python, package):
    script = package / "client.py"
    script.write_text("import numpy_erniem\nfrom numpy_erniem import embed\nembed('a')\n")
    _, told = python(str(script))
    assert told.startswith(f"{script}:1: UserWarning: {MISSING}")
    assert told.count("UserWarning") == 1
    assert f"install a C compiler, then run: {REINSTALL}." in told


def test_the_remedy_of_a_checkout_is_to_build_in_place(python, package):
    (package / "build_ext.py").touch()
    assert "then run: python build_ext.py." in python("-c", "import numpy_erniem")[1]


def test_a_choice_of_numpy_hides_the_warning(python):
    _, told = python("-c", "import numpy_erniem as e; e.embed('a')", NUMPY_ERNIEM_BACKEND="numpy")
    assert told == ""


def test_the_versions_say_that_there_are_no_kernels(python):
    shown, _ = python("-c", "import numpy_erniem as e; e.show_versions()")
    assert "\nbackend          numpy (the C kernels are not built; install a C" in shown


def test_info_names_the_remedy(python):
    shown, _ = python("-m", "numpy_erniem", "info")
    assert "numpy (the C kernels are not built; install a C compiler, then run: pip" in shown


def test_kernels_that_cannot_be_loaded_are_told_at_their_first_use(python, package):
    (package / "numpy_erniem" / "_kernels.abi3.so").write_bytes(b"not a library")
    assert python("-c", "import numpy_erniem")[1] == ""
    code = "import numpy_erniem as e; e.embed('a'); e.embed('b'); print(e.backend_report())"
    shown, told = python("-c", code)
    assert told.count("UserWarning: numpy_erniem: the C kernels cannot be loaded (") == 1
    assert "'backend': 'numpy', 'native': 'the C kernels cannot be loaded (" in shown


def test_a_library_that_is_missing_is_named(python, package):
    """As with Python built without what cffi needs."""
    fake = package / "numpy_erniem" / "_kernels.py"
    fake.write_text("import no_such_library_of_cffi")
    _, told = python("-c", "import numpy_erniem as e; e.embed('a')")
    assert "cannot be loaded (No module named 'no_such_library_of_cffi')" in told
