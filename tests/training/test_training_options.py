"""The options that `erniem finetune` and `erniem pretrain` share, and their defaults."""

import argparse

import pytest

from numpy_erniem.cli.training_options import add_training_options, training_config
from numpy_erniem.training import TrainingConfig


def parse(*arguments, **defaults):
    parser = argparse.ArgumentParser()
    add_training_options(parser, **defaults)
    return training_config(parser.parse_args(arguments), steps=7)


@pytest.mark.parametrize(
    ("option", "value", "want"),
    [
        ("--batch-size", "3", 3),
        ("--learning-rate", "0.02", 0.02),
        ("--warmup", "0.25", 0.25),
        ("--decay", "cosine", "cosine"),
        ("--layer-decay", "0.8", 0.8),
        ("--weight-decay", "0.5", 0.5),
        ("--max-grad-norm", "2.5", 2.5),
        ("--max-grad-norm", "0", None),
        ("--gradient-accumulation", "4", 4),
        ("--seed", "9", 9),
        ("--threads", "3", 3),
        ("--gradient-checkpointing", None, True),
        ("--precision", "bfloat16", "bfloat16"),
        ("--save-every", "11", 11),
    ],
)
def test_every_option_reaches_the_config(option, value, want):
    name = option.removeprefix("--").replace("-", "_")
    arguments = [option] if value is None else [option, value]
    assert getattr(parse(*arguments), name) == want
    assert getattr(parse(), name) != want


def test_defaults():
    assert parse() == TrainingConfig(steps=7, learning_rate=5e-4)
    assert parse(learning_rate=1e-3).learning_rate == 1e-3


def test_an_option_out_of_its_range_names_itself():
    with pytest.raises(ValueError, match="batch_size is 0, not a whole number of at least 1"):
        parse("--batch-size", "0")
