"""`erniem choose`: a prompt and choices in, the choices by score out."""

import argparse
from typing import Any

from numpy_erniem.cli.options import model_options, pipeline_options
from numpy_erniem.cli.rows import Rows, add_row_options
from numpy_erniem.cli.values import list_of
from numpy_erniem.pipelines.choose import ChoiceRanker

PROMPT, CHOICES, RANKING = "prompt", "choices", "ranking"
EXAMPLES = """
examples (FOLDER has an ErnieMForMultipleChoice):
  erniem choose --model FOLDER "To save your work," "open the file menu." "go to bed."
  erniem choose --model FOLDER --input rows.jsonl --keep id --output rankings.jsonl

A row of the input is {"prompt": ..., "choices": [..., ...]}; in CSV the choices are a JSON list.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem choose`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    words = "PROMPT CHOICE"  # a tuple breaks the help of Python 3.11
    told = "a prompt, then its choices"
    add_row_options(
        parser,
        ChoiceRanker.overflows,
        PROMPT,
        words,
        told,
        which=f"such as {ChoiceRanker.checkpoints}",
    )
    parser.add_argument(
        "--choices-field",
        metavar="KEY",
        help=f'column or key of the choices ("{CHOICES}")',
    )


def run(options: argparse.Namespace) -> int:
    """Order the choices and write; returns the exit code."""
    given = None
    if options.text:
        if options.choices_field:
            raise ValueError("--choices-field is for --input PATH; leave it out")
        if len(options.text) < 3:
            raise ValueError("give a prompt and two or more choices behind it")
        given = {PROMPT: options.text[0], CHOICES: options.text[1:]}
    others = {CHOICES: options.choices_field or CHOICES}
    rows = Rows(options, (RANKING,), PROMPT, others, shown=False, given=given)
    ranker = ChoiceRanker.from_pretrained(
        options.model, **model_options(options), **pipeline_options(options)
    )

    def item(value: dict[str, Any]) -> dict[str, Any]:
        return {PROMPT: value[PROMPT], CHOICES: list_of(value[CHOICES])}

    return rows.run(ranker, lambda ranking: {RANKING: ranking}, item)
