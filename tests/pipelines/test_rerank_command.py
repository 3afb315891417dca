"""`erniem rerank`."""

import json

import pytest

from numpy_erniem import Reranker

TEXTS = ["Close the file", "打开文件", "Datei öffnen", "Open the file"]
LONG = " ".join(f"word{n}" for n in range(20))


@pytest.fixture
def folder(classifier_model, saved):
    return saved(classifier_model("score"))


@pytest.fixture
def reranker(folder):
    return Reranker.from_pretrained(folder)


def rows_of(ranking):
    return [{"text": r["text"], "index": r["index"], "score": r["score"]} for r in ranking]


def test_texts_of_the_command_line(run, folder, reranker):
    code, rows, err = run("rerank", "--model", folder, "--query", "open", *TEXTS)
    assert (code, err) == (0, "")
    assert rows == rows_of(reranker("open", TEXTS))


def test_texts_of_a_file_are_ordered_together(run, folder, reranker, tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS), encoding="utf-8")
    flags = ("--query", "open", "--input", path, "--top-k", 2, "--scores", "sigmoid")
    _, rows, _ = run("rerank", "--model", folder, *flags)
    assert rows == rows_of(reranker("open", TEXTS, top_k=2, scores="sigmoid"))


def test_columns_are_kept_and_wrong_rows_told(run, folder, reranker, written, tmp_path):
    path = written({"t": "Open", "id": 7}, {"id": 8}, {"t": "Close", "id": 9})
    ranking = reranker("open", ["Open", "Close"])
    places = {"Open": (7, 0), "Close": (9, 2)}
    want = [
        {"text": r["text"], "id": places[r["text"]][0], "index": places[r["text"]][1]}
        | {"score": r["score"]}
        for r in ranking
    ]
    flags = ("--query", "open", "--input", path, "--field", "t", "--keep", "id")
    code, _, err = run("rerank", "--model", folder, *flags)
    assert code == 1
    assert "line 2 has no 't', only id" in err
    out = tmp_path / "out.jsonl"
    code, _, err = run("rerank", "--model", folder, *flags, "--on-error", "skip", "--output", out)
    assert code == 0
    assert [json.loads(line) for line in out.read_text("utf-8").splitlines()] == want
    assert "1 of 3 rows were left out" in err
    _, rows, err = run("rerank", "--model", folder, *flags, "--on-error", "row")
    assert rows[:2] == want
    assert (rows[2]["id"], "line 2 has no 't'" in rows[2]["error"]) == (8, True)
    assert "1 of 3 rows were written with their error" in err


def test_rows_with_queries(run, folder, reranker, written):
    questions = [{"query": "open", "texts": TEXTS}, {"query": "关闭", "texts": TEXTS[:2]}]
    path = written(*[{**question, "id": n} for n, question in enumerate(questions)])
    flags = ("--input", path, "--keep", "id", "--top-k", 1)
    code, rows, err = run("rerank", "--model", folder, *flags)
    assert (code, err) == (0, "")
    want = [reranker(**question, top_k=1) for question in questions]
    assert rows == [
        {"query": q["query"], "id": n, "ranking": r}
        for n, (q, r) in enumerate(zip(questions, want, strict=True))
    ]


def test_rows_with_other_keys_and_errors(run, folder, reranker, written):
    path = written({"q": "open", "t": TEXTS}, {"q": "open", "t": []}, {"q": "a", "t": ["b", 3]})
    flags = ("--input", path, "--field", "q", "--texts-field", "t", "--on-error", "row")
    code, rows, _ = run("rerank", "--model", folder, *flags)
    assert code == 0
    assert rows[0]["ranking"] == reranker("open", TEXTS)
    assert "line 2: texts is empty" in rows[1]["error"]
    assert "line 3: texts[1] is a int, not a str" in rows[2]["error"]


def test_what_is_cut_is_told(run, folder, reranker):
    _, rows, err = run("rerank", "--model", folder, "--query", "open", LONG, "a")
    assert "tokens are left out, because texts have more than 32 tokens" in err
    assert "see --on-overflow" in err
    flags = ("--on-overflow", "window")
    _, windowed, err = run("rerank", "--model", folder, "--query", "open", LONG, "a", *flags)
    assert err == ""
    assert windowed == rows_of(reranker("open", [LONG, "a"], on_overflow="window"))
    assert windowed != rows


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["a"], "there is no query; give --query TEXT"),
        (["--query", "q"], "give texts or --input PATH"),
        (["a", "--query", "q", "--texts-field", "t"], "--texts-field is for rows with queries"),
        (
            ["a", "--query", "q", "--output", "x.jsonl", "--resume"],
            "all texts are ordered together",
        ),
        (["a", "--query", "q", "--top-k", "0"], "top_k 0 is not at least 1"),
    ],
)
def test_mistakes_are_one_line(flags, message, run, folder):
    code, _, err = run("rerank", "--model", folder, *flags)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_a_model_with_several_labels_is_refused(run, classifier_model, saved):
    folder = saved(classifier_model("no", "yes"))
    code, _, err = run("rerank", "--model", folder, "--query", "q", "a")
    assert code == 2
    assert "the model has 2 labels; a reranker has one" in err


def test_input_without_a_text_is_an_error(run, folder, written):
    path = written({"x": "a"})
    flags = ("--query", "q", "--input", path, "--on-error", "skip")
    code, _, err = run("rerank", "--model", folder, *flags)
    assert code == 1
    assert "the input has no text to order" in err
