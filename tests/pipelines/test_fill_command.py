"""`erniem fill`: what it prints and writes, and its one-line errors."""

import json

import pytest

from numpy_erniem import (
    ErnieMConfig,
    ErnieMForMaskedLM,
    ErnieMTokenizer,
    MaskFiller,
    bundled_checkpoint,
)
from numpy_erniem.cli.main import main

TEXTS = ["Open the [MASK] now.", "[MASK] the file [MASK]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masked")
    tokenizer = ErnieMTokenizer.from_pretrained(bundled_checkpoint())
    config = ErnieMConfig(
        vocab_size=len(tokenizer),
        hidden_size=12,
        num_attention_heads=3,
        num_hidden_layers=2,
        intermediate_size=37,
        max_position_embeddings=34,
    )
    ErnieMForMaskedLM(config, seed=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def run(capsys):
    """Run a command line; returns exit code, stdout, stderr."""

    def call(*arguments):
        code = main(["fill", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def fillings_in(out):
    return [json.loads(line)["fillings"] for line in out.splitlines()]


@pytest.mark.parametrize(
    ("option", "keyword"),
    [
        ([], {}),
        (["--top-k", "2"], {"top_k": 2}),
        (["--targets", "file", "▁now"], {"targets": ["file", "▁now"]}),
    ],
)
def test_options_have_the_words_of_python(option, keyword, run, folder):
    code, out, err = run(*TEXTS, "--model", folder, *option)
    assert (code, err) == (0, "")
    assert fillings_in(out) == MaskFiller.from_pretrained(folder)(TEXTS, **keyword)


def test_long_texts_are_windows_cut_or_refused(run, folder):
    text = "[MASK] " + "window " * 40 + "[MASK]"
    assert len(fillings_in(run(text, "--model", folder)[1])[0]) == 2
    code, out, err = run(text, "--model", folder, "--on-overflow", "cut")
    assert code == 0
    assert len(fillings_in(out)[0]) == 5
    assert "were cut" in err
    assert run(text, "--model", folder, "--on-overflow", "error")[0] == 1


def test_a_row_without_a_mask_does_not_stop_the_others(run, folder, tmp_path):
    rows = tmp_path / "rows.txt"
    rows.write_text("\n".join([TEXTS[0], "no mask", TEXTS[1]]))
    code, _, err = run("--model", folder, "--input", rows)
    assert code == 1
    assert "there is no [MASK]" in err
    assert err.count("\n") == 1
    code, out, _ = run("--model", folder, "--input", rows, "--on-error", "row")
    assert code == 0
    assert ["error" in json.loads(line) for line in out.splitlines()] == [False, True, False]


def test_wrong_options_are_one_line(run, folder):
    for option, message in (
        (["--top-k", "0"], "top_k 0 is not at least 1"),
        (["--targets", "window now"], "tokens"),
    ):
        code, out, err = run(TEXTS[0], "--model", folder, *option)
        assert (code, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1
