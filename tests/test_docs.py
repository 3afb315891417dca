"""The pages of docs/ and the README are true: examples run, links lead somewhere, tables agree."""

import contextlib
import doctest
import io
import re
import shlex
import tempfile
import warnings

import pytest

from numpy_erniem import get_num_threads, set_num_threads
from numpy_erniem.checkpoint.paddle_names import our_name
from numpy_erniem.checkpoint.safetensors_file import read_safetensors
from numpy_erniem.cli.completion import SHELLS
from numpy_erniem.cli.main import make_parser
from tests.conftest import REPOSITORY
from tests.test_imports import MAY_IMPORT

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


def test_the_examples_of_the_start_page():
    result = doctest.testfile(str(DOCS / "index.md"), module_relative=False, encoding="utf-8")
    assert result.attempted >= 3
    assert result.failed == 0


def test_the_examples_of_search():
    result = doctest.testfile(str(DOCS / "search.md"), module_relative=False, encoding="utf-8")
    assert result.attempted >= 10
    assert result.failed == 0


def test_the_examples_of_scaling():
    before = get_num_threads()
    try:
        page = str(DOCS / "scaling.md")
        result = doctest.testfile(page, module_relative=False, encoding="utf-8")
    finally:
        set_num_threads(before)
    assert result.attempted >= 5
    assert result.failed == 0


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


def test_the_bytes_in_weights_md_are_a_safetensors_file(tmp_path):
    text = (DOCS / "weights.md").read_text(encoding="utf-8")
    dump = re.search(r"```hexdump\n(.*?)```", text, re.DOTALL)[1]
    content = b"".join(bytes.fromhex(line[6:53]) for line in dump.splitlines())
    (tmp_path / "x").write_bytes(content)
    assert len(content) == 72
    assert read_safetensors(tmp_path / "x")["x"].numpy().tolist() == [1.0, -2.0]


def test_the_paddle_names_in_weights_md_are_those_of_the_code():
    row = "`encoder.layers.N.self_attn.{q,k,v}_proj.*` | `encoder.layers.N.self_attn.self_attn."
    assert row in (DOCS / "weights.md").read_text(encoding="utf-8")
    name = "encoder.layers.7.self_attn.{}_proj.bias"
    for letter in "qkv":
        want = f"encoder.layers.7.self_attn.self_attn.{letter}_proj.bias"
        assert our_name(name.format(letter)) == want


def rooms_in_design():
    """{room: what it may import} as the table of docs/design.md says."""
    text = (DOCS / "design.md").read_text(encoding="utf-8")
    rows = re.search(r"\| room \| may import \|\n\|[-|]+\|\n((?:\|.*\n)+)", text)[1]
    found, above = {}, set()
    for row in rows.splitlines():
        left, right = row.strip("|").split("|")
        rooms = re.findall(r"`([\w.]+)`", left)
        others = above if "every room above" in right else set(re.findall(r"`([\w.]+)`", right))
        found |= {room: set(others) for room in rooms}
        above = above | set(rooms)
    return found


def test_the_table_of_imports_in_design_md_is_the_one_that_is_tested():
    assert rooms_in_design() == {room: set(may) - {room} for room, may in MAY_IMPORT.items()}


def anchors(path):
    """The anchors that GitHub gives the headings of a markdown file."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.DOTALL)
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


PAGES = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for folder in (".", "docs", "docs/site", "tutorials", "numpy_erniem/tiny")
    for path in (REPOSITORY / folder).glob("*.md")
)


@pytest.mark.skipif(not (REPOSITORY / "csrc").is_dir(), reason="not in a checkout")
@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    page = REPOSITORY / page
    for target in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        path = (page.parent / name) if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def shell_commands(page):
    """The words after `erniem` of each line for a shell, up to a pipe or a redirection."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while "erniem" in words and words[0] != "docker":  # where it is an image
                words = words[words.index("erniem") + 1 :]
                ends = [n for n, word in enumerate(words) if re.fullmatch(r"[|&;<>]+", word)]
                yield words[: min(ends, default=len(words))]


COMMAND_LINES = [(page, words) for page in PAGES for words in shell_commands(page)]


@pytest.mark.parametrize(("page", "words"), COMMAND_LINES, ids=lambda value: str(value)[:40])
def test_every_command_line_of_a_page_has_options_that_there_are(page, words):
    if words[:1] == ["--print-completion"]:
        assert words[1] in SHELLS
        return
    assert make_parser(words).parse_args(words).command == words[0]


HISTORY = ("CHANGELOG.md", "docs/log.md")  # may name what is gone
# A file or folder between backticks: `csrc/gemm/pack.c`, `heads.py`, `models/`.
PATH = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|c|h|md|ipynb)|(?:[\w.-]+/)+)`")


@pytest.mark.skipif(not (REPOSITORY / "csrc").is_dir(), reason="not in a checkout")
@pytest.mark.parametrize("page", [page for page in PAGES if page not in HISTORY])
def test_every_path_in_the_text_is_there(page):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    there = {
        "/" + path.relative_to(REPOSITORY).as_posix() + "/" * path.is_dir()
        for folder in ("numpy_erniem", "csrc", "tests", "benchmarks", "tools", "tutorials", "docs")
        for path in [REPOSITORY / folder, *(REPOSITORY / folder).rglob("*")]
    } | {f"/{path.name}" + "/" * path.is_dir() for path in REPOSITORY.iterdir()}
    gone = {name for name in PATH.findall(text) if not any(p.endswith(f"/{name}") for p in there)}
    assert not gone
