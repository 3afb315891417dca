"""`erniem finetune`: train a head, or sentence vectors, from files to a folder."""

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from numpy_erniem.cli.options import add_hub_options, hub_options
from numpy_erniem.cli.training_options import (
    add_training_options,
    print_progress,
    training_config,
    write_loss_picture,
)
from numpy_erniem.training import (
    answering_setup,
    choice_setup,
    classification_setup,
    extraction_setup,
    read_prompts,
    read_questions,
    reranking_setup,
    retrieval_setup,
    tagging_setup,
)
from numpy_erniem.training.data_files import (
    read_choices,
    read_labelled,
    read_pairs,
    read_ranked,
    read_tagged,
)
from numpy_erniem.training.finetuning.class_weights import BALANCED


class Task(NamedTuple):
    """How the files of a task are read, its setup, and the options that it alone has."""

    read: Callable[[str], Any]
    setup: Callable[..., Any]
    options: tuple[str, ...] = ()


TASKS = {
    "classify": Task(read_labelled, classification_setup, ("class_weights",)),
    "tag": Task(read_tagged, tagging_setup, ("class_weights",)),
    "answer": Task(read_questions, answering_setup, ("doc_stride",)),
    "extract": Task(read_prompts, extraction_setup),
    "choose": Task(read_choices, choice_setup),
    "rerank": Task(read_ranked, reranking_setup),
    "retrieve": Task(read_pairs, retrieval_setup),
}
LEARNING_RATES = ((256, 5e-4), (512, 1e-4), (math.inf, 3e-5))  # hidden_size at most → rate
OWN_OPTIONS = sorted({name for task in TASKS.values() for name in task.options})
EXAMPLES = """
examples:
  erniem finetune classify --train train.tsv --eval dev.tsv --out FOLDER
  erniem finetune answer --train train-v2.0.json --eval dev-v2.0.json --out FOLDER
  erniem finetune tag --from FOLDER --train train.jsonl --eval dev.jsonl --out OTHER --patience 2

The folder is for the command of the task, such as erniem classify --model FOLDER. A run that was
stopped goes on with the same command. The lines of the files: docs/finetuning.md.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem finetune`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("task", choices=TASKS)
    for name, text in (("train", "to learn from"), ("eval", "to measure on")):
        parser.add_argument(
            f"--{name}",
            required=True,
            metavar="FILE",
            help=f"examples {text}: .jsonl, TSV, or .json of SQuAD",
        )
    parser.add_argument("--out", metavar="FOLDER", required=True, help="the folder of the run")
    parser.add_argument(
        "--model",
        "--from",
        metavar="MODEL",
        help="checkpoint to start from: folder or name, after erniem convert if need be (bundled)",
    )
    parser.add_argument(
        "--epochs", type=float, default=3, metavar="N", help="times through --train (3)"
    )
    parser.add_argument(
        "--patience",
        type=int,
        default=0,
        metavar="N",
        help="stop after N epochs without a better score (0: never)",
    )
    parser.add_argument("--max-length", type=int, metavar="N", help="tokens of a row (by the task)")
    parser.add_argument(
        "--class-weights",
        nargs="+",
        metavar="LABEL=W",
        help=f"classify, tag: how much each label counts, or {BALANCED!r}: all alike",
    )
    parser.add_argument(
        "--doc-stride",
        type=int,
        metavar="N",
        help="answer: tokens that two windows over a long context share (128, or half a row)",
    )
    add_hub_options(parser)
    add_training_options(parser, learning_rate=None)


def run(options: argparse.Namespace) -> int:
    """Fine-tune; returns the exit code."""
    task = TASKS[options.task]
    own = own_options(options, task)
    config = training_config(options, 1)  # the steps follow from the epochs
    prepared = task.setup(
        task.read(options.train),
        task.read(options.eval),
        config,
        model=options.model,
        hub_options=hub_options(options),
        **own,
    ).for_epochs(options.epochs, options.patience)
    if options.learning_rate is None:
        rate = learning_rate_of(prepared.model.config.hidden_size)
        prepared.config = replace(prepared.config, learning_rate=rate)
        print_progress(f"learning rate {rate:g}, by the size of the model")
    data = {"task": options.task, "model": options.model}
    report = prepared.train(options.out, data=data, report=print_progress)
    best = report["best"]
    print(f"{options.out}: best at step {best.pop('step')}: ", end="")
    print(", ".join(f"{name} {value:.4f}" for name, value in best.items()))
    write_loss_picture(Path(options.out), report)
    return 0


def learning_rate_of(hidden_size: int) -> float:
    """A learning rate that models of a size usually take well: the larger, the lower."""
    return next(rate for most, rate in LEARNING_RATES if hidden_size <= most)


def own_options(options: argparse.Namespace, task: Task) -> dict[str, Any]:
    """The options that are given of those that depend on the task; ValueError for another's."""
    chosen = {name: getattr(options, name) for name in ("max_length", *OWN_OPTIONS)}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    for name in chosen:
        if name in OWN_OPTIONS and name not in task.options:
            having = ", ".join(other for other, t in TASKS.items() if name in t.options)
            raise ValueError(
                f"--{name.replace('_', '-')} is for {having}, not for {options.task}; leave it out"
            )
    if "class_weights" in chosen:
        chosen["class_weights"] = parse_class_weights(chosen["class_weights"])
    return chosen


def parse_class_weights(texts: list[str]) -> str | dict[str, float]:
    """Weights by label, of texts such as "good=2.5"; or "balanced"."""
    if texts == [BALANCED]:
        return BALANCED
    weights: dict[str, float] = {}
    for text in texts:
        label, equals, weight = text.rpartition("=")
        try:
            value = float(weight)
        except ValueError:
            equals = ""
        if not equals or not label:
            raise ValueError(f"--class-weights {text!r} is neither {BALANCED} nor LABEL=NUMBER")
        if label in weights:
            raise ValueError(f"--class-weights gives {label!r} twice; give it once")
        weights[label] = value
    return weights
