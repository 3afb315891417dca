"""`erniem rerank`: a query and texts in, the texts by score out."""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from numpy_erniem.cli.notes import progress_file, remark
from numpy_erniem.cli.options import count_or_all, model_options, pipeline_options
from numpy_erniem.cli.progress import ProgressBar, tell
from numpy_erniem.cli.rows import Rows, add_row_options
from numpy_erniem.cli.values import list_of
from numpy_erniem.engines.errors import DataError, check_room
from numpy_erniem.engines.job import Job, count, outcomes, stop_at_error, write
from numpy_erniem.engines.journal import Counts
from numpy_erniem.engines.records import Record
from numpy_erniem.engines.writers import writer_of
from numpy_erniem.pipelines.rerank import SCORES, Reranker
from numpy_erniem.pipelines.scores import best_first, sigmoid
from numpy_erniem.pipelines.streaming import Outcome

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

    def item(value: Any) -> dict[str, Any]:
        return {QUERY: options.query, TEXTS: [rows.item(value)]}

    alone = reranker.with_options(scores="logit", top_k=None)
    job = Job(alone, item, rows.kept, dict, rows.columns, options.on_error, {})
    good, wrong, counts = score(job, rows.read())
    if not good:
        raise DataError("the input has no text to order")
    logits = np.array([outcome.result[0]["score"] for _, _, outcome in good])
    scores = sigmoid(logits) if reranker.scores == "sigmoid" else logits
    writer = writer_of(rows.output, job.written)
    try:
        for place in best_first(logits, reranker.top_k):
            index, record, _ = good[place]
            row = {"index": index, "score": float(scores[place])}
            writer.write({**rows.kept(record.value), **row})
        for _, record, outcome in wrong:
            write(job, writer, record, outcome)
        writer.close()
    except BaseException as error:
        writer.abandon()
        if isinstance(error, OSError):
            check_room(error, str(rows.output or "standard output"))
        raise
    if counts.cut:
        remark(
            f"{counts.cut} of {counts.rows} texts have more than {reranker.longest} tokens with "
            "the query and were cut (see --on-overflow)"
        )
    tell(replace(counts, cut=0), reranker, options.on_error, "texts")
    return 0


Row = tuple[int, Record, Outcome[Any]]


def score(job: Job, records: Iterator[Record]) -> tuple[list[Row], list[Row], Counts]:
    """Records with their numbers and outcomes: those with a score, those without, and counts."""
    good: list[Row] = []
    wrong: list[Row] = []
    counts = Counts()
    with ProgressBar(progress_file()) as bar:
        for n, (record, outcome) in enumerate(outcomes(job, records)):
            stop_at_error(job, outcome)
            (good if outcome.error is None else wrong).append((n, record, outcome))
            count(counts, outcome)
            bar.update(counts)
    return good, wrong, counts


def load(options: argparse.Namespace) -> Reranker:
    """The reranker of the command line."""
    return Reranker.from_pretrained(
        options.model, **model_options(options), **pipeline_options(options, "top_k", "scores")
    )
