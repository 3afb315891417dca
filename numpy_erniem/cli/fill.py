"""`erniem fill`: texts with masks in, the most likely tokens for each mask out."""

import argparse

from numpy_erniem.cli.options import model_options
from numpy_erniem.cli.rows import Rows, add_row_options
from numpy_erniem.pipelines.fill import MaskFiller

FILLINGS = "fillings"  # the column
EXAMPLES = """
examples (a larger model: erniem convert xlm-roberta-base xlm-r):
  erniem fill "Save the [MASK]."
  erniem fill "Paris is the [MASK] of France." --model xlm-r --top-k 3
  erniem fill "Paris is the [MASK] of France." --model xlm-r --targets capital city
  erniem fill --model xlm-r --input rows.jsonl --keep id --output rows_out.jsonl
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem fill`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add_row_options(parser, MaskFiller.overflows)
    parser.add_argument(
        "--top-k", type=int, default=5, metavar="N", help="tokens for each mask (5)"
    )
    parser.add_argument(
        "--targets", nargs="+", metavar="WORD", help="the only tokens to choose from (all)"
    )


def run(options: argparse.Namespace) -> int:
    """Fill and write; returns the exit code."""
    rows = Rows(options, (FILLINGS,))
    filler = MaskFiller.from_pretrained(
        options.model,
        **model_options(options),
        top_k=options.top_k,
        targets=options.targets,
        on_overflow=options.on_overflow or "window",
        batch_tokens=options.batch_tokens,
    )
    return rows.run(filler, lambda fillings: {FILLINGS: fillings})
