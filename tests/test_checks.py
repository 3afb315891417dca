"""Warnings point at the line of the caller, wherever in the package they come from."""

import json
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import numpy_erniem
from numpy_erniem import ErnieMConfig, ErnieMForTokenClassification, ErnieMModel, checks
from numpy_erniem.losses import cross_entropy
from tests.oracles import SMALL

PACKAGE = Path(numpy_erniem.__file__).parent


@pytest.fixture
def folder(tmp_path):
    """A checkpoint with a config that is wrong about one size and a tensor too many."""
    ErnieMForTokenClassification(ErnieMConfig(**SMALL)).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "intermediate_size": 99}))
    return tmp_path


def token_loss(labels):
    model = ErnieMForTokenClassification(ErnieMConfig(**SMALL))
    return model([[0, 5, 2]], labels=labels)


CALLS = {
    "load": (lambda folder: numpy_erniem.load(folder), "intermediate_size"),
    "from_pretrained": (lambda folder: ErnieMModel.from_pretrained(folder), "not used"),
    "loss": (lambda _: cross_entropy(np.float32([[1, 2]]), [-100]), "all labels are -100"),
    "loss of a model": (lambda _: token_loss([[-100] * 3]), "all labels are -100"),
    "embed": (lambda _: numpy_erniem.embed(["a " * 600]), "more than"),
    "embedder": (lambda _: numpy_erniem.Embedder.from_pretrained()(["a " * 600]), "more than"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_warning_points_at_the_file_of_the_caller(name, folder):
    call, message = CALLS[name]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        call(folder)
    (warning,) = (w for w in seen if message in str(w.message))
    assert warning.filename == __file__
    assert {w.filename for w in seen} == {__file__}


INSIDE = """
def outer(*args):
    inner(*args)

def inner(*args):
    warn(*args)
"""


@pytest.fixture
def outer():
    """A function of a module of the package that warns two calls further down."""
    module = {"__name__": "numpy_erniem.room.module", "warn": checks.warn}
    exec(compile(INSIDE, "inside.py", "exec"), module)
    return module["outer"]


def test_a_warning_names_the_first_line_outside_the_package(outer):
    line = sys._getframe().f_lineno + 2
    with pytest.warns(UserWarning, match="careful") as seen:
        outer("careful")
    assert (seen[0].filename, seen[0].lineno) == (__file__, line)


def test_a_package_whose_name_only_begins_alike_is_outside():
    module = {"__name__": "numpy_erniem_extras", "warn": checks.warn}
    exec(compile(INSIDE, "extras.py", "exec"), module)
    with pytest.warns(UserWarning, match="careful") as seen:
        module["outer"]("careful")
    assert seen[0].filename == "extras.py"


def test_a_warning_has_the_category_that_is_asked_for():
    with pytest.warns(FutureWarning, match="soon") as seen:
        checks.warn("soon", FutureWarning)
    assert seen[0].filename == __file__


@pytest.mark.parametrize("room", ["", "models", "plots"])
def test_no_module_counts_frames_by_hand(room):
    for path in (PACKAGE / room).glob("*.py"):
        assert not re.search(r"stacklevel=\d", path.read_text(encoding="utf-8")), path
