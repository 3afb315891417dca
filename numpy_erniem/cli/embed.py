"""`erniem embed`: texts from arguments or files, vectors to a file or the screen."""

import argparse
import sys
from typing import IO

import numpy as np

from numpy_erniem.checkpoint.sentence_settings import POOLINGS
from numpy_erniem.cli.options import hub_options
from numpy_erniem.cli.rows import Rows, add_row_options
from numpy_erniem.engines.writers import VECTOR
from numpy_erniem.pipelines.embed import Embedder
from numpy_erniem.pipelines.pooling import normalize_rows

HANDFUL = 12  # texts whose similarities fit on a screen
EXAMPLES = """
examples:
  erniem embed "Open the file" "Öffnen Sie die Datei"
  erniem embed --input texts.txt --output vectors.npy
  erniem embed --input rows.jsonl --field title --keep id --output rows_out.jsonl
  erniem embed --input rows.jsonl --field title --keep id --output rows_out.jsonl --resume
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem embed`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add_row_options(parser, Embedder.overflows)
    parser.add_argument("--pooling", choices=POOLINGS, help="(the checkpoint's, else mean)")
    parser.add_argument("--layer", type=int, help="whose hidden states are pooled (the last)")
    parser.add_argument(
        "--normalize",
        action=argparse.BooleanOptionalAction,
        help="scale vectors to length 1 (as the checkpoint records)",
    )
    parser.add_argument(
        "--dimensions", type=int, metavar="N", help="numbers of a vector to keep, from its start"
    )
    parser.add_argument(
        "--prompt-name",
        metavar="NAME",
        help="prompt that the checkpoint records, such as passage (its default)",
    )
    parser.add_argument("--prompt", metavar="TEXT", help='put before every text, such as "query: "')


def run(options: argparse.Namespace) -> int:
    """Embed and write; returns the exit code."""
    rows = Rows(options, (VECTOR,))
    embedder = Embedder.from_pretrained(
        options.model,
        **hub_options(options),
        pooling=options.pooling,
        layer=options.layer,
        normalize=options.normalize,
        prompt_name=options.prompt_name,
        prompt=options.prompt,
        dimensions=options.dimensions,
        on_overflow=options.on_overflow,
        batch_tokens=options.batch_tokens,
    )
    if embedder.model.config.to_dict().get("trained") is False:
        print("erniem: this checkpoint is not trained: vectors carry no meaning", file=sys.stderr)
    if not options.output and sys.stdout.isatty() and 0 < len(options.text) <= HANDFUL:
        show(options.text, embedder(options.text), sys.stdout)
        return 0
    return rows.run(embedder, lambda vector: {VECTOR: vector}, width=embedder.width)


def show(texts: list[str], vectors: np.ndarray, file: IO[str]) -> None:
    """Print the first numbers of every vector, and the cosine similarity of every two texts."""
    for n, (text, vector) in enumerate(zip(texts, vectors, strict=True), 1):
        first = " ".join(f"{value: .4f}" for value in vector[:6])
        print(f"{n:3} [{first} ...] {len(vector)} numbers  {text}", file=file)
    if len(texts) > 1:
        unit = normalize_rows(vectors)
        print("\ncosine similarity", file=file)
        print("    " + "".join(f"{n:7}" for n in range(1, len(texts) + 1)), file=file)
        for n, row in enumerate(unit @ unit.T, 1):
            print(f"{n:4}" + "".join(f"{value:7.3f}" for value in row), file=file)
    print("\nall numbers: --output FILE.npy or FILE.jsonl, or a pipe", file=file)
