"""The folder of a run: what a killed process leaves, and a full disk."""

import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from numpy_erniem.training.optimizer import AdamW
from numpy_erniem.training.state import STATE, save_state
from tests.training.test_trainer import bits, trainer

SCRIPT = """
import sys, time
from pathlib import Path
from tests.training import test_trainer
def slow(*arguments):
    time.sleep(0.02)
    return test_trainer.loss_and_grad(*arguments)
test_trainer.trainer(Path(sys.argv[1]), slow, save_every=3).run()
"""


def test_a_killed_run_goes_on_with_the_same_bits(tmp_path):
    trainer(tmp_path / "whole", save_every=3).run()
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    killed = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "killed")], cwd=root, env=environment
    )
    state, deadline = tmp_path / "killed" / STATE, time.monotonic() + 60
    while not state.exists() and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(killed.pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    killed.wait()
    assert not (tmp_path / "killed" / "report.json").exists()
    trainer(tmp_path / "killed", save_every=3).run()
    assert bits(tmp_path / "killed") == bits(tmp_path / "whole")


LIMITED = """
import resource, sys
from pathlib import Path
from tests.training import test_trainer
trainer = test_trainer.trainer(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    trainer.run()
except OSError as error:
    print(error)
"""


def test_a_full_disk_is_one_sentence(tmp_path):
    pytest.importorskip("resource")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "state.safetensors could not be written after step 10: the disk is full" in done.stdout
    assert [path.name for path in tmp_path.rglob("*.*")] == ["run.json"]


HANGS_WHILE_SAVING = """
import os, sys, time
from pathlib import Path
from tests.training import test_trainer
replace = os.replace
def hang(source, target):
    if Path(target).name == "state.safetensors":
        print("saving", flush=True)
        time.sleep(600)
    replace(source, target)
os.replace = hang
test_trainer.trainer(Path(sys.argv[1])).run()
"""


def kill_while_saving(folder):
    """Run until a state is about to take its name, and kill the process then."""
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", HANGS_WHILE_SAVING, str(folder)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "saving\n"
    process.kill()
    process.wait()
    process.stdout.close()
    assert list(folder.rglob(".saving-*"))


def test_resuming_clears_what_a_killed_save_left(tmp_path):
    kill_while_saving(tmp_path)
    trainer(tmp_path)
    assert not list(tmp_path.rglob(".saving-*"))


def test_saving_clears_what_a_killed_save_left(tmp_path):
    kill_while_saving(tmp_path)
    mine = trainer(tmp_path.parent / f"{tmp_path.name}-other")
    save_state(tmp_path, mine.weights, mine.optimizer, [], [])
    assert not list(tmp_path.rglob(".saving-*"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("step"), "has no tensor step"),
        (lambda tensors: tensors.pop("history"), "has no tensor history"),
        (lambda tensors: tensors.pop("weights.classifier.bias"), "no tensor weights.classifier.bi"),
        (lambda tensors: tensors.update({"first.x": np.ones(2)}), "see tensor first.x"),
        (
            lambda tensors: tensors.update({"second.classifier.bias": np.ones(2)}),
            "see tensor second.classifier.bias",
        ),
    ],
)
def test_a_state_that_does_not_fit_is_refused(tmp_path, change, message):
    mine = trainer(tmp_path, steps=2)
    for step in range(2):
        mine._step(step)
    save_state(tmp_path, mine.weights, mine.optimizer, [(1, 0.5)], [])
    tensors = load_file(tmp_path / STATE)
    change(tensors)
    save_file(tensors, tmp_path / STATE)
    with pytest.raises(ValueError, match=message):
        trainer(tmp_path, steps=2)


def test_saving_a_state_copies_no_more_than_a_tensor(tmp_path):
    weights = {f"w{n}": np.ones(1 << 18, np.float32) for n in range(9)}
    optimizer = AdamW()
    optimizer.step(weights, weights)
    tracemalloc.start()
    try:
        save_state(tmp_path, weights, optimizer, [], [])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * weights["w0"].nbytes
