"""Examples in docstrings and in the README say what happens."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import numpy_erniem

PACKAGE = Path(numpy_erniem.__file__).parent
README = Path(__file__).parent.parent / "README.md"


def name_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(p for p in parts if p != "__init__")


NAMES = [name_of(p) for p in sorted(PACKAGE.rglob("*.py")) if p.stem != "__main__"]


@pytest.mark.parametrize("name", NAMES)
def test_docstring_examples(name):
    try:
        module = import_module(name)
    except ImportError as error:
        if "_kernels" not in str(error):
            raise
        pytest.skip("the C kernels are not built")
    assert doctest.testmod(module).failed == 0


def test_readme_examples():
    result = doctest.testfile(str(README), module_relative=False)
    assert result.attempted >= 6
    assert result.failed == 0
