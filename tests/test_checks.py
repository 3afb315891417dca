import sys

import pytest

from numpy_erniem.checks import warn

INSIDE = """
def outer(*args):
    inner(*args)

def inner(*args):
    warn(*args)
"""


@pytest.fixture
def outer():
    """A function of a module of the package that warns two calls further down."""
    module = {"__name__": "numpy_erniem.room.module", "warn": warn}
    exec(compile(INSIDE, "inside.py", "exec"), module)
    return module["outer"]


def test_a_warning_names_the_first_line_outside_the_package(outer):
    line = sys._getframe().f_lineno + 2
    with pytest.warns(UserWarning, match="careful") as seen:
        outer("careful")
    assert (seen[0].filename, seen[0].lineno) == (__file__, line)


def test_a_package_whose_name_only_begins_alike_is_outside():
    module = {"__name__": "numpy_erniem_extras", "warn": warn}
    exec(compile(INSIDE, "extras.py", "exec"), module)
    with pytest.warns(UserWarning, match="careful") as seen:
        module["outer"]("careful")
    assert seen[0].filename == "extras.py"


def test_a_warning_has_the_category_asked_for(outer):
    with pytest.warns(DeprecationWarning, match="old"):
        outer("old", DeprecationWarning)
