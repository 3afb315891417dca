"""The examples in docs/ run, and the scripts there print what they print with transformers."""

import contextlib
import doctest
import io
import re
import tempfile
import warnings

import pytest

from tests.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"
BACK_TO_TORCH = {
    "from numpy_erniem import": "from transformers import",
    'return_tensors="np"': 'return_tensors="pt"',
    "import numpy as np": "import torch",
    "np.array(": "torch.tensor(",
}


def blocks(name, kind="python"):
    """The code blocks of a markdown file."""
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_examples_of_every_head():
    """One after the other, as a reader would run them."""
    text = "\n".join(blocks("heads.md"))
    test = doctest.DocTestParser().get_doctest(text, {}, "heads.md", "docs/heads.md", 0)
    assert len(test.examples) > 60
    printed = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*drawn at random, train them before use", UserWarning)
        warnings.filterwarnings("ignore", ".*tensors not used: pooler", UserWarning)
        result = doctest.DocTestRunner().run(test, out=printed.write)
    assert result.failed == 0, printed.getvalue()


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Names that the scripts use, from the block that makes stand-ins for checkpoints."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (block,) = blocks("migrating.md", "python stand-in")
    names = {}
    exec(compile(block, "docs/migrating.md", "exec"), names)
    return {name: names[name] for name in ("nli_folder", "ner_folder")}


def printed_by(script, names):
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(script, "docs/migrating.md", "exec"), dict(names))
    return output.getvalue()


SCRIPTS = blocks("migrating.md")


@pytest.mark.parametrize("n", range(2), ids=["zero-shot", "token classification"])
def test_scripts_print_what_they_print_with_transformers(n, folders, transformers):
    pytest.importorskip("sentencepiece")
    here = SCRIPTS[n]
    there = here
    for ours, theirs in BACK_TO_TORCH.items():
        there = there.replace(ours, theirs)
    assert "np" not in re.findall(r"\w+", there)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = printed_by(there, folders)
    assert printed_by(here, folders) == want


@pytest.mark.parametrize("n", range(2), ids=["zero-shot", "token classification"])
def test_scripts_run(n, folders):
    lines = printed_by(SCRIPTS[n], folders).splitlines()
    shapes = [r"(politics|economy|sports) 0\.\d{4} \| \w+", r"(\S+/(O|PER|LOC|ORG) ?)+$|loss \d\."]
    assert len(lines) == (3, 4)[n]
    assert all(re.match(shapes[n], line) for line in lines), lines


@pytest.mark.skipif(not (DOCS.parent / "csrc").is_dir(), reason="not in a checkout")
def test_links_to_files_are_good():
    for path in DOCS.glob("*.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
