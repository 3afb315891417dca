"""`erniem extract`: what it prints and writes, and its one-line errors."""

import json

import pytest

from numpy_erniem import (
    ErnieMConfig,
    ErnieMForInformationExtraction,
    ErnieMTokenizer,
    InformationExtractor,
    bundled_checkpoint,
)
from numpy_erniem.cli.extract import read_schema
from numpy_erniem.cli.main import main

TEXTS = ["In 1997, Steve became the CEO of Apple.", "地址不错，服务一般"]
SCHEMA = {"Person": ["Company", "Position"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Random weights that mark many tokens."""
    folder = tmp_path_factory.mktemp("uie-m")
    tokenizer = ErnieMTokenizer.from_pretrained(bundled_checkpoint())
    config = ErnieMConfig(
        vocab_size=len(tokenizer),
        hidden_size=12,
        num_attention_heads=3,
        num_hidden_layers=2,
        intermediate_size=37,
        initializer_range=1.0,
        max_position_embeddings=66,
    )
    ErnieMForInformationExtraction(config, seed=3).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def run(capsys):
    """Run a command line; returns exit code, stdout, stderr."""

    def call(*arguments):
        code = main(["extract", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def results_in(out):
    return [json.loads(line)["result"] for line in out.splitlines()]


def test_a_schema_file_and_words_are_asked_as_in_python(run, folder, tmp_path):
    extractor = InformationExtractor.from_pretrained(folder)
    file = tmp_path / "schema.json"
    file.write_text(json.dumps([SCHEMA, "时间"]), encoding="utf-8")
    for words, schema in (
        ([file], [SCHEMA, "时间"]),
        (["Time", "Person"], ["Time", "Person"]),
        ([json.dumps(SCHEMA), "Time [now, then]"], [SCHEMA, "Time [now, then]"]),
    ):
        code, out, err = run(*TEXTS, "--model", folder, "--schema", *words)
        assert (code, err) == (0, "")
        assert [json.loads(line)["text"] for line in out.splitlines()] == TEXTS
        assert results_in(out) == extractor(TEXTS, schema=schema)
        assert any(results_in(out))


@pytest.mark.parametrize(
    ("option", "keyword"),
    [
        (["--language", "zh"], {"language": "zh"}),
        (["--threshold", "0.9"], {"threshold": 0.9}),
        (["--max-length", "20"], {"max_length": 20}),
        (["--max-length", "20", "--no-cut-at-sentences"], {"cut_at_sentences": False}),
    ],
)
def test_options_have_the_words_of_python(option, keyword, run, folder):
    text = "Steve came. Apple grew and grew until then. " * 3
    if "cut_at_sentences" in keyword:
        keyword = {**keyword, "max_length": 20}
        without = run(text, "--model", folder, "--schema", json.dumps(SCHEMA), *option[:2])
    else:
        without = run(text, "--model", folder, "--schema", json.dumps(SCHEMA))
    code, out, _ = run(text, "--model", folder, "--schema", json.dumps(SCHEMA), *option)
    assert code == 0
    extractor = InformationExtractor.from_pretrained(folder, schema=SCHEMA)
    assert results_in(out) == [extractor(text, **keyword)]
    assert out != without[1]


def test_rows_of_a_file_keep_their_columns(run, folder, tmp_path):
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.csv"
    rows.write_text("".join(json.dumps({"id": n, "body": t}) + "\n" for n, t in enumerate(TEXTS)))
    code, _, _ = run(
        *("--model", folder, "--schema", "Person", "--input", rows, "--field", "body"),
        *("--keep", "id", "--output", out),
    )
    assert code == 0
    assert out.read_text(encoding="utf-8").splitlines()[0] == "text,id,result"


def test_a_wrong_row_does_not_stop_the_others(run, folder, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "Steve"}\n{"text": 3}\n{"text": "Apple"}\n')
    options = ("--model", folder, "--schema", "Person", "--input", rows)
    assert run(*options)[0] == 1
    code, out, err = run(*options, "--on-error", "row")
    assert code == 0
    assert ["error" in json.loads(line) for line in out.splitlines()] == [False, True, False]
    assert "1 of 3 rows were written with their error" in err


def test_a_long_text_is_cut_or_refused_on_request(run, folder):
    long = "Steve came. " * 40
    code, _, err = run(long, "--model", folder, "--schema", "Person", "--on-overflow", "cut")
    assert code == 0
    assert "1 of 1 texts have more than 64 tokens and were cut" in err
    assert run(long, "--model", folder, "--schema", "Person", "--on-overflow", "error")[0] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{"], "--schema is not valid JSON"),
        (["[]"], "--schema: schema is an empty list; a schema is a name, such as"),
        (['{"Person": {"Company": "City"}}'], "is a dict; put it into a list"),
        (["Time", "Time"], "schema has 'Time' twice"),
        (['{"Time": "a", "Time": "b"}'], "duplicate key 'Time'"),
        (["missing.json"], "missing.json"),
    ],
)
def test_a_wrong_schema_is_one_line(words, message, run, folder):
    code, out, err = run("a", "--model", folder, "--schema", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_schema_file_says_its_name_in_errors(tmp_path):
    file = tmp_path / "schema.json"
    file.write_text("3")
    with pytest.raises(ValueError, match=r"schema\.json: schema is a int; a schema is a name"):
        read_schema([str(file)])


def test_the_bundled_checkpoint_has_no_such_head(run):
    code, _, err = run("a", "--schema", "Person")
    assert code == 2
    assert "InformationExtractor needs an ErnieMForInformationExtraction" in err
    assert "uie-m-base" in err
