"""The losses and scores of a training run as a picture."""

from pathlib import Path
from typing import Any

from numpy_erniem.plots.drawing import ORANGE, figure_class

LARGEST_MEAN = 50  # steps whose mean loss is one point of the plot


def write_loss_plot(path: Path, report: dict[str, Any]) -> None:
    """Draw the losses of a run, and its scores if it was evaluated.

    Parameters
    ----------
    path : Path
        The picture to write, such as loss.png.
    report : dict
        What report.json of the run holds: history, evaluations, metrics.

    Raises
    ------
    ImportError
        matplotlib is not installed; the message says what to install.
    """
    figure = figure_class()(figsize=(7, 4), layout="constrained")
    steps, losses = zip(*report["history"], strict=True)
    width = max(1, min(LARGEST_MEAN, len(steps) // 10))
    points = range(0, len(steps), width)
    axes = figure.add_subplot(xlabel="step", ylabel="loss")
    means = [sum(losses[n : n + width]) / len(losses[n : n + width]) for n in points]
    axes.plot([steps[n] for n in points], means, label=f"loss, mean of {width} steps")
    if report["evaluations"]:
        score = axes.twinx()
        score.set(ylabel=report["metrics"][0], ylim=(0, 1))
        at, values = zip(*(row[:2] for row in report["evaluations"]), strict=True)
        score.plot(at, values, "o-", color=ORANGE)
    figure.savefig(path, dpi=100)
