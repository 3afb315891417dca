"""`erniem answer`: questions and contexts in, the part of each context that answers out."""

import argparse
from typing import Any

from numpy_erniem.cli.options import model_options, pipeline_options
from numpy_erniem.cli.rows import Rows, add_row_options
from numpy_erniem.pipelines.answer import KEYS, QuestionAnswerer

QUESTION, CONTEXT = KEYS
COLUMNS = ("answer", "score", "start", "end")
EXAMPLES = """
examples, with a MODEL that has an ErnieMForQuestionAnswering; the texts are contexts:
  erniem answer --model MODEL --question "Where?" "Ada Lovelace was born in London."
  erniem answer --model MODEL --input rows.jsonl --keep id --output answers.jsonl
  erniem answer --model MODEL --input rows.csv --field body --question-field asked --top-k 3
  erniem answer --model MODEL --input texts.txt --question "Who?" --handle-impossible-answer
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem answer`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add_row_options(
        parser, QuestionAnswerer.overflows, CONTEXT, which=f"such as {QuestionAnswerer.checkpoints}"
    )
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--question", metavar="TEXT", help="the same question for every context")
    asked.add_argument(
        "--question-field", metavar="KEY", help=f'column or key of the question ("{QUESTION}")'
    )
    parser.add_argument(
        "--top-k", type=int, default=1, metavar="N", help="most answers of a question (1)"
    )
    parser.add_argument(
        "--max-answer-len", type=int, default=15, metavar="N", help="most tokens of an answer (15)"
    )
    parser.add_argument(
        "--handle-impossible-answer", action="store_true", help='"no answer" may be the result'
    )
    parser.add_argument(
        "--max-seq-len",
        type=int,
        metavar="N",
        help="most tokens of a row, question and window (384, or what the model takes)",
    )
    parser.add_argument(
        "--doc-stride",
        type=int,
        metavar="N",
        help="tokens that two windows over a long context share (128, or half a row)",
    )


def run(options: argparse.Namespace) -> int:
    """Answer and write; returns the exit code."""
    if options.text and options.question is None:
        raise ValueError("give --question TEXT with contexts; a row of --input has its own")
    has_own = options.question is None
    others = {QUESTION: options.question_field or QUESTION} if has_own else {}
    columns = COLUMNS if options.top_k == 1 else ("answers",)
    rows = Rows(options, columns, text=CONTEXT, others=others)
    answerer = QuestionAnswerer.from_pretrained(
        options.model,
        **model_options(options),
        **pipeline_options(
            options,
            "top_k",
            "max_answer_len",
            "handle_impossible_answer",
            "max_seq_len",
            "doc_stride",
        ),
    )

    def item(value: Any) -> dict[str, Any]:
        return value if has_own else {QUESTION: options.question, CONTEXT: value}

    return rows.run(answerer, result, item)


def result(answers: Any) -> dict[str, Any]:
    """The columns of a result: one answer, or a list of them."""
    return answers if isinstance(answers, dict) else {"answers": answers}
