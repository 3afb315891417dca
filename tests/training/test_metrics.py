"""The scores of the fine-tuning tasks, on cases that can be checked by hand."""

import numpy as np
import pytest

from numpy_erniem.training.finetuning.metrics import (
    answer_scores,
    answer_words,
    entities_of,
    f1,
    macro_f1,
    ranking_scores,
    set_scores,
)


def test_f1_without_anything_is_0():
    assert f1(0, 0, 0) == (0, 0, 0)
    assert f1(0, 3, 2) == (0, 0, 0)


def test_macro_f1_counts_every_class_alike():
    labels = np.array([0] * 8 + [1, 2])
    assert macro_f1(labels, labels) == 1
    guessed = np.zeros(10, int)  # 0.8 right, two classes never
    assert macro_f1(labels, guessed) == pytest.approx(f1(8, 10, 8)[2] / 3)


def test_set_scores_count_over_all_texts():
    got = set_scores([{1, 2, 3}, set()], [{1, 2}, {3}])
    assert got == {"F1": pytest.approx(2 / 3), "precision": 2 / 3, "recall": 2 / 3}


@pytest.mark.parametrize(
    ("tags", "want"),
    [
        ("O O", set()),
        ("B-A I-A O B-A", {("A", 0, 2), ("A", 3, 4)}),
        ("B-A B-A", {("A", 0, 1), ("A", 1, 2)}),
        ("I-A I-A", {("A", 0, 2)}),
        ("I-A I-B", {("A", 0, 1), ("B", 1, 2)}),
        ("B-A I-B", {("A", 0, 1), ("B", 1, 2)}),
        ("S-A S-A", {("A", 0, 1), ("A", 1, 2)}),
        ("B-A E-A I-A", {("A", 0, 2), ("A", 2, 3)}),
        ("A A O A", {("A", 0, 2), ("A", 3, 4)}),
    ],
)
def test_entities_are_those_of_conlleval(tags, want):
    assert entities_of(tags.split()) == want


@pytest.mark.parametrize(
    ("text", "wanted", "scores"),
    [
        ("The cat.", ["a cat"], (1, 1)),
        ("black cat", ["cat"], (0, 2 / 3)),
        ("dog", ["cat", "Dog!"], (1, 1)),
        ("dog", ["cat"], (0, 0)),
        ("", [], (1, 1)),
        ("dog", [], (0, 0)),
        ("", ["dog"], (0, 0)),
        ("the", ["a"], (1, 1)),  # no word is left of either
        ("北京", ["在北京"], (0, pytest.approx(0.8))),
    ],
)
def test_answers_are_compared_as_in_squad(text, wanted, scores):
    assert answer_scores(text, wanted) == scores


def test_words_of_an_answer_in_other_scripts():
    assert answer_words("北京、上海") == ["北", "京", "上", "海"]
    assert answer_words("«Москва»") == ["москва"]


def test_ndcg_and_mrr_by_hand():
    relevance = [np.array([0, 1, 0]), np.array([2, 0, 1])]
    got = ranking_scores(relevance, [np.array([3, 2, 1]), np.array([3, 1, 2])])
    assert got == {"nDCG@10": pytest.approx((1 / np.log2(3) + 1) / 2), "MRR@10": 0.75}


def test_equal_scores_are_not_right_by_the_order_of_the_file():
    assert ranking_scores([np.array([1, 0])], [np.zeros(2)])["MRR@10"] == 0.5


def test_texts_behind_the_depth_do_not_count():
    relevance, scores = [np.array([1, 0, 0])], [np.array([1, 2, 3])]
    assert ranking_scores(relevance, scores, depth=2) == {"nDCG@2": 0, "MRR@2": 0}


def conlleval(tags):
    """The rules of the script, pair by pair of neighbouring tags."""
    found, begin, previous = set(), 0, ("O", "")
    for n, tag in enumerate([*tags, "O"]):
        prefix, name = tag[0], tag[2:]
        (before, name_before), previous = previous, (prefix, name)
        other = name != name_before
        ends = before in "ES" or (before in "BI" and prefix in "BSO") or (before != "O" and other)
        starts = prefix in "BS" or (prefix in "EI" and before in "ESO") or (prefix != "O" and other)
        if ends:
            found.add((name_before, begin, n))
        if starts:
            begin = n
    return found


def test_entities_of_random_tags_are_those_of_conlleval():
    rng = np.random.default_rng(7)
    kinds = ["O", *(f"{prefix}-{name}" for prefix in "BIES" for name in ("PER", "LOC"))]
    for _ in range(500):
        tags = [kinds[n] for n in rng.integers(0, len(kinds), rng.integers(1, 9))]
        assert entities_of(tags) == conlleval(tags), tags
