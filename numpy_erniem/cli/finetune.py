"""`erniem finetune`: train a classifier, a tagger or sentence vectors, from files to a folder."""

import argparse
from collections.abc import Callable
from pathlib import Path

from numpy_erniem.cli.options import add_hub_options, hub_options
from numpy_erniem.cli.training_options import (
    add_training_options,
    checksums,
    print_progress,
    training_config,
    write_loss_picture,
)
from numpy_erniem.training import classification_setup, retrieval_setup, tagging_setup
from numpy_erniem.training.data_files import read_labelled, read_pairs, read_tagged

TASKS: dict[str, tuple[Callable, Callable]] = {  # how the files are read; the setup
    "classify": (read_labelled, classification_setup),
    "tag": (read_tagged, tagging_setup),
    "retrieve": (read_pairs, retrieval_setup),
}
EXAMPLES = """
examples:
  erniem finetune classify --train train.tsv --eval dev.tsv --out FOLDER
  erniem finetune tag --train train.jsonl --eval dev.jsonl --out FOLDER --epochs 5

A run that was interrupted goes on with the same command.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem finetune`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("task", choices=TASKS)
    for name, text in (("train", "to learn from"), ("eval", "to measure on")):
        parser.add_argument(
            f"--{name}", required=True, metavar="FILE", help=f"examples {text}: .jsonl, else TSV"
        )
    parser.add_argument("--out", metavar="FOLDER", required=True, help="the folder of the run")
    parser.add_argument(
        "--model", metavar="MODEL", help="checkpoint to start from: folder or name (the bundled)"
    )
    parser.add_argument(
        "--epochs", type=float, default=3, metavar="N", help="times through --train (3)"
    )
    parser.add_argument(
        "--max-length", type=int, default=128, metavar="N", help="tokens of a text (128)"
    )
    add_hub_options(parser)
    add_training_options(parser)


def run(options: argparse.Namespace) -> int:
    """Fine-tune; returns the exit code."""
    read, setup = TASKS[options.task]
    train, evaluation = read(options.train), read(options.eval)
    examples = max(1, options.batch_size * options.gradient_accumulation)  # in a step
    per_epoch = -(-len(train) // examples)
    steps = max(1, round(options.epochs * per_epoch))
    config = training_config(options, steps, evaluate_every=max(1, min(per_epoch, steps)))
    prepared = setup(
        train,
        evaluation,
        config,
        model=options.model,
        max_length=options.max_length,
        hub_options=hub_options(options),
    )
    data = {
        "data": checksums(options.train, options.eval),
        "task": options.task,
        "model": options.model,
        "max_length": options.max_length,
    }
    report = prepared.train(options.out, data=data, report=print_progress)
    best = report["best"]
    print(f"{options.out}: best at step {best.pop('step')}: ", end="")
    print(", ".join(f"{name} {value:.4f}" for name, value in best.items()))
    write_loss_picture(Path(options.out), report)
    return 0
