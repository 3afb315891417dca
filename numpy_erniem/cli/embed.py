"""`erniem embed`: texts from arguments or a file, vectors to a file or the screen."""

import argparse
import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from numpy_erniem.checkpoint.atomic import atomic_file, check_writable
from numpy_erniem.checkpoint.sentence_settings import POOLINGS
from numpy_erniem.checkpoint.text_files import is_json_lines, read_json_lines, read_lines
from numpy_erniem.cli.options import add_hub_options, hub_options
from numpy_erniem.cli.output import json_text
from numpy_erniem.pipelines.embed import BATCH_TOKENS, Embedder
from numpy_erniem.pipelines.pooling import normalize_rows
from numpy_erniem.pipelines.progress import Progress

FIELD = "text"  # the key of the text in JSON lines
HANDFUL = 12  # texts whose similarities fit on a screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem embed`."""
    parser.add_argument("text", nargs="*", metavar="TEXT", help="texts to embed")
    parser.add_argument(
        "--input",
        metavar="FILE",
        help="read texts from FILE, one a line; .jsonl: JSON; may end in .gz; -: stdin",
    )
    parser.add_argument(
        "--format",
        choices=("text", "jsonl"),
        help="of FILE (by its name; of stdin: jsonl if there is a --field, else text)",
    )
    parser.add_argument("--field", metavar="KEY", help=f'key of the text in JSON lines ("{FIELD}")')
    parser.add_argument(
        "--output", metavar="FILE", help=".npy: an array (texts, width); .jsonl: JSON lines"
    )
    parser.add_argument(
        "--model", metavar="MODEL", help="folder, or name on the hub (the bundled one)"
    )
    add_hub_options(parser)
    parser.add_argument("--pooling", choices=POOLINGS, help="(the checkpoint's, else mean)")
    parser.add_argument(
        "--normalize",
        action=argparse.BooleanOptionalAction,
        help="scale vectors to length 1 (as the checkpoint records)",
    )
    parser.add_argument(
        "--prompt-name",
        metavar="NAME",
        help="prompt that the checkpoint records, such as passage (its default)",
    )
    parser.add_argument("--prompt", metavar="TEXT", help='put before every text, such as "query: "')
    parser.add_argument(
        "--batch-tokens",
        type=int,
        default=BATCH_TOKENS,
        metavar="N",
        help=f"most tokens of a batch ({BATCH_TOKENS}); fewer need less memory",
    )


def run(options: argparse.Namespace) -> int:
    """Embed and write; returns the exit code."""
    if bool(options.text) == bool(options.input):
        raise ValueError("give texts or --input FILE, and not both")
    if options.text and (options.field is not None or options.format):
        raise ValueError("--field and --format tell how to read --input FILE; leave them out")
    if options.output:
        _check_output(Path(options.output))
    texts = options.text or list(read_texts(options.input, options.format, options.field))
    embedder = Embedder.from_pretrained(options.model, **hub_options(options))
    if embedder.model.config.to_dict().get("trained") is False:
        print("erniem: this checkpoint is not trained: vectors carry no meaning", file=sys.stderr)
    vectors = embedder(
        texts,
        pooling=options.pooling,
        normalize=options.normalize,
        prompt_name=options.prompt_name,
        prompt=options.prompt,
        batch_tokens=options.batch_tokens,
        progress=Progress(sys.stderr, "texts"),
    )
    if options.output:
        write_vectors(Path(options.output), texts, vectors)
    elif sys.stdout.isatty() and len(texts) <= HANDFUL:
        show(texts, vectors, sys.stdout)
    else:
        write_json_lines(sys.stdout, texts, vectors)
    return 0


def _check_output(path: Path) -> None:
    """Refuse what could not be written at the end, before the work begins."""
    if path.suffix not in (".npy", ".jsonl"):
        raise ValueError(f"--output {path} ends neither in .npy nor in .jsonl")
    try:
        check_writable(path)
    except OSError as error:
        raise type(error)(f"--output {path} cannot be written: {error.strerror or error}") from None


def read_texts(name: str, kind: str | None, field: str | None) -> Iterator[str]:
    """Read the texts of a file: its lines, or of JSON lines the strings or values of `field`.

    A blank line of a text file is an empty text; blank lines between JSON lines are skipped.
    """
    is_stdin = name == "-"
    if kind is None:
        named = field is not None if is_stdin else is_json_lines(name)
        kind = "jsonl" if named else "text"
    if kind == "text" and field is not None:
        raise ValueError(f"--field {field} is for JSON lines; add --format jsonl, or leave it out")
    stream = sys.stdin.buffer if is_stdin else None
    if kind == "text":
        yield from (line for _, line in read_lines(name, stream))
        return
    where = None
    for where, value in read_json_lines(name, stream):
        yield _text_of(value, where, FIELD if field is None else field)
    if where is None:
        raise ValueError(f"{name} has only blank lines; it needs one text in each line")


def _text_of(value: Any, where: str, field: str) -> str:
    if isinstance(value, dict):
        if field not in value:
            raise ValueError(f"{where} has no {field!r}; name the key of the text with --field")
        value = value[field]
    if not isinstance(value, str):
        raise ValueError(f"{where} holds a {type(value).__name__} in place of a text")
    return value


def write_vectors(path: Path, texts: Iterable[str], vectors: np.ndarray) -> None:
    """Write .npy or .jsonl; the file appears when it is complete."""
    with atomic_file(path) as file:
        if path.suffix == ".npy":
            np.save(file, vectors)
        else:
            characters = io.TextIOWrapper(file, encoding="utf-8", newline="\n")
            write_json_lines(characters, texts, vectors)
            characters.detach()


def write_json_lines(file: IO[str], texts: Iterable[str], vectors: np.ndarray) -> None:
    """Write {"text": ..., "vector": [...]} lines; the numbers are exact in float32.

    Characters that the file's encoding does not hold become escapes of JSON.
    """
    for text, vector in zip(texts, vectors, strict=True):
        row = {"text": text, "vector": [float(str(value)) for value in vector]}
        file.write(json_text(row, file) + "\n")


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
