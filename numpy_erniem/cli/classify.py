"""`erniem classify`: texts or pairs of texts in, labels with scores out."""

import argparse
from typing import Any

from numpy_erniem.cli.options import count_or_all, model_options, pipeline_options
from numpy_erniem.cli.rows import TEXT, Rows, add_row_options
from numpy_erniem.pipelines.classify import FUNCTIONS, TextClassifier

PAIR = "text_pair"
EXAMPLES = """
Without --model it names the language of each text.

examples (FOLDER has an ErnieMForSequenceClassification, such as one that erniem finetune wrote):
  erniem classify "Open the file" "Öffnen Sie die Datei" --top-k 3
  erniem classify --model FOLDER "Open the file" "Öffnen Sie die Datei"
  erniem classify --model FOLDER --input rows.jsonl --field title --keep id --output labels.csv
  erniem classify --model FOLDER --input nli.jsonl --field premise --pair-field hypothesis
  erniem classify --model FOLDER --top-k all --function sigmoid "Open the file"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem classify`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add_row_options(parser, TextClassifier.overflows)
    parser.add_argument(
        "--top-k",
        type=count_or_all,
        default=1,
        metavar="N",
        help="labels of a text, the best first; all for every label (1)",
    )
    parser.add_argument(
        "--function",
        choices=FUNCTIONS,
        help="what makes scores of the model's numbers (by the config's problem_type)",
    )
    pairs = parser.add_mutually_exclusive_group()
    pairs.add_argument("--pair", metavar="TEXT", help="the second text of a pair with every text")
    pairs.add_argument("--pair-field", metavar="KEY", help="column or key of the second text")


def run(options: argparse.Namespace) -> int:
    """Classify and write; returns the exit code."""
    if options.pair_field and options.text:
        raise ValueError("--pair-field is for --input PATH; give --pair TEXT with texts")
    columns = ("label", "score") if options.top_k == 1 else ("labels", "scores")
    others = {PAIR: options.pair_field} if options.pair_field else {}
    rows = Rows(options, columns, others=others)
    classifier = TextClassifier.from_pretrained(
        options.model,
        **model_options(options),
        top_k=options.top_k,
        **pipeline_options(options, "function"),
    )

    def item(value: Any) -> Any:
        if options.pair_field:
            return value[TEXT], value[PAIR]
        return value if options.pair is None else (value, options.pair)

    return rows.run(classifier, result, item)


def result(labels: Any) -> dict[str, Any]:
    """The columns of a result: one label with its score, or a list of each."""
    if isinstance(labels, dict):
        return labels
    return {name + "s": [label[name] for label in labels] for name in ("label", "score")}
