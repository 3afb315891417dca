"""Fine-tuning a reranker: files, the loss that fits the scores, what is cut, its scores."""

import json

import numpy as np
import pytest

from numpy_erniem import Reranker
from numpy_erniem.training import TrainingConfig, reranking_setup
from numpy_erniem.training.data_files import read_ranked
from tests.training.tasks import RANKED, save_small

SHORT = [("q", "a", 1.0), ("q", "b", 0.0)]
ONE = TrainingConfig(steps=1, batch_size=4, threads=1)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return save_small(tmp_path_factory.mktemp("small"))


@pytest.fixture
def read(tmp_path):
    def put(*lines, name="a.jsonl"):
        path = tmp_path / name
        texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        return read_ranked(path)

    return put


def test_a_score_for_each_text(read):
    want = [("q", "a", 1.0), ("q", "b", 0.25)]
    assert read("q\ta\t1", "q\tb\t0.25", name="a.tsv") == want
    assert read("score\ttext\tquery", "1\ta\tq", "0.25\tb\tq", name="a.tsv") == want
    assert (
        read({"query": "q", "text": "a", "score": 1}, {"query": "q", "text": "b", "label": 0.25})
        == want
    )


def test_lists_of_positives_and_negatives(read):
    want = [("q", "a", 1.0), ("q", "b", 0.0), ("q", "c", 0.0)]
    assert read({"query": "q", "positives": ["a"], "negatives": ["b", "c"]}) == want
    assert read({"query": "q", "pos": "a", "neg": ["b", "c"]}) == want


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"query": "q", "text": "a", "score": "much"}, "line 2: score must be a finite number"),
        ({"query": "q", "text": "a", "score": True}, "line 2: score must be a finite number"),
        ({"query": "q", "text": "a", "score": None}, "line 2: score must be a finite number"),
        ({"query": "q", "text": "a", "score": float("nan")}, "line 2: score must be a finite"),
        ({"query": "q", "text": "a", "score": 10**999}, "line 2: score must be a finite"),
        ({"query": "q", "text": " ", "score": 1}, "line 2: text must be a text"),
        ({"query": "q", "pos": ["a"], "neg": [3]}, "line 2: negatives must be a list of texts"),
        ({"query": "q", "pos": ["a"]}, "line 2 has the keys .*needed: query, text, score or"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(read, line, message):
    with pytest.raises(ValueError, match=message):
        read({"query": "q", "text": "a", "score": 1}, line)


@pytest.mark.parametrize(
    ("scores", "problem"),
    [
        ((0, 1), "multi_label_classification"),
        ((0.2, 0.9), "multi_label_classification"),
        ((0, 3), "regression"),
        ((-1, 1), "regression"),
    ],
)
def test_the_loss_fits_the_scores(small, scores, problem):
    data = [("q", "a", scores[0]), ("q", "b", scores[1])]
    setup = reranking_setup(data, data, ONE, model=small)
    assert (setup.model.config.problem_type, setup.model.config.num_labels) == (problem, 1)
    loss, _ = setup.loss_and_grad(setup.model, 0, None)
    ids = [setup.tokenizer("q", text)["input_ids"] for text in "ab"]
    s = np.array([setup.model([row]).logits[0, 0] for row in ids], np.float64)
    y = np.array(scores)
    p = 1 / (1 + np.exp(-s))
    share = -(y * np.log(p) + (1 - y) * np.log(1 - p)) if problem[0] == "m" else (s - y) ** 2
    assert loss == pytest.approx(share.mean(), rel=1e-5)


def test_a_text_is_cut_and_a_query_is_not(small):
    data = [("q", "word " * 30, 1.0), ("q", "word", 0.0)]
    with pytest.warns(UserWarning, match="1 of 2 examples have more than 12 tokens and were cut"):
        reranking_setup(data, SHORT, ONE, model=small, max_length=12)
    data = [("word " * 30, "x", 1.0), ("word " * 30, "y", 0.0)]
    with pytest.raises(ValueError, match=r"the query 'word word .* leaves no room for a text"):
        reranking_setup(data, SHORT, ONE, model=small, max_length=12)


@pytest.mark.parametrize(
    ("train", "evaluation", "message"),
    [
        ([], RANKED, "train has no example"),
        (RANKED, [], "evaluation has no example"),
        ([("q", "a", 1.0)], RANKED, "training has only the score 1"),
        ([("q", "a", float("inf"))], RANKED, "the score must be a finite number"),
        (RANKED, [("q", "a", 1.0), ("p", "b", 0.0)], "no query with texts of different scores"),
    ],
)
def test_examples_that_cannot_be_trained_are_refused(small, train, evaluation, message):
    with pytest.raises(ValueError, match=message):
        reranking_setup(train, evaluation, ONE, model=small)


def test_queries_that_have_no_order_are_told(small):
    with pytest.warns(UserWarning, match="1 of 4 queries of the evaluation have no texts of diff"):
        reranking_setup(RANKED, [*RANKED, ("q", "a", 1.0)], ONE, model=small)


def test_it_learns_to_rank(tmp_path):
    cities = [("Rome", "Ada lives in Rome."), ("Paris", "Bob lives in Paris.")]
    data = [(city, text, float(city == own)) for city, _ in cities for own, text in cities]
    config = TrainingConfig(steps=60, batch_size=4, learning_rate=3e-3, threads=1)
    report = reranking_setup(data, data, config).train(tmp_path)
    assert report["metrics"] == ["nDCG@10", "MRR@10"]
    assert report["best"]["MRR@10"] == 1
    reranker = Reranker.from_pretrained(tmp_path)
    assert reranker("Paris", [text for _, text in cities])[0]["index"] == 1


def test_a_reranker_can_be_trained_further(small, tmp_path):
    reranking_setup(RANKED, RANKED, ONE, model=small).train(tmp_path / "first")
    setup = reranking_setup(RANKED, RANKED, ONE, model=tmp_path / "first")
    kept = Reranker.from_pretrained(tmp_path / "first").model.weights["classifier"]["weight"]
    np.testing.assert_array_equal(setup.model.weights["classifier"]["weight"], kept)
