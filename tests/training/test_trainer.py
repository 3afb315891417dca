"""Runs that end, stop, are resumed and fail: the loop of `training.trainer`."""

import errno
import json
import sys

import numpy as np
import pytest

from numpy_erniem import ErnieMForTokenClassification
from numpy_erniem.backend.dispatch import use_backend
from numpy_erniem.checkpoint.safetensors_file import read_safetensors
from numpy_erniem.models.weights import flatten
from numpy_erniem.training import trainable, value_and_grad
from numpy_erniem.training.optimizer import AdamW
from numpy_erniem.training.state import STATE
from numpy_erniem.training.trainer import Trainer
from numpy_erniem.training.training_config import TrainingConfig
from tests.models.conftest import T, V
from tests.training.conftest import make

RATES = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}


def loss_and_grad(model, step, rng):
    """A task that can be learned: the label of a token is its id, modulo 5."""
    ids = rng.integers(2, V, (8, T))
    return value_and_grad(model, {"input_ids": ids, "labels": ids % 5}, rng=rng)


def accuracy(model):
    ids = np.arange(2, V - 6).reshape(-1, T)
    return {"accuracy": float((model(ids).logits.argmax(axis=2) == ids % 5).mean())}


def trainer(out, loss_and_grad=loss_and_grad, evaluate=None, **options):
    defaults = {"steps": 40, "learning_rate": 3e-3, "threads": 1, "save_every": 10}
    config = TrainingConfig(**{**defaults, **options})
    model = trainable(make("ErnieMForTokenClassification", **RATES))
    return Trainer(model, loss_and_grad, config, out, evaluate=evaluate)


def bits(folder):
    tensors = read_safetensors(folder / "model.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def test_it_learns(tmp_path):
    report = trainer(
        tmp_path, evaluate=accuracy, steps=120, learning_rate=1e-2, evaluate_every=60
    ).run()
    losses = [loss for _, loss in report["history"]]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    assert report["best"]["accuracy"] > 0.5
    assert json.loads((tmp_path / "report.json").read_text())["steps"] == 120


def test_the_folder_holds_a_model(tmp_path):
    mine = trainer(tmp_path)
    mine.run()
    loaded = ErnieMForTokenClassification.from_pretrained(tmp_path)
    for name, value in flatten(loaded.weights).items():
        np.testing.assert_array_equal(value, mine.weights[name])


def test_the_best_checkpoint_is_kept(tmp_path):
    scores = iter([0.2, 0.9, 0.4])
    seen = []

    def evaluate(model):
        seen.append(model.weights["classifier"]["bias"].copy())
        return {"score": next(scores)}

    report = trainer(tmp_path, evaluate=evaluate, steps=30, evaluate_every=10).run()
    assert report["best"] == {"step": 20, "score": 0.9}
    kept = ErnieMForTokenClassification.from_pretrained(tmp_path).weights["classifier"]["bias"]
    np.testing.assert_array_equal(kept, seen[1])


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 10, 27])
def test_a_run_that_goes_on_ends_with_the_same_bits(tmp_path, stop):
    trainer(tmp_path / "whole").run()

    def until_stopped(model, step, rng):
        if step == stop:
            raise StoppedError
        return loss_and_grad(model, step, rng)

    with pytest.raises(StoppedError):
        trainer(tmp_path / "parts", until_stopped).run()
    trainer(tmp_path / "parts").run()
    assert bits(tmp_path / "parts") == bits(tmp_path / "whole")
    reports = [(tmp_path / name / "report.json").read_bytes() for name in ("parts", "whole")]
    assert reports[0] == reports[1]


def test_a_run_with_another_configuration_says_what_differs(tmp_path):
    trainer(tmp_path).run()
    with pytest.raises(ValueError, match=r"learning_rate 0\.003 there, 0\.004 here.*folder"):
        trainer(tmp_path, learning_rate=4e-3)
    with pytest.raises(ValueError, match="seed 0 there, 1 here"):
        trainer(tmp_path, seed=1)


def test_the_best_model_of_a_run_without_a_state_is_not_overwritten_by_another_run(tmp_path):
    def stops(model, step, rng):
        if step == 7:
            raise StoppedError
        return loss_and_grad(model, step, rng)

    with pytest.raises(StoppedError):
        trainer(tmp_path, stops, accuracy, evaluate_every=5).run()
    assert not (tmp_path / STATE).exists()
    before = bits(tmp_path)
    with pytest.raises(ValueError, match="holds a run with other options: seed 0 there, 1 here"):
        trainer(tmp_path, evaluate=accuracy, evaluate_every=5, seed=1)
    assert bits(tmp_path) == before
    assert trainer(tmp_path, evaluate=accuracy, evaluate_every=5).run()["steps"] == 40


def test_a_finished_run_is_not_repeated(tmp_path):
    report = trainer(tmp_path).run()

    def never(model, step, rng):
        raise AssertionError("a step was run")

    again = trainer(tmp_path, never)
    assert again.run()["history"] == report["history"]
    loaded = flatten(ErnieMForTokenClassification.from_pretrained(tmp_path).weights)
    assert all(np.array_equal(value, loaded[name]) for name, value in again.weights.items())


def test_a_finished_run_leaves_no_state(tmp_path):
    trainer(tmp_path).run()
    names = ["config.json", "model.safetensors", "report.json", "run.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_the_state_of_a_run_killed_after_its_report_is_removed(tmp_path):
    trainer(tmp_path).run()
    (tmp_path / STATE).parent.mkdir()
    (tmp_path / STATE).write_bytes(b"left over")
    trainer(tmp_path).run()
    assert not (tmp_path / STATE).parent.exists()


def test_a_file_of_somebody_else_in_the_folder_of_the_state_is_kept(tmp_path):
    mine = trainer(tmp_path)
    (tmp_path / STATE).parent.mkdir()
    (tmp_path / STATE).with_name("notes.txt").write_text("mine")
    mine.run()
    assert [path.name for path in (tmp_path / STATE).parent.iterdir()] == ["notes.txt"]


def test_a_report_without_a_run_does_not_count_as_finished(tmp_path):
    (tmp_path / "report.json").write_text("{}")
    assert trainer(tmp_path, steps=2).run()["steps"] == 2


def scored(*scores):
    left = iter(scores)
    return lambda model: {"score": next(left)}


def test_a_run_stops_early_after_evaluations_without_a_better_score(tmp_path):
    lines = []
    mine = trainer(tmp_path, evaluate=scored(0.5, 0.7, 0.6, 0.7, 0.9), evaluate_every=5, patience=2)
    mine.report = lines.append
    report = mine.run()
    assert (report["steps"], report["best"]["step"]) == (20, 10)
    assert lines[-1] == "stops early: 2 evaluations brought nothing better"
    assert trainer(tmp_path, evaluate=scored(), evaluate_every=5, patience=2).run() == report


def test_nan_is_lower_than_any_score(tmp_path):
    nan = float("nan")
    scores = scored(nan, 0.5, nan, 0.4)
    report = trainer(tmp_path, evaluate=scores, evaluate_every=10, patience=3).run()
    assert report["best"] == {"step": 20, "score": 0.5}


def test_a_model_is_saved_though_all_scores_are_nan(tmp_path):
    trainer(tmp_path, evaluate=scored(*[float("nan")] * 4), evaluate_every=10).run()
    assert bits(tmp_path)


def test_an_evaluation_without_scores_is_refused(tmp_path):
    with pytest.raises(ValueError, match="evaluate returned no score"):
        trainer(tmp_path, evaluate=lambda model: {}, steps=1).run()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "has no steps, history, evaluations; remove it"),
        ('{"steps": 1, "history": [], "evaluations": [[1, 0.5]]}', "has no best; remove it"),
        ("[]", "is a JSON list"),
    ],
)
def test_a_damaged_report_of_a_run_is_told(tmp_path, text, message):
    trainer(tmp_path, steps=1).run()
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        trainer(tmp_path, steps=1).run()


def test_a_better_score_lets_a_run_go_on(tmp_path):
    scores = scored(0.5, 0.4, 0.6, 0.5, 0.7, 0.6, 0.8, 0.7)
    report = trainer(tmp_path, evaluate=scores, evaluate_every=5, patience=2).run()
    assert report["steps"] == 40


def test_patience_without_evaluations_is_refused(tmp_path):
    with pytest.raises(ValueError, match="patience 1 needs evaluations"):
        trainer(tmp_path, evaluate_every=5, patience=1)
    with pytest.raises(ValueError, match="patience 1 needs evaluate_every"):
        trainer(tmp_path, evaluate=accuracy, patience=1)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_nan_stops_the_run_and_keeps_the_checkpoint(tmp_path, where):
    def breaks(model, step, rng):
        loss, gradients = loss_and_grad(model, step, rng)
        if step == 16:
            loss = float("nan")
            if where == "gradient":
                gradients["ernie_m"]["encoder"]["layers"][1]["norm2"]["bias"][3] = np.inf
        return loss, gradients

    mine = trainer(tmp_path, breaks)
    name = "gradient of ernie_m.encoder.layers.1.norm2.bias" if where == "gradient" else "none"
    with pytest.raises(ValueError, match=f"step 17: the loss is nan.*{name}.*kept"):
        mine.run()
    assert int(read_safetensors(tmp_path / STATE)["step"].numpy()[0]) == 10
    assert all(np.isfinite(value).all() for value in mine.weights.values())


def test_a_weight_that_is_nan_is_named(tmp_path):
    mine = trainer(tmp_path)
    mine.weights["ernie_m.encoder.layers.0.linear1.weight"][0, 0] = np.nan
    with pytest.raises(ValueError, match=r"step 1: .*weight ernie_m.encoder.layers.0.linear1.weig"):
        mine.run()


def test_two_batches_a_step_have_their_mean_gradient(tmp_path):
    halves = []

    def half(model, step, rng):
        ids = np.random.default_rng(step).integers(2, V, (4, T))
        halves.append(ids)
        return value_and_grad(model, {"input_ids": ids, "labels": ids % 5})

    def whole(model, step, rng):
        ids = np.concatenate(halves[2 * step : 2 * step + 2])
        return value_and_grad(model, {"input_ids": ids, "labels": ids % 5})

    in_two = trainer(tmp_path / "two", half, steps=3, gradient_accumulation=2)
    in_two.run()
    at_once = trainer(tmp_path / "one", whole, steps=3)
    at_once.run()
    for name, value in in_two.weights.items():
        if name.endswith("k_proj.bias"):  # its gradient is 0, and Adam makes steps of the rounding
            continue
        np.testing.assert_allclose(value, at_once.weights[name], rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("warmup", 1.5),
        ("decay", "wild"),
        ("weight_decay", -1.0),
        ("max_grad_norm", 0.0),
        ("gradient_accumulation", 0),
        ("threads", -1),
        ("save_every", 0),
        ("evaluate_every", -1),
        ("patience", -1),
        ("batch_size", float("nan")),
        ("weight_decay", float("nan")),
        ("weight_decay", float("inf")),
        ("layer_decay", -1.0),
        ("layer_decay", 1.5),
        ("layer_decay", float("nan")),
        ("betas", (1.0, 0.999)),
        ("betas", (0.9, -0.1)),
        ("betas", (0.9,)),
        ("betas", 0.9),
        ("seed", -1),
        ("threads", 1025),
        ("steps", 2.5),
        ("steps", True),
        ("steps", "2"),
        ("batch_size", 2.5),
        ("seed", "a"),
        ("save_every", 2.5),
        ("learning_rate", "1e-3"),
        ("max_grad_norm", "1"),
        ("gradient_checkpointing", "no"),
    ],
)
def test_an_option_out_of_its_range_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        TrainingConfig(**{"steps": 5, name: value})


@pytest.mark.parametrize("decay", ["linear", "cosine", "constant"])
@pytest.mark.parametrize("steps", [1, 5])
def test_every_step_changes_the_weights(tmp_path, steps, decay):
    mine = trainer(tmp_path, steps=steps, warmup=0.4, decay=decay)
    before = mine.weights["classifier.bias"].copy()
    for step in range(steps):
        mine._step(step)
        assert (mine.weights["classifier.bias"] != before).all(), f"step {step}"
        before = mine.weights["classifier.bias"].copy()


def test_the_learning_rate_follows_the_schedule(tmp_path, monkeypatch):
    factors = []
    monkeypatch.setattr(AdamW, "step", lambda self, w, g, factor, *more: factors.append(factor))
    mine = trainer(tmp_path, steps=10, warmup=0.2, decay="linear")
    for step in range(10):
        mine._step(step)
    assert factors == pytest.approx([0.5, 1, *(1 - n / 8 for n in range(8))])


@pytest.mark.parametrize(
    "option",
    [
        {"batch_size": 4},
        {"learning_rate": 4e-3},
        {"warmup": 0.5},
        {"decay": "constant"},
        {"layer_decay": 0.5},
        {"weight_decay": 0.9},
        {"betas": (0.8, 0.9)},
        {"max_grad_norm": 0.01},
        {"gradient_accumulation": 2},
        {"seed": 1},
    ],
    ids=lambda option: next(iter(option)),
)
def test_an_option_changes_the_weights(tmp_path, option):
    def loss_and_grad(model, step, rng):
        ids = rng.integers(2, V, (mine.config.batch_size, T))
        return value_and_grad(model, {"input_ids": ids, "labels": ids % 5}, rng=rng)

    ends = []
    for n, options in enumerate(({}, option)):
        mine = trainer(tmp_path / str(n), loss_and_grad, **{"steps": 6, **options})
        mine.run()
        ends.append(mine.weights["ernie_m.encoder.layers.0.linear1.weight"])
    assert (ends[0] != ends[1]).any()


def test_a_state_is_saved_and_an_evaluation_made_at_the_steps_that_are_asked_for(tmp_path):
    seen = []

    def evaluate(model):
        seen.append(mine.optimizer.steps)
        return {"score": 0.0}

    def stops(model, step, rng):
        if step == 8:
            raise StoppedError
        return loss_and_grad(model, step, rng)

    mine = trainer(tmp_path, stops, evaluate, save_every=5, evaluate_every=3)
    with pytest.raises(StoppedError):
        mine.run()
    assert seen == [3, 6]
    assert int(read_safetensors(tmp_path / STATE)["step"].numpy()[0]) == 5


def test_a_full_disk_while_the_model_is_saved_is_told_and_the_state_is_kept(tmp_path):
    def full(model):
        raise OSError(errno.ENOSPC, "No space left on device")

    mine = trainer(tmp_path, evaluate=accuracy, save_every=4, evaluate_every=6)
    mine.save = full
    with pytest.raises(OSError, match=r": the model could not be written after step 6: the disk"):
        mine.run()
    lines = []
    again = trainer(tmp_path, evaluate=accuracy, save_every=4, evaluate_every=6)
    again.report = lines.append
    assert again.run()["steps"] == 40
    assert int(again.history[3][0]) == 4


def test_a_state_is_not_written_when_the_run_is_over(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(
        "numpy_erniem.training.trainer.save_state", lambda *a: saved.append(a[2].steps)
    )
    trainer(tmp_path).run()
    assert saved == [10, 20, 30]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_checkpoint_that_is_no_run_is_not_overwritten(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=f"has a {name} that no run of training wrote"):
        trainer(tmp_path)
    assert (tmp_path / name).read_text() == "mine"
    assert not (tmp_path / "run.json").exists()


def test_with_a_layer_decay_of_0_only_the_head_and_the_pooler_learn(tmp_path):
    mine = trainer(tmp_path, steps=3, layer_decay=0.0)
    before = {name: value.copy() for name, value in mine.weights.items()}
    mine.run()
    changed = [name for name, value in mine.weights.items() if (value != before[name]).any()]
    assert changed == ["classifier.weight", "classifier.bias"]


def test_a_loss_that_names_no_threads_and_checkpointing_uses_those_of_its_trainer(
    tmp_path, monkeypatch
):
    seen = []

    def spy(*arguments, gradient_checkpointing, threads):
        seen.append((gradient_checkpointing, threads))
        return encode(*arguments, gradient_checkpointing=gradient_checkpointing, threads=threads)

    module = sys.modules["numpy_erniem.training.value_and_grad"]  # its function has the same name
    encode = module.encode
    monkeypatch.setattr(module, "encode", spy)
    with use_backend("numpy"):
        trainer(tmp_path, steps=1, threads=2, gradient_checkpointing=True)._step(0)
        loss_and_grad(trainable(make("ErnieMForTokenClassification")), 0, np.random.default_rng(0))
    assert seen == [(True, 2), (False, 1)]
