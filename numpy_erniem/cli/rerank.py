"""`erniem rerank`: a query and texts in, the texts by score out."""

import argparse
from typing import Any

from numpy_erniem.cli.notes import remark
from numpy_erniem.cli.options import count_or_all, model_options, pipeline_options
from numpy_erniem.cli.rows import Rows, add_row_options
from numpy_erniem.cli.values import list_of
from numpy_erniem.engines.errors import DataError
from numpy_erniem.engines.job import ERROR
from numpy_erniem.engines.writers import writer_of
from numpy_erniem.pipelines.rerank import SCORES, Reranker

QUERY, TEXTS, RANKING = "query", "texts", "ranking"
EXAMPLES = """
examples (FOLDER is a reranker, such as erniem convert makes of BAAI/bge-reranker-v2-m3):
  erniem rerank --model FOLDER --query "open a file" "Datei öffnen" "The weather is fine"
  erniem rerank --model FOLDER --query "open a file" --input texts.txt --top-k 3
  erniem rerank --model FOLDER --input queries.jsonl --keep id --output rankings.jsonl

Without --query a row of the input is {"query": ..., "texts": [..., ...]}; in CSV the texts are a
JSON list. With --query all texts of the input are ordered together; each is a row of the output.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem rerank`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add_row_options(parser, Reranker.overflows, which=f"such as {Reranker.checkpoints}")
    parser.add_argument("--query", metavar="TEXT", help="what all texts of the input are for")
    parser.add_argument(
        "--texts-field",
        metavar="KEY",
        help=f'without --query: key of the texts ("{TEXTS}"); --field is that of the query',
    )
    parser.add_argument(
        "--top-k", type=count_or_all, metavar="N", help="texts of a query, the best first (all)"
    )
    parser.add_argument(
        "--scores", choices=SCORES, help="the model's number, or the sigmoid of it (logit)"
    )


def run(options: argparse.Namespace) -> int:
    """Order the texts and write; returns the exit code."""
    return many_queries(options) if options.query is None else one_query(options)


def many_queries(options: argparse.Namespace) -> int:
    """An ordering for each row of the input."""
    if options.text:
        raise ValueError("there is no query; give --query TEXT with the texts")
    others = {TEXTS: options.texts_field or TEXTS}
    rows = Rows(options, (RANKING,), QUERY, others, shown=False)
    reranker = load(options)

    def item(value: dict[str, Any]) -> dict[str, Any]:
        return {QUERY: value[QUERY], TEXTS: list_of(value[TEXTS])}

    return rows.run(reranker, lambda ranking: {RANKING: ranking}, item)


def one_query(options: argparse.Namespace) -> int:
    """One ordering of all texts of the input."""
    if options.texts_field:
        raise ValueError("--texts-field is for rows with queries; leave it out, or --query")
    if options.engine != "local":
        raise ValueError(
            f"--engine {options.engine}: with --query all texts are ordered together; leave it out"
        )
    if options.resume:
        raise ValueError("--resume: with --query all texts are ordered together; leave it out")
    rows = Rows(options, ("index", "score"))
    reranker = load(options)
    texts, kept, wrong = read_texts(rows, options.on_error)
    if not texts:
        raise DataError("the input has no text to order")
    (outcome,) = reranker.outcomes([{QUERY: options.query, TEXTS: texts.values()}])
    if outcome.error is not None:
        raise DataError(str(outcome.error))
    numbers = list(texts)
    columns = (*rows.columns, ERROR) if options.on_error == "row" else rows.columns
    writer = writer_of(rows.output, columns)
    for place in outcome.result:
        index = numbers[place["index"]]
        writer.write({**kept[index], "index": index, "score": place["score"]})
    for row in wrong if options.on_error == "row" else []:
        writer.write(row)
    writer.close()
    if wrong:
        done = "left out" if options.on_error == "skip" else "written with their error"
        count = len(texts) + len(wrong)
        remark(f"{len(wrong)} of {count} rows were {done}")
    if outcome.cut:
        remark(
            f"{outcome.cut} of {outcome.tokens} tokens are left out, because texts have more than "
            f"{reranker.longest} tokens with the query (see --on-overflow)"
        )
    return 0


def read_texts(
    rows: Rows, on_error: str
) -> tuple[dict[int, str], dict[int, dict[str, Any]], list[dict[str, Any]]]:
    """Texts and what the output keeps of their rows, by the number of the row; wrong rows."""
    texts: dict[int, str] = {}
    kept: dict[int, dict[str, Any]] = {}
    wrong = []
    for n, record in enumerate(rows.read()):
        try:
            if record.error is not None:
                raise ValueError(record.error)
            texts[n] = rows.item(record.value)
            kept[n] = rows.kept(record.value)
        except ValueError as error:
            if on_error == "stop":
                raise DataError(f"{record.where} {error}") from None
            found = rows.kept(record.value) if record.value else {}
            wrong.append({**found, ERROR: f"{record.where} {error}"})
    return texts, kept, wrong


def load(options: argparse.Namespace) -> Reranker:
    """The reranker of the command line."""
    return Reranker.from_pretrained(
        options.model, **model_options(options), **pipeline_options(options, "top_k", "scores")
    )
