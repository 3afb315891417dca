"""loss.png: the losses and scores of a training run as a plot."""

import sys
from pathlib import Path
from typing import Any

LARGEST_MEAN = 50  # steps whose mean loss is one point of the plot


def write_loss_plot(out: Path, report: dict[str, Any]) -> None:
    """Write loss.png into the folder of a run, if matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("no loss.png: matplotlib is not installed", file=sys.stderr)
        return
    steps, losses = zip(*report["history"], strict=True)
    width = max(1, min(LARGEST_MEAN, len(steps) // 10))
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
