"""Examples in docstrings and in the README say what happens."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import numpy_erniem

PACKAGE = Path(numpy_erniem.__file__).parent
REPOSITORY = Path(__file__).parent.parent
README = REPOSITORY / "README.md"
PAGES = [  # heads.md, whose examples use one another's files, has a test of its own
    page
    for page in sorted((REPOSITORY / "docs").glob("*.md"))
    if page.name != "heads.md" and ">>>" in page.read_text("utf-8")
]


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


@pytest.mark.filterwarnings("ignore:.*drawn at random, train them before use:UserWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_of_the_pages(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctest.testfile(str(page), module_relative=False).failed == 0


def test_readme_examples():
    result = doctest.testfile(str(README), module_relative=False)
    assert result.attempted >= 6
    assert result.failed == 0
