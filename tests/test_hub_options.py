"""revision, cache_dir and local_files_only reach the hub from every function and command."""

from importlib import import_module

import pytest

from numpy_erniem import bundled_checkpoint, check_parity, convert, embed
from numpy_erniem.cli.main import main
from numpy_erniem.pipelines.embed import Embedder

MODULES = (
    "numpy_erniem.conversion.convert",
    "numpy_erniem.parity.compare",
    "numpy_erniem.pipelines.embed",
    "numpy_erniem.cli.info",
)
OPTIONS = {"revision": "v2", "cache_dir": "cache", "local_files_only": True}
DEFAULTS = {"revision": None, "cache_dir": None, "local_files_only": False}


@pytest.fixture
def asked(monkeypatch):
    """What `resolve_folder` was asked for; every name leads to the bundled checkpoint."""
    calls = []

    def resolve(model, **options):
        options.pop("family", None)
        calls.append((model, options))
        return bundled_checkpoint()

    for module in MODULES:
        monkeypatch.setattr(import_module(module), "resolve_folder", resolve)
    return calls


@pytest.fixture
def golden(tmp_path):
    """A file to compare with, so that parity needs no torch."""
    from numpy_erniem import load
    from numpy_erniem.parity.compare import TEXTS, _make_inputs, _our_outputs
    from numpy_erniem.parity.golden import write_golden

    model = load(bundled_checkpoint())
    inputs = _make_inputs(bundled_checkpoint(), model, TEXTS)
    write_golden(tmp_path / "golden.npz", inputs, _our_outputs(model, inputs), "this test")
    return tmp_path / "golden.npz"


FUNCTIONS = {
    "convert": lambda folder, golden, **o: convert("a/b", folder / "out", **o),
    "check_parity": lambda folder, golden, **o: check_parity("a/b", against=golden, **o),
    "Embedder": lambda folder, golden, **o: Embedder.from_pretrained("a/b", **o),
    "embed": lambda folder, golden, **o: embed(["x"], "a/b", **o),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_of_a_function_reaches_the_hub(name, option, asked, golden, tmp_path):
    FUNCTIONS[name](tmp_path, golden, **{option: OPTIONS[option]})
    assert asked == [("a/b", {**DEFAULTS, option: OPTIONS[option]})]


COMMANDS = {
    "convert": lambda folder, golden: ["convert", "a/b", str(folder / "out")],
    "parity": lambda folder, golden: ["parity", "a/b", "--against", str(golden)],
    "embed": lambda folder, golden: ["embed", "x", "--model", "a/b"],
    "info": lambda folder, golden: ["info", "a/b"],
}
FLAGS = {
    "revision": ["--revision", "v2"],
    "cache_dir": ["--cache-dir", "cache"],
    "local_files_only": ["--local-files-only"],
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("option", FLAGS)
def test_an_option_of_a_command_reaches_the_hub(name, option, asked, golden, tmp_path, capsys):
    assert main([*COMMANDS[name](tmp_path, golden), *FLAGS[option]]) == 0
    assert asked == [("a/b", {**DEFAULTS, option: OPTIONS[option]})]


def test_without_a_name_the_bundled_checkpoint_is_read(golden):
    assert check_parity(against=golden).model == str(bundled_checkpoint())
