"""`erniem rerank`."""

import errno
import json
import os

import numpy as np
import pytest

from numpy_erniem import Reranker, backend_report
from numpy_erniem.engines.writers import Writer

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
    scores = [[found.pop("score") for found in row["ranking"]] for row in rows]
    told = [[one.pop("score") for one in ranking] for ranking in want]
    assert rows == [
        {"query": q["query"], "id": n, "ranking": r}
        for n, (q, r) in enumerate(zip(questions, want, strict=True))
    ]
    of_batch = 0 if backend_report()["backend"] == "native" else 1e-6  # NumPy's bits depend on it
    np.testing.assert_allclose(scores, told, rtol=0, atol=of_batch)


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
    told = "1 of 2 texts have more than 32 tokens with the query and were cut (see --on-overflow)"
    assert err == f"erniem: {told}\n"
    flags = ("--on-overflow", "window")
    _, windowed, err = run("rerank", "--model", folder, "--query", "open", LONG, "a", *flags)
    assert err == ""
    assert windowed == rows_of(reranker("open", [LONG, "a"], on_overflow="window"))
    assert windowed != rows


def test_a_text_without_a_score_is_named_left_out_or_written(run, folder, reranker, tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text(f"open\n{LONG}\nclose\n")
    flags = ("--model", folder, "--query", "q", "--input", path, "--on-overflow", "error")
    code, rows, err = run("rerank", *flags)
    assert (code, rows) == (1, [])
    assert f"{path} line 2: " in err
    want = [{**row, "index": 2 * row["index"]} for row in rows_of(reranker("q", ["open", "close"]))]
    _, rows, err = run("rerank", *flags, "--on-error", "skip")
    assert rows == want
    assert err == "erniem: 1 of 3 rows were left out\n"
    _, rows, _ = run("rerank", *flags, "--on-error", "row")
    assert rows[:2] == want
    assert (rows[2]["text"], f"{path} line 2: " in rows[2]["error"]) == (LONG, True)


def test_texts_without_a_token_are_counted(run, folder):
    _, rows, err = run("rerank", "--model", folder, "--query", "open", "", " ", "a")
    assert sorted(row["text"] for row in rows) == ["", " ", "a"]
    assert "2 of 3 texts have no token" in err


def test_a_full_disk_is_told_with_the_file(run, folder, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Writer, "write", full)
    out = tmp_path / "out.jsonl"
    code, _, err = run("rerank", "--model", folder, "--query", "open", "a", "--output", out)
    assert (code, err) == (1, f"erniem: {out}: No space left on device\n")


def test_the_output_of_an_interrupted_run_is_not_written_over(run, folder, written, tmp_path):
    path = written({"query": "open", "texts": TEXTS}, {"query": "open", "texts": []})
    out = tmp_path / "out.jsonl"
    assert run("rerank", "--model", folder, "--input", path, "--output", out)[0] == 1
    before = out.read_text()
    code, _, err = run("rerank", "--model", folder, "--query", "open", "a", "--output", out)
    assert code == 2
    assert "is of a run that was interrupted after 1 rows; resume it, or delete" in err
    assert out.read_text() == before


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
