"""The options that `erniem finetune` and `erniem pretrain` have in common."""

import argparse
import zlib
from pathlib import Path
from typing import Any

from numpy_erniem.cli.notes import note, progress_file
from numpy_erniem.training.learning_rate import DECAYS
from numpy_erniem.training.products import PRECISIONS
from numpy_erniem.training.training_config import TrainingConfig

OPTIONS = {  # name -> default, help
    "batch_size": (32, "examples in a batch"),
    "learning_rate": (5e-4, "the peak"),
    "warmup": (0.1, "share of the steps in which the learning rate rises"),
    "layer_decay": (1.0, "factor of the learning rate from each layer to the one below"),
    "weight_decay": (0.01, "of AdamW"),
    "max_grad_norm": (1.0, "scale gradients down to this norm; 0: never"),
    "gradient_accumulation": (1, "batches in a step"),
    "seed": (0, "of everything drawn at random"),
    "threads": (0, "threads that compute; 0: all cores"),
    "save_every": (500, "steps between two saved states"),
}


def add_training_options(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    """Declare the options of a `TrainingConfig`.

    `defaults` replace those of OPTIONS; None means that the model decides.
    """
    for name, (default, text) in OPTIONS.items():
        chosen = defaults.get(name, default)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(default),
            default=chosen,
            metavar="N",
            help=f"{text} ({'by the size of the model' if chosen is None else chosen})",
        )
    parser.add_argument(
        "--decay", choices=tuple(DECAYS), default="linear", help="after the warm-up (linear)"
    )
    parser.add_argument(
        "--gradient-checkpointing",
        action="store_true",
        help="compute each layer twice: less memory, about a third more work",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="of the products of linear maps; bfloat16: mixed precision, all else stays float32"
        " (float32)",
    )


def training_config(options: argparse.Namespace, steps: int, **more: Any) -> TrainingConfig:
    """The `TrainingConfig` that the options describe."""
    chosen = {name: getattr(options, name) for name in OPTIONS}
    chosen = {name: OPTIONS[name][0] if v is None else v for name, v in chosen.items()}
    chosen["max_grad_norm"] = chosen["max_grad_norm"] or None
    return TrainingConfig(
        steps=steps,
        decay=options.decay,
        gradient_checkpointing=options.gradient_checkpointing,
        precision=options.precision,
        **chosen,
        **more,
    )


def checksums(*paths: str | None) -> list[int | None]:
    """The CRC-32 of files: it tells whether a run is resumed with the same data."""
    return [None if path is None else zlib.crc32(Path(path).read_bytes()) for path in paths]


def write_loss_picture(out: Path, report: dict[str, Any]) -> None:
    """Write loss.png into the folder of a run; say so where matplotlib is not installed."""
    from numpy_erniem.plots.losses import write_loss_plot

    try:
        write_loss_plot(out / "loss.png", report)
    except ImportError as error:
        note(f"no loss.png: {error}")


def print_progress(line: str) -> None:
    """Write a line of a run to stderr, at once."""
    print(line, file=progress_file(), flush=True)
