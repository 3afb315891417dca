"""Where a model is: the options reach the hub from every function and command."""

import shutil
from importlib import import_module

import pytest

from numpy_erniem import ErnieMModel, bundled_checkpoint, check_parity, convert, embed, load
from numpy_erniem.checkpoint.keywords import HUB_KEYWORDS, only_hub_keywords
from numpy_erniem.cli.main import main
from numpy_erniem.pipelines.embed import Embedder

MODULES = (
    "numpy_erniem.conversion.convert",
    "numpy_erniem.parity.compare",
    "numpy_erniem.pipelines.loadable",
    "numpy_erniem.cli.info",
    "numpy_erniem.cli.pretrain",
    "numpy_erniem.models.loading",
    "numpy_erniem.training.finetuning.preparation",
)
OPTIONS = {
    "revision": "v2",
    "cache_dir": "cache",
    "local_files_only": True,
    "subfolder": "inner",
    "token": "hf_SECRET",
    "force_download": True,
}


@pytest.fixture
def asked(golden, monkeypatch):
    """What `resolve_folder` was asked for; every name leads to the bundled checkpoint."""
    calls = []

    def resolve(model, **options):
        calls.append(
            (model, only_hub_keywords({n: v for n, v in options.items() if n != "family"}))
        )
        return bundled_checkpoint()

    for module in MODULES:
        monkeypatch.setattr(import_module(module), "resolve_folder", resolve)
    return calls


@pytest.fixture
def golden(tmp_path):
    """A file to compare with, so that parity needs no torch."""
    from numpy_erniem import load
    from numpy_erniem.parity.compare import TEXTS, _make_inputs, _our_outputs
    from numpy_erniem.parity.family import opened
    from numpy_erniem.parity.golden import write_golden

    model = load(bundled_checkpoint())
    with opened(bundled_checkpoint()) as checkpoint:
        run = _make_inputs(checkpoint, model, TEXTS)
    write_golden(tmp_path / "golden.npz", run.inputs, _our_outputs(run, {}), "this test")
    return tmp_path / "golden.npz"


FUNCTIONS = {
    "convert": lambda folder, golden, **o: convert("a/b", folder / "out", **o),
    "check_parity": lambda folder, golden, **o: check_parity("a/b", against=golden, **o),
    "Embedder": lambda folder, golden, **o: Embedder.from_pretrained("a/b", **o),
    "embed": lambda folder, golden, **o: embed(["x"], "a/b", **o),
    "load": lambda folder, golden, **o: load("a/b", **o),
    "from_pretrained": lambda folder, golden, **o: ErnieMModel.from_pretrained("a/b", **o),
}


def test_every_option_is_tested():
    assert set(OPTIONS) == set(HUB_KEYWORDS)
    assert set(FLAGS) == set(HUB_KEYWORDS) - {"token"}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_of_a_function_reaches_the_hub(name, option, asked, golden, tmp_path):
    FUNCTIONS[name](tmp_path, golden, **{option: OPTIONS[option]})
    assert asked[0] == ("a/b", {option: OPTIONS[option]})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_keywords_of_transformers_are_accepted_by_every_function(name, asked, golden, tmp_path):
    FUNCTIONS[name](tmp_path, golden, use_auth_token="hf_SECRET", trust_remote_code=True)
    assert asked[0] == ("a/b", {"token": "hf_SECRET"})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_keyword_that_is_not_done_is_refused_by_every_function(name, asked, golden, tmp_path):
    with pytest.raises(ValueError, match=r"^proxies is not supported"):
        FUNCTIONS[name](tmp_path, golden, proxies={"https": "http://me:secret@proxy"})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_unknown_keyword_is_refused_by_every_function(name, asked, golden, tmp_path):
    with pytest.raises((TypeError, ValueError), match="revisoin"):
        FUNCTIONS[name](tmp_path, golden, revisoin="v2")


def test_an_unknown_keyword_names_the_nearest():
    with pytest.raises(TypeError, match="'revisoin'; did you mean 'revision'"):
        Embedder.from_pretrained(revisoin="v2")


def _finetune(folder, golden):
    (folder / "labels.tsv").write_text("a\tx\nb\ty\n", encoding="utf-8")
    files = [f"--{kind}={folder / 'labels.tsv'}" for kind in ("train", "eval")]
    out = str(folder / "out")
    return ["finetune", "classify", *files, "--out", out, "--model", "a/b", "--max-length=9999"]


def _pretrain(folder, golden):
    out = str(folder / "out")
    return ["pretrain", "--mono=none", "--out", out, "--model", "a/b", "--max-length=9999"]


COMMANDS = {
    "convert": lambda folder, golden: ["convert", "a/b", str(folder / "out")],
    "parity": lambda folder, golden: ["parity", "a/b", "--against", str(golden)],
    "embed": lambda folder, golden: ["embed", "x", "--model", "a/b"],
    "info": lambda folder, golden: ["info", "a/b"],
    "finetune": _finetune,  # these two stop at a length that no model takes
    "pretrain": _pretrain,
}
FLAGS = {
    "revision": ["--revision", "v2"],
    "cache_dir": ["--cache-dir", "cache"],
    "local_files_only": ["--local-files-only"],
    "subfolder": ["--subfolder", "inner"],
    "force_download": ["--force-download"],
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("option", FLAGS)
def test_an_option_of_a_command_reaches_the_hub(name, option, asked, golden, tmp_path, capsys):
    code = main([*COMMANDS[name](tmp_path, golden), *FLAGS[option]])
    assert code == (2 if "--max-length=9999" in COMMANDS[name](tmp_path, golden) else 0)
    assert asked[0] == ("a/b", {option: OPTIONS[option]})


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("given", [["--token", "hf_SECRET"], ["--token=hf_SECRET"]])
def test_a_token_on_the_command_line_is_refused(name, given, asked, golden, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*COMMANDS[name](tmp_path, golden), *given])
    assert stopped.value.code == 2
    assert not asked
    error = capsys.readouterr().err
    assert "HF_TOKEN" in error
    assert "SECRET" not in error


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_says_where_a_token_comes_from(name, capsys):
    with pytest.raises(SystemExit):
        main([name, "--help"])
    assert "HF_TOKEN" in capsys.readouterr().out


INSIDE = {
    "convert": lambda folder: convert(folder, folder / "out", subfolder="a/b").parameters,
    "check_parity": lambda folder: check_parity(
        folder, against=folder / "golden.npz", subfolder="a/b"
    ),
    "Embedder": lambda folder: Embedder.from_pretrained(folder, subfolder="a/b")(["x"]),
    "embed": lambda folder: embed(["x"], folder, subfolder="a/b"),
}


@pytest.mark.parametrize("name", INSIDE)
def test_a_subfolder_of_a_folder_is_read(name, golden, tmp_path):
    with pytest.raises(FileNotFoundError, match="no subfolder 'a/b'"):
        INSIDE[name](tmp_path)
    shutil.copytree(bundled_checkpoint(), tmp_path / "a" / "b")
    INSIDE[name](tmp_path)


def test_a_download_without_the_network_is_refused():
    with pytest.raises(ValueError, match="force_download needs the network"):
        Embedder.from_pretrained("a/b", force_download=True, local_files_only=True)


def test_without_a_name_the_bundled_checkpoint_is_read(golden):
    assert check_parity(against=golden).model == str(bundled_checkpoint())
