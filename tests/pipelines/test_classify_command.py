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
    assert rows == [{"text": t, **r} for t, r in zip(TEXTS, classifier(TEXTS), strict=True)]


@pytest.mark.parametrize(("top_k", "count"), [("2", 2), ("all", 3)])
def test_top_k_and_function(top_k, count, run, folder, classifier):
    _, rows, _ = run("classify", "--model", folder, "--top-k", top_k, "--function", "none", "a")
    want = classifier("a", top_k=None, function="none")[:count]
    assert rows[0]["labels"] == [row["label"] for row in want]
    assert rows[0]["scores"] == [row["score"] for row in want]


def test_a_pair_with_every_text(run, folder, classifier):
    _, rows, _ = run("classify", "--model", folder, *TEXTS, "--pair", "Open it")
    want = classifier([(text, "Open it") for text in TEXTS])
    assert [row["score"] for row in rows] == [row["score"] for row in want]


def test_pairs_of_a_file(run, folder, classifier, written):
    path = written({"a": "Open", "b": "Close", "id": 7}, {"a": "打开", "b": "Open", "id": 8})
    flags = ("--field", "a", "--pair-field", "b", "--keep", "id")
    code, rows, _ = run("classify", "--model", folder, "--input", path, *flags)
    assert code == 0
    first, second = classifier([("Open", "Close"), ("打开", "Open")])
    assert rows[0] == {"text": "Open", "text_pair": "Close", "id": 7, **first}
    assert rows[1]["score"] == second["score"]


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
        (["a", "--pair-field", "b"], "--pair-field is for --input PATH"),
        ([], "give texts or --input PATH"),
        (["a", "--top-k", "0"], "top_k 0 is not at least 1"),
    ],
)
def test_mistakes_are_one_line(flags, message, run, folder):
    code, _, err = run("classify", *flags, "--model", folder)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_a_wrong_row_keeps_the_rows_before_it_and_the_run_goes_on(run, folder, written, tmp_path):
    rows, out = [{"text": f"text {n}"} for n in range(5)], tmp_path / "out.jsonl"
    flags = ("--model", folder, "--top-k", "all")
    _, want, _ = run("classify", *flags, "--input", written(*rows))
    path = written(*rows[:3], {"text": None}, rows[4])
    code, _, err = run("classify", *flags, "--input", path, "--output", out)
    assert code == 1
    assert "line 4 has no value as 'text'" in err
    assert len(out.read_text("utf-8").splitlines()) == 3
    path = written(*rows)
    code, _, _ = run("classify", *flags, "--input", path, "--output", out, "--function", "none")
    assert code == 2
    code, _, err = run("classify", *flags, "--input", path, "--output", out, "--resume")
    assert (code, err) == (0, "")
    found = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [row["text"] for row in found] == [row["text"] for row in want]
    assert [row["labels"] for row in found] == [row["labels"] for row in want]
