"""`erniem embed`: texts from arguments or files, vectors to a file or the screen."""

import argparse
import sys
from functools import partial
from typing import IO, Any

import numpy as np

from numpy_erniem.checkpoint.sentence_settings import POOLINGS
from numpy_erniem.cli.notes import remark
from numpy_erniem.cli.options import model_options
from numpy_erniem.cli.rows import Rows, add_row_options
from numpy_erniem.engines.output_paths import VECTOR
from numpy_erniem.pipelines.embed import Embedder
from numpy_erniem.pipelines.hybrid import OUTPUTS, HybridEmbedder, HybridVectors, check_outputs
from numpy_erniem.pipelines.hybrid_scores import WEIGHTS
from numpy_erniem.pipelines.pooling import normalize_rows

HANDFUL = 12  # texts whose similarities fit on a screen
EXAMPLES = """
examples:
  erniem embed "Open the file" "Öffnen Sie die Datei"
  erniem embed --input texts.txt --output vectors.npy
  erniem embed --input rows.jsonl --field title --keep id --output rows_out.jsonl
  erniem embed --input rows.jsonl --field title --keep id --output rows_out.jsonl --resume
  erniem embed --model bge-m3 --outputs dense,sparse,multi --input texts.txt --output out.jsonl
"""
OF_DENSE = ("pooling", "layer", "normalize", "dimensions")  # options of `Embedder` alone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem embed`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add_row_options(parser, Embedder.overflows)
    parser.add_argument(
        "--outputs",
        type=lambda names: tuple(names.split(",")),
        default=("dense",),
        metavar="NAMES",
        help="of BGE-M3: dense, sparse, multi, separated by commas (dense)",
    )
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
    if options.outputs != ("dense",):
        return run_hybrid(options)
    rows = Rows(options, (VECTOR,))
    embedder = Embedder.from_pretrained(
        options.model,
        **model_options(options),
        pooling=options.pooling,
        layer=options.layer,
        normalize=options.normalize,
        prompt_name=options.prompt_name,
        prompt=options.prompt,
        dimensions=options.dimensions,
        on_overflow=options.on_overflow,
        batch_tokens=options.batch_tokens,
    )
    tell_untrained(embedder)
    if fits_on_screen(options):
        show(options.text, embedder(options.text), sys.stdout)
        return 0
    return rows.run(embedder, lambda vector: {VECTOR: vector}, width=embedder.width)


def run_hybrid(options: argparse.Namespace) -> int:
    """Write the outputs of BGE-M3; returns the exit code."""
    check_outputs(options.outputs)
    for name in OF_DENSE:
        if getattr(options, name) is not None:
            raise ValueError(
                f"--{name} changes dense vectors alone; leave it out, or --outputs with more"
            )
    columns = tuple(VECTOR if name == "dense" else name for name in options.outputs)
    rows = Rows(options, columns)
    if rows.suffix == ".npy":
        raise ValueError(
            f"{options.output}: an array holds dense vectors alone, not "
            f"{', '.join(options.outputs)}; use .jsonl"
        )
    embedder = HybridEmbedder.from_pretrained(
        options.model,
        **model_options(options),
        outputs=options.outputs,
        prompt_name=options.prompt_name,
        prompt=options.prompt,
        on_overflow=options.on_overflow,
        batch_tokens=options.batch_tokens,
    )
    tell_untrained(embedder)
    if fits_on_screen(options):
        show_hybrid(options.text, embedder, sys.stdout)
        return 0
    return rows.run(embedder, partial(hybrid_row, kind=rows.suffix))


def hybrid_row(vectors: HybridVectors, kind: str) -> dict[str, Any]:
    """The columns of a row: "vector" for the dense output, "sparse" by token id, "multi".

    The type of a column of Parquet cannot depend on the row, so its "sparse" is a list of objects.
    """
    row: dict[str, Any] = dict(vectors)
    if "dense" in row:
        row = {VECTOR: row.pop("dense"), **row}
    if "sparse" in row:
        pairs = [(token, np.float32(weight)) for token, weight in row["sparse"].items()]
        shortest = [(token, float(str(weight))) for token, weight in pairs]
        if kind == ".parquet":
            row["sparse"] = [{"token": token, "weight": weight} for token, weight in shortest]
        else:
            row["sparse"] = {str(token): weight for token, weight in shortest}
    return row


def tell_untrained(pipeline: Any) -> None:
    """Say on standard error that vectors carry no meaning, where this is known."""
    if pipeline.model.config.to_dict().get("trained") is False:
        remark("this checkpoint is not trained: vectors carry no meaning")


def fits_on_screen(options: argparse.Namespace) -> bool:
    """Whether a few texts are shown to a reader in place of rows."""
    return not options.output and sys.stdout.isatty() and 0 < len(options.text) <= HANDFUL


def show(texts: list[str], vectors: np.ndarray, file: IO[str]) -> None:
    """Print the first numbers of every vector, and the cosine similarity of every two texts."""
    for n, (text, vector) in enumerate(zip(texts, vectors, strict=True), 1):
        first = " ".join(f"{value: .4f}" for value in vector[:6])
        print(f"{n:3} [{first} ...] {len(vector)} numbers  {text}", file=file)
    if len(texts) > 1:
        unit = normalize_rows(vectors)
        print("\ncosine similarity", file=file)
        show_matrix(unit @ unit.T, file)
    print("\nall numbers: --output FILE.npy or FILE.jsonl, or a pipe", file=file)


def show_hybrid(texts: list[str], embedder: HybridEmbedder, file: IO[str]) -> None:
    """Print sizes and the heaviest tokens of every text, and the score of every two texts."""
    results = embedder(texts)
    for n, (text, result) in enumerate(zip(texts, results, strict=True), 1):
        print(f"{n:3} {text}", file=file)
        for name in embedder.outputs:
            value = result[name]
            if name == "sparse":
                tokens = sorted(value, key=value.get, reverse=True)[:6]
                pieces = embedder.tokenizer.convert_ids_to_tokens(tokens)
                first = ", ".join(
                    f"{p} {value[t]:.3f}" for p, t in zip(pieces, tokens, strict=True)
                )
                print(f"    {name:7} {len(value)} tokens: {first or 'none'}", file=file)
            else:
                print(f"    {name:7} {' × '.join(map(str, value.shape))} numbers", file=file)
    if len(texts) > 1:
        weights = [w if o in embedder.outputs else 0 for o, w in zip(OUTPUTS, WEIGHTS, strict=True)]
        chosen = ", ".join(f"{o} {w:g}" for o, w in zip(OUTPUTS, weights, strict=True) if w)
        print(f"\nscore of query (row) and text (column); weights {chosen}", file=file)
        scores = [[embedder.score(a, b, weights) for b in results] for a in results]
        show_matrix(np.array(scores), file)
    print("\nall numbers: --output FILE.jsonl, or a pipe", file=file)


def show_matrix(values: np.ndarray, file: IO[str]) -> None:
    """Print a number for every two texts."""
    print("    " + "".join(f"{n:7}" for n in range(1, len(values) + 1)), file=file)
    for n, row in enumerate(values, 1):
        print(f"{n:4}" + "".join(f"{value:7.3f}" for value in row), file=file)
