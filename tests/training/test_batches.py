"""Batches: their examples, without padding, and their masks."""

import numpy as np
import pytest

from numpy_erniem import ErnieMConfig
from numpy_erniem.training import batches as module
from numpy_erniem.training.batches import Batches, collate, evaluate_in_batches


def test_every_example_is_in_one_batch_of_an_epoch():
    lengths = np.random.default_rng(1).integers(3, 40, 53)
    batches = Batches(lengths, 8, seed=4)
    for epoch in (0, 3):
        steps = range(epoch * 7, epoch * 7 + 7)
        assert sorted(np.concatenate([batches[n] for n in steps]).tolist()) == list(range(53))
    assert [batches[0].tolist()] != [batches[7].tolist()]


def test_batches_hold_examples_of_similar_length():
    lengths = np.random.default_rng(1).integers(3, 400, 500)
    batches = Batches(lengths, 10, seed=4)
    spread = [np.ptp(lengths[batches[n]]) for n in range(50)]
    assert np.mean(spread) < 40


def test_a_batch_depends_on_seed_and_step_alone():
    lengths = list(range(5, 60))
    one, other = Batches(lengths, 4, seed=9), Batches(lengths, 4, seed=9)
    later = [one[n].tolist() for n in (3, 40, 2)]
    assert [other[n].tolist() for n in (3, 40, 2)] == later
    assert Batches(lengths, 4, seed=10)[3].tolist() != later[0]


def test_a_batch_always_has_its_mask():
    batch = collate([[4], [5, 1, 7]], ErnieMConfig(), {"labels": np.array([3, 8])})
    assert batch["input_ids"].tolist() == [[4, 5, 1, 7]]
    assert batch["starts"].tolist() == [0, 1, 4]
    assert batch["attention_mask"].tolist() == [[True, True, True, True]]
    assert batch["labels"].tolist() == [3, 8]


def test_a_batch_follows_the_convention_of_the_mask():
    config = ErnieMConfig(attention_mask_convention="paddle")
    batch = collate([[0, 4], [0, 5, 7]], config)
    assert batch["attention_mask"].tolist() == [[False, True, False, True, True]]


def test_evaluation_is_in_batches_of_similar_length_and_in_the_given_order(monkeypatch):
    monkeypatch.setattr(module, "BATCH_TOKENS", 20)
    ids, seen = [[0] * n for n in (3, 9, 4, 10, 2, 5)], []

    def lengths(chosen):
        seen.append([len(ids[n]) for n in chosen])
        return np.array(seen[-1])

    assert evaluate_in_batches(ids, lengths).tolist() == [3, 9, 4, 10, 2, 5]
    assert seen == [[10, 9], [5, 4, 3, 2]]


def test_no_examples_and_empty_batches_are_refused():
    with pytest.raises(ValueError, match="no examples"):
        Batches([], 4, seed=0)
    with pytest.raises(ValueError, match="batch size 0"):
        Batches([3], 0, seed=0)


@pytest.mark.parametrize("result", [[[1.0]], [], 1.0])
def test_an_evaluation_with_another_number_of_rows_is_refused(result):
    with pytest.raises(ValueError, match="for 3 texts; return one row for each"):
        evaluate_in_batches([[1], [2], [3]], lambda chosen: np.array(result))
