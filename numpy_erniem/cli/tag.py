"""`erniem tag`: texts from arguments or files, the entities of each to a file or the screen."""

import argparse

from numpy_erniem.cli.options import model_options, pipeline_options
from numpy_erniem.cli.rows import Rows, add_row_options
from numpy_erniem.pipelines.tag import AGGREGATIONS, OUTSIDE, TokenTagger

ENTITIES = "entities"  # the column of the output
EXAMPLES = """
examples, with a MODEL that `erniem finetune tag` made:
  erniem tag --model MODEL "Marie Curie was born in Warsaw"
  erniem tag --model MODEL --aggregation first --input texts.txt --output entities.jsonl
  erniem tag --model MODEL --ignore-labels O MISC --input rows.csv --field body --keep id
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem tag`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add_row_options(parser, TokenTagger.overflows, which=f"such as {TokenTagger.checkpoints}")
    parser.add_argument(
        "--aggregation",
        choices=AGGREGATIONS,
        default="none",
        help="a result for each token (none), or entities: of tokens with the same name (simple), "
        "or of words, by their first token, by the mean or by the highest score",
    )
    parser.add_argument(
        "--stride",
        type=int,
        metavar="N",
        help="tokens that two windows over a long text share (a quarter of a window)",
    )
    parser.add_argument(
        "--ignore-labels",
        nargs="*",
        default=[OUTSIDE],
        metavar="LABEL",
        help=f"labels that are left out ({OUTSIDE}); none after it: all labels are written",
    )


def run(options: argparse.Namespace) -> int:
    """Tag and write; returns the exit code."""
    rows = Rows(options, (ENTITIES,))
    tagger = TokenTagger.from_pretrained(
        options.model,
        **model_options(options),
        **pipeline_options(options, "aggregation", "stride", "ignore_labels"),
    )
    return rows.run(tagger, lambda entities: {ENTITIES: entities})
