"""`erniem classify`."""

import csv
import json

import pytest

from numpy_erniem import TextClassifier

TEXTS = ["Open a file", "打开文件"]
LONG = " ".join(f"word{n}" for n in range(20))


@pytest.fixture
def folder(classifier_model, saved):
    return saved(classifier_model("no", "maybe", "yes"))


@pytest.fixture
def classifier(folder):
    return TextClassifier.from_pretrained(folder)


def test_texts_of_the_command_line(run, folder, classifier):
    code, rows, err = run("classify", "--model", folder, *TEXTS)
    assert (code, err) == (0, "")
    assert rows == [{"text": t, **classifier(t)} for t in TEXTS]


@pytest.mark.parametrize(("top_k", "count"), [("2", 2), ("all", 3)])
def test_top_k_and_function(top_k, count, run, folder, classifier):
    _, rows, _ = run("classify", "--model", folder, "--top-k", top_k, "--function", "none", "a")
    want = classifier("a", top_k=None, function="none")[:count]
    assert rows[0]["labels"] == [row["label"] for row in want]
    assert rows[0]["scores"] == [row["score"] for row in want]


def test_a_pair_with_every_text(run, folder, classifier):
    _, rows, _ = run("classify", "--model", folder, *TEXTS, "--pair", "Open it")
    assert [row["score"] for row in rows] == [classifier((t, "Open it"))["score"] for t in TEXTS]


def test_pairs_of_a_file(run, folder, classifier, written):
    path = written({"a": "Open", "b": "Close", "id": 7}, {"a": "打开", "b": "Open", "id": 8})
    flags = ("--field", "a", "--pair-field", "b", "--keep", "id")
    code, rows, _ = run("classify", "--model", folder, "--input", path, *flags)
    assert code == 0
    first = classifier(("Open", "Close"))
    assert rows[0] == {"text": "Open", "text_pair": "Close", "id": 7, **first}
    assert rows[1]["score"] == classifier(("打开", "Open"))["score"]


def test_rows_with_errors_are_told(run, folder, classifier, written):
    path = written({"text": "a", "b": "c"}, {"text": "a"}, {"text": "a", "b": 3}, "a")
    flags = ("--pair-field", "b", "--on-error", "row")
    code, rows, err = run("classify", "--model", folder, "--input", path, *flags)
    assert code == 0
    assert "3 of 4 rows were written with their error" in err
    assert [row.get("error", "").partition(" line ")[2] for row in rows] == [
        "",
        "2 has no 'b', only text",
        "3[1] is a int, not a str",
        "4 is a text without columns; a row needs 'text' and 'b'",
    ]
    code, _, err = run("classify", "--model", folder, "--input", path, "--pair-field", "b")
    assert code == 1
    assert "line 2 has no 'b'" in err


def test_on_overflow(run, folder, classifier):
    _, rows, err = run("classify", "--model", folder, LONG)
    assert (rows[0]["score"], err) == (classifier(LONG)["score"], "")
    _, cut, err = run("classify", "--model", folder, LONG, "--on-overflow", "cut")
    assert cut[0]["score"] != rows[0]["score"]
    assert "1 of 1 texts have more than 32 tokens and were cut" in err


def test_a_table_as_the_output(run, folder, tmp_path, classifier):
    out = tmp_path / "out.csv"
    assert run("classify", "--model", folder, *TEXTS, "--top-k", "2", "--output", out)[0] == 0
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == TEXTS
    want = classifier(TEXTS, top_k=2)
    assert [json.loads(row["labels"]) for row in rows] == [[r["label"] for r in w] for w in want]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["a"], "holds an ErnieMModel; TextClassifier needs an ErnieMForSequenceClassification"),
        (["a", "--pair-field", "b"], "--pair-field is for --input PATH"),
        ([], "give texts or --input PATH"),
        (["a", "--top-k", "0"], "top_k 0 is not at least 1"),
    ],
)
def test_mistakes_are_one_line(flags, message, run, folder):
    model = [] if "holds" in message else ["--model", folder]
    code, _, err = run("classify", *flags, *model)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
