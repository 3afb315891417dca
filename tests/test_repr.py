"""Models, configs and pipelines say what they are; show_versions says what runs here."""

import io
import os
import re

import pytest

import numpy_erniem as erniem
from numpy_erniem import (
    Embedder,
    ErnieMConfig,
    ErnieMForSequenceClassification,
    ErnieMModel,
    ErnieMTokenizer,
    TextClassifier,
)
from numpy_erniem.backend import versions
from tests.conftest import REPOSITORY

SIZES = {"vocab_size": 99, "hidden_size": 12, "num_attention_heads": 3}
SIZES |= {"num_hidden_layers": 2, "intermediate_size": 37}


def test_a_model_names_its_sizes_and_its_source():
    folder = erniem.bundled_checkpoint()
    model = ErnieMModel.from_pretrained(folder)
    numbers = f"{model.config.vocab_size} tokens, {model.num_parameters() / 1e6:.1f} M float32"
    assert repr(model) == (
        f"<ErnieMModel: 3 layers, 128 wide, {numbers} parameters, from {folder}>"
    )


def test_a_model_that_was_drawn_says_so():
    model = ErnieMForSequenceClassification(ErnieMConfig(**SIZES, num_labels=5), dtype="float64")
    assert repr(model) == (
        "<ErnieMForSequenceClassification: 2 layers, 12 wide, 99 tokens, 5 labels, "
        "0.0 M float64 parameters, drawn at random>"
    )


def test_a_printed_model_is_a_table_of_its_attributes():
    config = ErnieMConfig(**SIZES, id2label={0: "no", 1: "yes"})
    title, *lines = str(ErnieMForSequenceClassification(config)).splitlines()
    assert title == "ErnieMForSequenceClassification"
    rows = dict(line.split(maxsplit=1) for line in lines)
    assert rows["layers"] == "2"
    assert rows["heads"] == "3"
    assert rows["labels"] == "no, yes"
    assert rows["width"] == "12, feed-forward 37"


def test_the_line_of_a_config_makes_an_equal_config():
    config = ErnieMConfig(**SIZES, num_labels=3, name="Wörter")
    assert repr(config).startswith("ErnieMConfig(")
    assert "pad_token_id" not in repr(config)
    assert eval(repr(config)) == config
    assert repr(ErnieMConfig()) == "ErnieMConfig()"


def test_a_printed_config_is_a_table_of_every_key():
    lines = str(ErnieMConfig(**SIZES)).splitlines()
    assert lines[0] == "ErnieMConfig"
    assert len(lines) == 1 + len(ErnieMConfig(**SIZES).to_dict())
    assert any(line.split() == ["hidden_size", "12"] for line in lines)


def test_a_pipeline_names_its_model_and_its_options():
    embedder = Embedder.from_pretrained(pooling="cls", normalize=True)
    assert repr(embedder).startswith(f"Embedder({embedder.model!r}, pooling='cls', ")
    assert "normalize=True" in repr(embedder)
    assert "normalize=False" in repr(embedder.with_options(normalize=False))
    title, model, *rows = str(embedder).splitlines()
    assert (title, model.split()[0]) == ("Embedder", "model")
    assert ["pooling", "cls"] in [row.split() for row in rows]


def test_every_option_of_a_pipeline_is_in_its_table():
    tokenizer = ErnieMTokenizer.from_pretrained(erniem.bundled_checkpoint())
    config = ErnieMConfig(**{**SIZES, "vocab_size": len(tokenizer)})
    classifier = TextClassifier(ErnieMForSequenceClassification(config), tokenizer, top_k=2)
    names = [line.split()[0] for line in str(classifier).splitlines()[2:]]
    assert {"top_k", "function", "on_overflow", "batch_tokens"} <= set(names)


@pytest.fixture
def shown(monkeypatch):
    """The lines of `show_versions` by name, with these variables."""

    def show(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        file = io.StringIO()
        erniem.show_versions(file)
        return dict(line.split(maxsplit=1) for line in file.getvalue().splitlines())

    return show


def test_the_versions_name_what_runs_here(shown):
    lines = shown(OMP_NUM_THREADS="3")
    report = erniem.backend_report()
    assert lines["numpy_erniem"] == erniem.__version__
    assert lines["backend"] == f"{report['backend']} ({report['native']})"
    assert lines["threads"].split(", ")[0].endswith(f"({report['threading']})")
    assert lines["OMP_NUM_THREADS"] == "3"
    assert set(versions.NEEDED) <= lines.keys()
    assert lines["numpy"] == __import__("numpy").__version__


@pytest.mark.skipif(not (REPOSITORY / "pyproject.toml").is_file(), reason="not in a checkout")
def test_the_versions_name_every_package_that_users_install():
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    extras = ("hub", "parquet", "ray", "progress", "plot", "completion", "serve")
    lines = [line for e in extras for line in project["optional-dependencies"][e]]
    packages = {re.match(r"[\w-]+", line)[0] for line in (*lines, *project["dependencies"])}
    assert packages <= {*versions.NEEDED, *versions.OPTIONAL}


def test_the_versions_tell_no_secret(shown):
    text = str(shown(HF_TOKEN="hf_secret", ERNIEM_API_KEYS="sk_secret"))
    assert "_secret" not in text
    assert os.path.expanduser("~") + os.sep not in text


def test_the_versions_say_what_is_not_installed(shown, monkeypatch):
    monkeypatch.setattr(versions, "OPTIONAL", ("no-such-package-of-anyone",))
    assert shown()["no-such-package-of-anyone"] == "not installed"


@pytest.mark.parametrize(
    ("known", "soabi", "told"),
    [
        (("glibc", "2.36"), "cpython-311-x86_64-linux-gnu", "glibc 2.36"),
        (("libc", ""), "cpython-311-x86_64-linux-musl", "musl"),
        (("musl", "1.2.5"), "cpython-313-x86_64-linux-musl", "musl 1.2.5"),
        (("", ""), None, "unknown libc"),
    ],
)
def test_the_versions_name_the_libc(known, soabi, told, shown, monkeypatch):
    monkeypatch.setattr(versions.platform, "libc_ver", lambda: known)
    monkeypatch.setattr(versions.sysconfig, "get_config_var", lambda name: soabi)
    assert shown()["platform"].endswith(f", {told}")


def test_the_versions_name_the_tag_of_the_wheel(shown, monkeypatch):
    class Installed:
        def read_text(self, name):
            return "Wheel-Version: 1.0\nTag: py3-none-any\n"

    monkeypatch.setattr(versions, "distribution", lambda name: Installed())
    assert shown()["installed"] == "wheel py3-none-any"
