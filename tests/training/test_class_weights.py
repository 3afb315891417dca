"""Weights of the classes: their sum, the loss with them, and that training uses them."""

import json

import numpy as np
import pytest

from numpy_erniem.cli.main import main
from numpy_erniem.losses import cross_entropy
from numpy_erniem.training import TrainingConfig, classification_setup, tagging_setup
from numpy_erniem.training.finetuning.class_weights import weights_of_classes
from numpy_erniem.training.finetuning.task_heads import weighted_cross_entropy
from numpy_erniem.training.loss_gradients import cross_entropy_grad

TEXTS = [("Open the file", None, "a"), ("Save", None, "b"), ("A red cat", None, "a")]
SENTENCES = [(["Open", "it"], ["a", "b"]), (["Save"], ["a"])]
LABELS = np.array([[0, 2, -100], [1, -100, 2]])


def random_scores(dtype="float64"):
    return np.random.default_rng(5).standard_normal((2, 3, 4)).astype(dtype)


def test_balanced_classes_count_alike():
    labels = np.array([0, 0, 0, 1, 2, 2])
    weights = weights_of_classes("balanced", ["a", "b", "c"], labels)
    np.testing.assert_allclose(np.bincount(labels) * weights, 2, rtol=1e-6)


def test_a_class_without_a_weight_weighs_1():
    assert weights_of_classes({"b": 3.0}, ["a", "b"], np.array([0, 1])).tolist() == [1, 3]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("balance", "class_weights 'balance' is neither 'balanced'"),
        ({"god": 1.0}, "class_weights has 'god', no label; did you mean 'good'"),
        ({"good": 0.0}, r"class_weights of 'good' is 0.0, not a number in \(0, inf\)"),
        ({"good": float("nan")}, "class_weights of 'good' is nan"),
        ({"good": True}, "class_weights of 'good' is True"),
        ({"good": "2"}, "class_weights of 'good' is '2'"),
        ([1.0, 2.0], r"class_weights is \[1.0, 2.0\], neither 'balanced' nor"),
    ],
)
def test_weights_that_are_wrong_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        weights_of_classes(given, ["good", "bad"], np.array([0, 1]))


def test_a_class_of_which_all_examples_were_cut_weighs_as_one_example():
    weights = weights_of_classes("balanced", ["a", "b"], np.array([0, 0, 0, 0]))
    assert weights.tolist() == [0.5, 2.0]


@pytest.mark.parametrize("factor", [1e-300, 1e300])
def test_the_size_of_all_weights_together_does_not_matter(factor):
    scores, weights = random_scores("float32"), np.array([0.5, 2, 3, 9])
    loss, gradient = weighted_cross_entropy(scores, LABELS, weights * factor)
    want, wanted = weighted_cross_entropy(scores, LABELS, weights)
    assert loss == pytest.approx(want, rel=1e-6)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-5)


def test_equal_weights_change_nothing():
    scores = random_scores("float32")
    loss, gradient = weighted_cross_entropy(scores, LABELS, np.full(4, 7, np.float32))
    assert loss == pytest.approx(cross_entropy(scores, LABELS), rel=1e-6)
    np.testing.assert_allclose(gradient, cross_entropy_grad(scores, LABELS), atol=1e-7)
    assert (loss.dtype, gradient.dtype) == (np.float32, np.float32)


def test_the_weighted_loss_is_torchs():
    torch = pytest.importorskip("torch")
    scores, weights = random_scores(), np.array([0.5, 2, 3, 9])
    loss, gradient = weighted_cross_entropy(scores, LABELS, weights)
    s = torch.tensor(scores, requires_grad=True)
    want = torch.nn.CrossEntropyLoss(torch.tensor(weights))(s.transpose(1, 2), torch.tensor(LABELS))
    want.backward()
    assert loss == pytest.approx(want.item(), rel=1e-9)
    np.testing.assert_allclose(gradient, s.grad.numpy(), rtol=1e-6, atol=1e-9)


def test_without_a_label_the_loss_is_0():
    loss, gradient = weighted_cross_entropy(random_scores(), np.full((2, 3), -100), np.ones(4))
    assert loss == 0
    assert not gradient.any()


@pytest.mark.parametrize(
    ("setup", "data"), [(classification_setup, TEXTS), (tagging_setup, SENTENCES)]
)
def test_a_setup_trains_with_the_weights(setup, data):
    config = TrainingConfig(steps=1, batch_size=3, threads=1)
    losses = []
    for weights in (None, {"a": 1.0, "b": 1.0}, {"b": 50.0}, "balanced"):
        made = setup(data, data, config, class_weights=weights)
        losses.append(made.loss_and_grad(made.model, 0, None)[0])
        assert made.data["class_weights"] == weights
    plain, equal, other, balanced = losses
    assert equal == pytest.approx(plain, rel=1e-6)
    assert len({plain, other, balanced}) == 3


def test_weights_of_numpy_are_recorded(tmp_path):
    config = TrainingConfig(steps=np.int64(1), learning_rate=np.float32(1e-3), threads=1)
    setup = classification_setup(
        TEXTS, TEXTS, config, class_weights={"b": np.float32(2)}, max_length=np.int64(12)
    )
    setup.train(tmp_path)
    run = json.loads((tmp_path / "run.json").read_text())
    assert (run["class_weights"], run["steps"], run["max_length"]) == ({"b": 2.0}, 1, 12)


def test_the_best_model_is_that_of_macro_f1_where_classes_have_weights():
    config = TrainingConfig(steps=1, threads=1)
    plain = classification_setup(TEXTS, TEXTS, config)
    balanced = classification_setup(TEXTS, TEXTS, config, class_weights="balanced")
    assert list(plain.evaluate(plain.model)) == ["accuracy", "macro F1"]
    assert list(balanced.evaluate(balanced.model)) == ["macro F1", "accuracy"]


@pytest.mark.parametrize(
    ("task", "weights", "message"),
    [
        ("classify", ["x"], "'x' is neither balanced nor LABEL=NUMBER"),
        ("classify", ["x=much"], "'x=much' is neither balanced nor LABEL=NUMBER"),
        ("classify", ["=2"], "'=2' is neither"),
        ("classify", ["x=2", "x=3"], "gives 'x' twice"),
        ("classify", ["z=2"], "class_weights has 'z', no label; known: x, y = z"),
        ("retrieve", ["x=2"], "--class-weights is for classify, tag, not for retrieve"),
    ],
)
def test_weights_on_the_command_line_that_are_wrong(task, weights, message, tmp_path, capsys):
    path = tmp_path / "a.tsv"
    path.write_text("one\tx\ntwo\ty = z\n")
    files = ["--train", str(path), "--eval", str(path), "--out", str(tmp_path / "out")]
    assert main(["finetune", task, *files, "--class-weights", *weights]) == 2
    assert message in capsys.readouterr().err


def test_weights_on_the_command_line_reach_the_run(tmp_path, capsys):
    path = tmp_path / "a.tsv"
    path.write_text("one\tx\ntwo\ty = z\n")
    files = ["--train", str(path), "--eval", str(path), "--out", str(tmp_path / "out")]
    options = ["--class-weights", "y = z=2.5", "x=1", "--epochs", "1", "--threads", "1"]
    assert main(["finetune", "classify", *files, *options]) == 0
    told = (tmp_path / "out" / "run.json").read_text()
    assert '"y = z": 2.5' in told
