"""The claims of the README: its commands run, and its numbers are those of the code.

`test_readme_claims.py` lists the test of every sentence.
"""

import ast
import csv
import gzip
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import numpy_erniem
from numpy_erniem import ops
from numpy_erniem.backend import dispatch
from numpy_erniem.checkpoint.config_files import CONFIG_FILE
from numpy_erniem.checkpoint.folder import FORMATS
from numpy_erniem.cli.finetune import TASKS
from numpy_erniem.cli.main import COMMANDS, main, make_parser
from numpy_erniem.tokenizer.files import MODEL_FILE, VOCAB_FILE
from numpy_erniem.training import OBJECTIVES
from tests.conftest import REPOSITORY, native_is_built

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines()]
# These stand for files and models that a reader has.
PLACEHOLDERS = {"FOLDER", "NAME=FOLDER", "MODEL", "NLI", "OUT", "F", "C", "DIR"}


def command_of(line):
    """The words of a line that come from `erniem` on, without the comment; [] where none do."""
    words = shlex.split(line, comments=True)
    return words[words.index("erniem") + 1 :] if "erniem" in words else []


COMMAND_LINES = [line for line in LINES if command_of(line)]
RUNNING = [line for line in COMMAND_LINES if not PLACEHOLDERS & set(command_of(line))]


def test_the_readme_names_every_command():
    named = {command_of(line)[0] for line in COMMAND_LINES}
    named |= set(re.findall(r"`erniem ([\w-]+)", README))
    assert named >= set(COMMANDS) - {"extract", "fill"}
    for page in ("docs/extract.md", "docs/fill.md"):
        assert page in README


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_every_command_line_has_options_that_there_are(line):
    words = command_of(line)
    options = make_parser(words).parse_args(words)
    assert options.command == words[0]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The files that the command lines name."""
    folder = tmp_path_factory.mktemp("files")
    texts = ["Open a file", "打开文件", "Datei öffnen", "Close the window"]
    (folder / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "title"), *enumerate(texts)])
    with gzip.open(folder / "rows.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps({"title": text}) + "\n" for text in texts)
    return folder


def test_many_command_lines_run():
    assert len(RUNNING) >= 7


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_command_lines_that_need_no_other_model_run(files):
    """One after the other, as a reader would run them."""
    for line in RUNNING:
        line = line.removeprefix("pip install . && ")
        if "zcat" in line and not shutil.which("zcat"):
            continue
        python = f"{shlex.quote(sys.executable)} -W ignore -m numpy_erniem"
        line = re.sub(r"\berniem (?=\w+ ?)", f"{python} ", line, count=1)
        done = subprocess.run(line, shell=True, cwd=files, capture_output=True, encoding="utf-8")
        assert done.returncode == 0, f"{line}: {done.stderr}"
    written = {path.name for path in files.iterdir()}
    assert {"vectors.npy", "rows_out.jsonl", "notes"} <= written


def test_comments_show_what_is_printed(capsys):
    """Labels, or the first of several fillings."""
    (block,) = (block for block in BLOCKS if block.startswith("erniem classify"))
    for line in block.splitlines():
        want = [
            word for word in line.partition("  #")[2].replace(" ", "").split(",") if word != "..."
        ]
        main(command_of(line))
        rows = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
        found = [row["label"] for row in rows if "label" in row]
        found += [filling["token"] for row in rows for filling in row.get("fillings", ())]
        assert found[: len(want)] == want
        assert len(want) >= 2


def test_a_folder_has_the_files_that_are_named():
    text = " ".join(README.split()).partition("It takes a folder with ")[2].partition(" After ")[0]
    named = set(re.findall(r"`([\w.]+)`", text))
    weights = {kind.single for kind in FORMATS}
    assert named == {CONFIG_FILE, VOCAB_FILE, MODEL_FILE, *weights}


@pytest.mark.skipif(not (REPOSITORY / "build_ext.py").is_file(), reason="not in a checkout")
def test_every_extra_that_a_page_names_is_one():
    settings = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    section = settings.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    extras = set(re.findall(r"^([a-z]+) = \[", section, re.MULTILINE))
    for page in ["README.md", "CONTRIBUTING.md", "docs/installing.md", "docs/command_line.md"]:
        text = (REPOSITORY / page).read_text(encoding="utf-8")
        named = {e for found in re.findall(r"\[([a-z,]+)\]'", text) for e in found.split(",")}
        assert named <= extras, page


def test_the_share_of_translations_is_that_of_the_card():
    card = (numpy_erniem.bundled_checkpoint() / "README.md").read_text(encoding="utf-8")
    share = float(re.search(r"\| \*\*mean\*\* \| \*\*(\d\.\d+)", card)[1])
    assert f"[{share:.0%}".replace("%", " %]") in README
    assert re.search(r"300\s+sentences", README)
    assert "300 sentences a language" in card


def test_the_number_of_languages_is_that_of_the_card():
    card = (numpy_erniem.bundled_checkpoint() / "README.md").read_text(encoding="utf-8")
    languages = re.search(r"^\| languages \| (.*) \|$", card, re.MULTILINE)[1].split(", ")
    assert f"menus and manuals in {len(languages)} languages" in README.replace("\n", " ")


def test_every_source_of_texts_is_named():
    card = (numpy_erniem.bundled_checkpoint() / "README.md").read_text(encoding="utf-8")
    data = card.partition("## Data")[2].partition("## ")[0]
    names = set(re.findall(r"[\d,]+ of ([@\w./-]+)", data)) - {"English"}
    other_names = {
        "libgtk": "GTK",
        "libc-l10n": "glibc",
        "gnome-user-docs": "the GNOME help",
        "homeassistant": "Home Assistant and its frontend",
        "home-assistant-frontend": "Home Assistant and its frontend",
        "matrix-react-sdk": "the React SDK of Matrix",
        "scratch-l10n": "Scratch",
        "jupyterlab-language-pack": "JupyterLab",
        "@docusaurus/theme-translations": "Docusaurus",
        "@openstreetmap/id": "iD of OpenStreetMap",
    }
    licence = README.partition("## Licence")[2].replace("-", " ").lower()
    assert len(names) >= 10
    for name in names:
        assert other_names.get(name, name).replace("-", " ").lower() in licence, name
    for licence_name in set(re.findall(r"[(,] ?((?:MPL|BSD|CC|LGPL|Apache|MIT|ISC)[\w.-]*)", data)):
        assert licence_name.removesuffix("-2.1").replace("-", " ").lower() in licence, licence_name


def test_there_are_four_objectives():
    assert "the four pre-training objectives" in README
    assert len(OBJECTIVES) == 4
    assert ", ".join(map(str.upper, OBJECTIVES)).replace(", BTMLM", " and BTMLM") in README


def test_the_other_tasks_of_fine_tuning_are_counted():
    (line,) = (line for line in LINES if line.startswith("erniem finetune"))
    assert f"and {len(TASKS) - 1} other tasks" in line


@pytest.mark.skipif(not (REPOSITORY / "build_ext.py").is_file(), reason="not in a checkout")
def test_the_version_of_transformers_is_the_one_that_is_installed_for_tests():
    settings = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    wanted = re.search(r"transformers==([\d.]+); python_version < '([\d.]+)'", settings)
    assert f"`transformers` {wanted[1]} (which needs Python below {wanted[2]})" in README


def test_as_many_changes_of_a_script_are_told_as_on_the_page_about_migration():
    page = (REPOSITORY / "docs" / "migrating.md").read_text(encoding="utf-8")
    told = [
        re.search(r"runs\s+(?:here\s+)?after\s+(\w+)\s+changes", text) for text in (README, page)
    ]
    assert told[0][1] == told[1][1] == "three"


def test_there_are_five_heads_and_a_masked_language_model():
    heads = {name for name in numpy_erniem.__all__ if name.startswith("ErnieMFor")}
    assert "the five task heads and the masked language model" in README.replace("\n", " ")
    assert len(heads - {"ErnieMForMaskedLM"}) == 5


def parsed(name):
    package = Path(numpy_erniem.__file__).parent
    return ast.parse((package / name).read_text(encoding="utf-8"))


def imported(tree, module):
    """What a module imports from another."""
    return {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == f"numpy_erniem.{module}"
        for alias in node.names
    }


def called(tree):
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {function.id for function in calls if isinstance(function, ast.Name)}


def test_the_forward_pass_calls_layers():
    """Beside functions of Python and the classes of its own file."""
    tree = parsed("encoder.py")
    (encode,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "encode")
    own = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    layers = called(encode) - own - {"zip"}
    assert len(layers) >= 3
    assert layers <= imported(tree, "layers")


def test_layers_compute_by_primitives():
    """Nothing but sizes, reshaping and primitives is in them."""
    tree = parsed("layers.py")
    from_numpy = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "np"
    }
    assert {"linear", "attention", "mlp", "layer_norm"} <= imported(tree, "ops")
    assert not from_numpy & {"exp", "matmul", "dot", "einsum", "tanh", "sqrt", "mean", "sum"}
    assert not any(isinstance(node, ast.MatMult) for node in ast.walk(tree))


def test_every_primitive_has_a_kernel():
    if not native_is_built():
        pytest.skip("the C kernels are not built")
    primitives = {name for name, found in vars(ops).items() if hasattr(found, "body")}
    assert len(primitives) >= 6
    assert primitives <= dispatch._native()[0].keys()


def test_the_table_of_files_has_every_room():
    table = re.search(r"\| file or folder \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", README)[1]
    named = {name.partition("/")[0] for name in re.findall(r"`([\w./]+)`", table)}
    rooms = {
        path.name
        for path in Path(numpy_erniem.__file__).parent.iterdir()
        if path.suffix == ".py" or (path.is_dir() and path.name != "__pycache__")
    }
    assert rooms - {"__init__.py", "__main__.py"} <= named


def test_every_backend_is_in_the_table():
    table = re.search(r"\| backend \| effect \|\n\|.*\n((?:\|.*\n)+)", README)[1]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == set(dispatch.CHOICES)


def test_every_kind_of_threads_is_named():
    kinds = re.search(r"NUMPY_ERNIEM_THREADING=([\w|]+)", README)[1].split("|")
    assert set(kinds) == set(dispatch.THREADING)


def test_every_variable_is_read():
    package = Path(numpy_erniem.__file__).parent
    source = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    for name in set(re.findall(r"NUMPY_ERNIEM_[A-Z_]+", README)):
        assert f'"{name}"' in source, name


def test_the_longest_text():
    config = numpy_erniem.ErnieMConfig.from_pretrained(numpy_erniem.bundled_checkpoint())
    assert f"A text may have {config.max_length} tokens" in README
    assert config.max_length == config.max_position_embeddings - 2


def test_strassens_algorithm_is_off_until_it_is_asked_for(monkeypatch):
    if not native_is_built():
        pytest.skip("the C kernels are not built")
    from numpy_erniem.backend.settings import default_strassen

    assert "is off unless `NUMPY_ERNIEM_STRASSEN=1`" in README
    monkeypatch.delenv("NUMPY_ERNIEM_STRASSEN", raising=False)
    assert not default_strassen()


def test_names_that_python_code_uses_are_public():
    for name in re.findall(r"`erniem\.(\w+)", README):
        assert name in numpy_erniem.__all__, name
