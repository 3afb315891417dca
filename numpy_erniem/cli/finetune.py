"""`erniem finetune`: classify texts, tag words, find translations; from files to a folder."""

import argparse
import sys
import zlib
from pathlib import Path
from typing import Any

from numpy_erniem.training.finetuning.setups import TASKS
from numpy_erniem.training.trainer import Plan

PLAN = {"batch": 32, "rate": 5e-4, "warmup": 0.1, "layer_decay": 1.0, "weight_decay": 0.01}
LAST = 50  # losses that a point of the plot is the mean of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem finetune`."""
    parser.add_argument("task", choices=TASKS)
    for name, text in (("train", "to learn from"), ("eval", "to measure on")):
        parser.add_argument(
            f"--{name}", required=True, metavar="FILE", help=f"examples {text}: .jsonl, else TSV"
        )
    parser.add_argument("--out", metavar="FOLDER", required=True, help="where the run is kept")
    parser.add_argument("--model", metavar="FOLDER", help="checkpoint to start from (the bundled)")
    parser.add_argument("--epochs", type=float, default=3, help="times through --train (3)")
    parser.add_argument("--max-tokens", type=int, default=128, metavar="N", help="of a text (128)")
    add_plan(parser, PLAN)


def add_plan(parser: argparse.ArgumentParser, defaults: dict[str, Any]) -> None:
    """Declare the options that all training has."""
    for name, value in defaults.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"({value})"
        )
    parser.add_argument("--decay", choices=("linear", "cosine", "constant"), default="linear")
    parser.add_argument("--seed", type=int, default=0, help="(0)")
    parser.add_argument("--threads", type=int, default=0, help="(all cores)")
    parser.add_argument("--accumulate", type=int, default=1, help="batches a step (1)")
    parser.add_argument("--save-every", type=int, default=500, metavar="STEPS", help="(500)")
    parser.add_argument("--recompute", action="store_true", help="less memory, a third more work")


def plan_of(options: argparse.Namespace, steps: int, **more: Any) -> Plan:
    """The plan that the options describe."""
    names = (*PLAN, "decay", "seed", "threads", "accumulate", "save_every", "recompute")
    return Plan(steps=steps, **{name: getattr(options, name) for name in names}, **more)


def data_of(paths: list[str | None], **more: Any) -> dict[str, Any]:
    """What tells the data of a run from others: names do not, contents do."""
    crcs = [None if path is None else zlib.crc32(Path(path).read_bytes()) for path in paths]
    return {"data": crcs, **more}


def run(options: argparse.Namespace) -> int:
    """Fine-tune; returns the exit code."""
    read, make = TASKS[options.task]
    train, evaluation = read(options.train), read(options.eval)
    per_epoch = -(-len(train) // max(1, options.batch * options.accumulate))
    steps = max(1, round(options.epochs * per_epoch))
    plan = plan_of(options, steps, evaluate_every=max(1, min(per_epoch, steps)))
    task = make(train, evaluation, plan, base=options.model, longest=options.max_tokens)
    report = task.train(
        options.out,
        data=data_of([options.train, options.eval], task=options.task, model=options.model),
        report=lambda line: print(line, file=sys.stderr, flush=True),
    )
    best = report["best"]
    print(f"{options.out}: best at step {best.pop('step')}: ", end="")
    print(", ".join(f"{name} {value:.4f}" for name, value in best.items()))
    write_plot(Path(options.out), report)
    return 0


def write_plot(out: Path, report: dict[str, Any]) -> None:
    """loss.png, where matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("no loss.png: matplotlib is not installed", file=sys.stderr)
        return
    steps, losses = zip(*report["history"], strict=True)
    width = max(1, min(LAST, len(steps) // 10))
    points = range(0, len(steps), width)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="loss")
    means = [sum(losses[n : n + width]) / len(losses[n : n + width]) for n in points]
    axes.plot([steps[n] for n in points], means, label=f"loss, mean of {width} steps")
    if report["evaluations"]:
        score = axes.twinx()
        score.set(ylabel=report["metrics"][0], ylim=(0, 1))
        at, values = zip(*(row[:2] for row in report["evaluations"]), strict=True)
        score.plot(at, values, "o-", color="tab:orange")
    figure.savefig(out / "loss.png", dpi=100)
