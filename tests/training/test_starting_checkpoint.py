"""The checkpoint that a fine-tuning starts from: its encoder is there, or it is refused."""

import warnings

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from numpy_erniem.training import TrainingConfig, tagging_setup
from tests.training.tasks import TAGGED, TASKS, save_small

CONFIG = TrainingConfig(steps=1, batch_size=8, threads=1)
TABLE = "embeddings.word_embeddings.weight"


@pytest.fixture
def folder(tmp_path):
    return save_small(tmp_path)


def change(folder, changed):
    """Write the tensors of a checkpoint again, as `changed` makes them of name and tensor."""
    tensors = load_file(folder / "model.safetensors")
    pairs = (changed(name, value) for name, value in tensors.items())
    save_file(dict(filter(None, pairs)), folder / "model.safetensors")


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_checkpoint_without_its_whole_encoder_is_refused(task, folder):
    change(folder, lambda name, value: (name.replace("layers.1.", "blocks.1."), value))
    with pytest.raises(ValueError, match=r"no whole encoder to start from.*layers\.1\.linear1"):
        task.setup(task.data, task.data, CONFIG, model=folder)


def test_an_encoder_of_another_size_than_the_config_is_refused(folder):
    change(folder, lambda name, value: (name, value[:-5].copy() if name == TABLE else value))
    with pytest.raises(ValueError, match=r"does not fit its config.json.*word_embeddings"):
        tagging_setup(TAGGED, TAGGED, CONFIG, model=folder)


def test_layers_that_are_not_used_are_told(folder):
    text = (folder / "config.json").read_text()
    layers = '"num_hidden_layers": 2'
    assert layers in text
    (folder / "config.json").write_text(text.replace(layers, '"num_hidden_layers": 1'))
    with pytest.warns(UserWarning, match=r"encoder are not used: encoder\.layers\.1\."):
        tagging_setup(TAGGED, TAGGED, CONFIG, model=folder)


def test_a_checkpoint_without_a_pooler_takes_a_new_one_in_silence(folder):
    change(folder, lambda name, value: None if "pooler" in name else (name, value))
    task = TASKS[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        setup = task.setup(task.data, task.data, CONFIG, model=folder)
    assert np.any(setup.model.weights["ernie_m"]["pooler"]["dense"]["weight"])
