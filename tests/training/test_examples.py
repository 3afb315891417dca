"""Examples that are given in Python: any iterable, and a clear word about a wrong one."""

import numpy as np
import pytest

from numpy_erniem.training import (
    TrainingConfig,
    choice_setup,
    classification_setup,
    reranking_setup,
    retrieval_setup,
    tagging_setup,
)
from tests.training.tasks import TASKS, save_small

CONFIG = TrainingConfig(steps=1, batch_size=8, threads=1)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return save_small(tmp_path_factory.mktemp("small"))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_generator_is_as_good_as_a_list(task, small, tmp_path):
    reports = []
    for n, given in enumerate((list, iter)):
        setup = task.setup(given(task.data), given(task.data[::2]), CONFIG, model=small)
        reports.append(setup.train(tmp_path / str(n)))
    assert reports[0] == reports[1]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_an_evaluation_without_examples_is_refused(task, small):
    with pytest.raises(ValueError, match="evaluation has no "):
        task.setup(task.data, [], CONFIG, model=small)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_training_without_examples_is_refused(task, small):
    with pytest.raises(ValueError, match=r"train(ing)? has no "):
        task.setup([], task.data, CONFIG, model=small)


@pytest.mark.parametrize(
    ("setup", "example", "message"),
    [
        (
            classification_setup,
            ("a", "x"),
            r"train\[1\] is .*example is \(text, second",
        ),
        (classification_setup, "axy", r"train\[1\] is 'axy', and an example is \(text"),
        (classification_setup, ("a", None, 0), "the label must be a text, not int '0'"),
        (classification_setup, (None, None, "x"), "the text must be a text, not NoneType"),
        (tagging_setup, (["a", "b"], ["O"]), r"train\[1\] has 2 words and 1 tags"),
        (tagging_setup, ([], []), r"train\[1\] has 0 words"),
        (tagging_setup, ("ab", ["O", "O"]), "the words must be a list of texts, not str 'ab'"),
        (choice_setup, ("p", ["a", "b"], 0.5), "right one must be a whole number, not float"),
        (choice_setup, ("p", ["a", "b"], "a"), "right one must be a whole number, not str 'a'"),
        (reranking_setup, ("q", "a", "x"), "the score must be a finite number, not str 'x'"),
        (reranking_setup, ("q", "a", np.nan), "the score must be a finite number"),
        (reranking_setup, ("q", "a", 1e300), r"train\[1\]: the score 1e\+300 is too large"),
        (retrieval_setup, ("a", "b"), r"train\[1\] is .*example is \(language of the target"),
    ],
)
def test_an_example_of_another_form_is_named(setup, example, message, small):
    data = next(task.data for task in TASKS if task.setup is setup)
    with pytest.raises(ValueError, match=message):
        setup([data[0], example, *data], data, CONFIG, model=small)


@pytest.mark.parametrize("max_length", ["12", 12.5])
def test_a_length_that_is_no_whole_number_is_refused(max_length, small):
    task = TASKS[0]
    with pytest.raises(ValueError, match=r"max_length .* is not a whole number in"):
        task.setup(task.data, task.data, CONFIG, model=small, max_length=max_length)


@pytest.mark.parametrize("temperature", ["x", np.inf, np.nan, -1])
def test_a_temperature_that_is_none_is_refused(temperature, small):
    data = [("de", "a", "b"), ("de", "c", "d")]
    with pytest.raises(ValueError, match="temperature is"):
        retrieval_setup(data, data, CONFIG, model=small, temperature=temperature)
