"""What every fine-tuning task does: runs that are resumed, folders that work, clear stops."""

import errno
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from numpy_erniem.cli.main import main
from numpy_erniem.models.weights import flatten
from numpy_erniem.training import TrainingConfig, state
from numpy_erniem.training.finetuning import preparation
from numpy_erniem.training.state import STATE
from tests.training.tasks import TASKS, padded, save_small

QUICK = ["--threads", "1", "--batch-size", "8", "--epochs", "1"]


@pytest.fixture(params=TASKS, ids=lambda task: task.name)
def task(request):
    return request.param


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return save_small(tmp_path_factory.mktemp("small"), hidden_dropout_prob=0.1)


def setup_of(task, model, **options):
    defaults = {"steps": 1, "batch_size": 8, "learning_rate": 3e-3, "threads": 1, "save_every": 2}
    config = TrainingConfig(**{**defaults, **options})
    return task.setup(task.data, task.data[::2], config, model=model)


class StoppedError(Exception):
    pass


def test_a_run_that_was_stopped_ends_with_the_same_bits(task, small, tmp_path):
    setup_of(task, small).for_epochs(2).train(tmp_path / "whole")
    stopped = setup_of(task, small).for_epochs(2)
    loss_and_grad = stopped.loss_and_grad

    def stops(model, step, rng):
        if step == 3:
            raise StoppedError
        return loss_and_grad(model, step, rng)

    stopped.loss_and_grad = stops
    with pytest.raises(StoppedError):
        stopped.train(tmp_path / "parts")
    assert (tmp_path / "parts" / STATE).is_file()
    lines = []
    setup_of(task, small).for_epochs(2).train(tmp_path / "parts", report=lines.append)
    assert lines[0] == "resumes after step 2"
    for name in ("model.safetensors", "report.json", "config.json"):
        whole, parts = ((tmp_path / run / name).read_bytes() for run in ("whole", "parts"))
        assert whole == parts, name


def test_a_run_is_not_resumed_with_other_examples(task, small, tmp_path):
    setup_of(task, small).train(tmp_path)
    other = task.setup(task.data[::-1], task.data[::2], setup_of(task, small).config, model=small)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(ValueError, match="holds a run with other options: training examples"):
        other.train(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_run_is_not_resumed_from_other_weights(task, small, tmp_path):
    setup_of(task, small).train(tmp_path / "run")
    other = save_small(tmp_path / "other", hidden_dropout_prob=0.1)
    tensors = load_file(other / "model.safetensors")
    tensors["encoder.layers.0.linear1.bias"] += 0.5
    save_file(tensors, other / "model.safetensors")
    with pytest.raises(ValueError, match="holds a run with other options: weights at the start"):
        setup_of(task, other).train(tmp_path / "run")


def test_a_setup_that_has_trained_goes_on_with_its_run(task, small, tmp_path):
    setup = setup_of(task, small)
    report = setup.train(tmp_path)
    lines = []
    assert setup.train(tmp_path, report=lines.append) == report
    assert lines == [f"{tmp_path} holds this run, finished; nothing is left to do"]


def test_a_loss_that_is_nan_stops_the_run_and_keeps_the_state(task, small, tmp_path):
    setup = setup_of(task, small).for_epochs(2)
    loss_and_grad = setup.loss_and_grad

    def breaks(model, step, rng):
        loss, gradients = loss_and_grad(model, step, rng)
        return (float("nan") if step == 2 else loss), gradients

    setup.loss_and_grad = breaks
    with pytest.raises(ValueError, match=r"step 3: the loss is nan.*saved state in .* is kept"):
        setup.train(tmp_path)
    assert (tmp_path / STATE).is_file()


def test_a_full_disk_while_saving_stops_the_run_and_keeps_what_is_there(
    task, small, tmp_path, monkeypatch
):
    setup_of(task, small, save_every=1).train(tmp_path / "other")  # nothing is broken yet
    replace_safetensors = state.replace_safetensors
    saved = []

    def full(path, tensors):
        saved.append(path)
        if len(saved) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace_safetensors(path, tensors)

    monkeypatch.setattr(state, "replace_safetensors", full)
    message = "state.safetensors could not be written after step 2: the disk is full; the file"
    with pytest.raises(OSError, match=message):
        setup_of(task, small, save_every=1, steps=3).train(tmp_path / "run")
    monkeypatch.setattr(state, "replace_safetensors", replace_safetensors)
    lines = []
    setup_of(task, small, save_every=1, steps=3).train(tmp_path / "run", report=lines.append)
    assert lines[0] == "resumes after step 1"


def test_a_tuned_folder_runs_with_the_command_of_its_task(task, small, tmp_path, capsys):
    files = []
    for option, lines in (("--train", task.lines), ("--eval", task.lines[::2])):
        path = tmp_path / f"{option[2:]}.{task.suffix}"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        files += [option, str(path)]
    out = str(tmp_path / "out")
    options = ["--from", str(small), *files, "--out", out, *QUICK]
    assert main(["finetune", task.name, *options]) == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"{out}: best at step ")
    assert not (tmp_path / "out" / STATE).parent.exists()
    assert main([*task.command, "--model", out]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows


def test_the_same_command_again_repeats_nothing(task, small, tmp_path, capsys):
    path = tmp_path / f"a.{task.suffix}"
    path.write_text("\n".join(task.lines) + "\n", encoding="utf-8")
    out = tmp_path / "out"
    files = ["--train", str(path), "--eval", str(path), "--out", str(out)]
    options = ["finetune", task.name, "--from", str(small), *files, *QUICK]
    assert main(options) == 0
    before = (out / "model.safetensors").stat().st_mtime_ns
    first = capsys.readouterr()
    assert main(options) == 0
    again = capsys.readouterr()
    assert again.out == first.out
    assert "finished; nothing is left to do" in again.err
    assert (out / "model.safetensors").stat().st_mtime_ns == before


def test_the_file_and_the_examples_of_a_task_are_the_same(task, small, tmp_path):
    from numpy_erniem.cli.finetune import TASKS as COMMANDS

    path = tmp_path / f"a.{task.suffix}"
    path.write_text("\n".join(task.lines) + "\n", encoding="utf-8")
    read = COMMANDS[task.name].read(str(path))
    config = setup_of(task, small).config
    ours = task.setup(task.data, task.data, config, model=small)
    theirs = task.setup(read, read, config, model=small)
    assert ours.data == theirs.data


ARGUMENTS = ("input_ids", "attention_mask", "labels", "start_positions", "end_positions")


def test_the_loss_of_one_example_is_that_of_the_model(task, small, monkeypatch):
    if task.name == "retrieve":
        pytest.skip("the model of sentence vectors has no loss")
    setup, batches = setup_of(task, small, batch_size=1), []
    original = preparation.value_and_grad

    def spy(model, batch, **options):
        batches.append(batch)
        return original(model, batch, **options)

    monkeypatch.setattr(preparation, "value_and_grad", spy)
    loss, _ = setup.loss_and_grad(setup.model, 0, None)
    rows = padded(batches[0])
    batch = {name: rows[name] for name in ARGUMENTS if name in rows}
    if task.name == "choose":  # (C, T) -> (1, C, T)
        batch |= {name: batch[name][None] for name in ("input_ids", "attention_mask")}
    assert loss == pytest.approx(float(setup.model(**batch).loss), rel=1e-5)


def test_a_batch_of_one_has_the_same_loss_alone_and_beside_longer_ones(task, small):
    if task.name == "retrieve":
        pytest.skip("the others of a batch are its negatives")
    setup = setup_of(task, small, batch_size=1)
    losses = [setup.loss_and_grad(setup.model, n, None)[0] for n in range(setup.batches_per_epoch)]
    whole = setup_of(task, small, batch_size=999)
    together, gradients = whole.loss_and_grad(whole.model, 0, None)
    if task.name in ("tag", "extract"):  # a mean over tokens, which weighs the texts
        assert min(losses) <= together <= max(losses)
    else:
        assert together == pytest.approx(np.mean(losses), rel=1e-5)
    assert all(np.isfinite(np.asarray(g)).all() for g in flatten(gradients).values())
