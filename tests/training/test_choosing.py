"""Fine-tuning multiple choice: files, different numbers of choices, what is cut, its score."""

import json

import numpy as np
import pytest

from numpy_erniem import ChoiceRanker
from numpy_erniem.training import TrainingConfig, choice_setup
from numpy_erniem.training.data_files import read_choices
from tests.training.tasks import CHOICES, save_small

SHORT = ("Rain:", ["go", "stay"], 1)
ONE = TrainingConfig(steps=1, batch_size=4, threads=1)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return save_small(tmp_path_factory.mktemp("small"))


@pytest.fixture
def read(tmp_path):
    def put(*rows, name="a.jsonl"):
        path = tmp_path / name
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        return read_choices(path)

    return put


def row(label, choices=("go", "stay"), **more):
    return {"prompt": "It rains, so", "choices": list(choices), "label": label, **more}


def test_a_label_is_a_number_or_a_text(read):
    want = [("It rains, so", ["go", "stay"], 1)]
    assert read(row(1)) == want
    assert read(row("stay")) == want
    other = {"question": "It rains, so", "choices": ["go", "stay"], "answer": "stay"}
    assert read(other) == want


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (row(2), r"line 2: the label 2 is not the number of a choice, 0\.\.1"),
        (row(-1), "line 2: the label -1"),
        (row(True), "line 2: the label True"),
        (row(1.0), "line 2: the label 1.0"),
        (row("run"), "line 2: the label 'run' is not one of the choices, once"),
        (row("go", ["go", "go"]), "line 2: the label 'go' is not one of the choices, once"),
        (row(0, ["go"]), "line 2 has 1 choices"),
        (row(0, ["go", 3]), "line 2: choices must be a list of texts"),
        (row(0, ["go", " "]), "line 2: choices must be a list of texts"),
        ({**row(0), "choices": "go"}, "line 2: choices must be a list of texts"),
        ({"prompt": "x"}, "line 2 has the keys prompt; needed: prompt, choices, label"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(read, wrong, message):
    with pytest.raises(ValueError, match=message):
        read(row(0), wrong)


def test_a_table_is_refused(read):
    with pytest.raises(ValueError, match=r"is no file of JSON lines.*name it .jsonl"):
        read(row(0), name="a.tsv")


def test_prompts_with_different_numbers_of_choices_have_the_loss_they_have_alone(small):
    assert {len(choices) for _, choices, _ in CHOICES[:4]} == {2, 3}
    setup = choice_setup(CHOICES[:4], CHOICES[:4], ONE, model=small)
    loss, _ = setup.loss_and_grad(setup.model, 0, None)
    losses = []
    for prompt, choices, label in CHOICES[:4]:
        rows = [setup.tokenizer(prompt, choice)["input_ids"] for choice in choices]
        logits = [setup.model([[row]]).logits[0, 0] for row in rows]
        losses.append(np.log(np.exp(logits).sum()) - logits[label])
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)


def test_a_prompt_is_cut_and_a_choice_is_not(small):
    long = [("word " * 30, ["go away", "stay"], 1)]
    with pytest.warns(UserWarning, match="1 of 1 examples have more than 16 tokens and were cut"):
        choice_setup(long, [SHORT], ONE, model=small, max_length=16)
    long = [("word", ["word " * 30, "stay"], 1)]
    with pytest.raises(ValueError, match=r"train\[0\]: choices\[0\] has 30 tokens"):
        choice_setup(long, [SHORT], ONE, model=small, max_length=16)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([], "train has no example"),
        ([("x", ["a"], 0)], r"train\[0\] has the choices \['a'\]"),
        ([("x", "ab", 0)], r"train\[0\]: the choices must be a list of texts, not str 'ab'"),
        ([("x", ["a", "b"], 2)], r"train\[0\]: the label 2 is not the number of a choice"),
    ],
)
def test_examples_that_cannot_be_trained_are_refused(small, examples, message):
    with pytest.raises(ValueError, match=message):
        choice_setup(examples, CHOICES, ONE, model=small)


def test_it_learns_to_choose(tmp_path):
    ends = {"It rains, so": "take an umbrella", "It is cold, so": "wear a coat"}
    data = [
        (prompt, [right, wrong] if n else [wrong, right], 1 - n)
        for prompt, right in ends.items()
        for wrong in ends.values()
        if wrong != right
        for n in (0, 1)
    ]
    config = TrainingConfig(steps=40, batch_size=4, learning_rate=3e-3, threads=1)
    report = choice_setup(data, data, config).train(tmp_path)
    assert report["best"]["accuracy"] == 1
    ranker = ChoiceRanker.from_pretrained(tmp_path)
    assert ranker("It rains, so", ["wear a coat", "take an umbrella"])[0]["index"] == 1
