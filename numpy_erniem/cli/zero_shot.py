"""`erniem zero-shot`: texts and any labels in, the labels by score out."""

import argparse
from typing import Any

from numpy_erniem.cli.options import model_options, pipeline_options
from numpy_erniem.cli.rows import Rows, add_row_options
from numpy_erniem.pipelines.zero_shot import TEMPLATE, ZeroShotClassifier

OPTIONS = ("labels", "multi_label", "template", "entailment_id", "contradiction_id")
EXAMPLES = """
examples (NLI is a model for natural language inference: MoritzLaurer/ernie-m-base-mnli-xnli):
  erniem zero-shot --model NLI "The bank raised its rate" --labels economy sports
  erniem zero-shot --model NLI --input rows.jsonl --field title --labels urgent --output out.csv
  erniem zero-shot --model NLI "Das Spiel ist aus" --template "Es geht um {}." --labels Sport Geld
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem zero-shot`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add_row_options(
        parser, ZeroShotClassifier.overflows, which=f"such as {ZeroShotClassifier.checkpoints}"
    )
    parser.add_argument(
        "--labels",
        nargs="+",
        required=True,
        metavar="LABEL",
        help="labels to choose from; texts stand before this option",
    )
    parser.add_argument(
        "--multi-label", action="store_true", help="each label is right or not, by itself"
    )
    parser.add_argument(
        "--template", metavar="TEXT", help=f'sentence, {{}} for the label ("{TEMPLATE}")'
    )
    for name in ("entailment", "contradiction"):
        parser.add_argument(
            f"--{name}-id", type=int, metavar="N", help=f"class of {name} (by its name)"
        )


def run(options: argparse.Namespace) -> int:
    """Classify and write; returns the exit code."""
    rows = Rows(options, ("labels", "scores"))
    classifier = ZeroShotClassifier.from_pretrained(
        options.model, **model_options(options), **pipeline_options(options, *OPTIONS)
    )

    def result(found: dict[str, Any]) -> dict[str, Any]:
        return {name: found[name] for name in ("labels", "scores")}

    return rows.run(classifier, result)
