"""`erniem embed`: texts from arguments or a file, vectors to a file or the screen."""

import argparse
import io
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from numpy_erniem.checkpoint.atomic import atomic_file
from numpy_erniem.cli.options import add_hub_options, hub_options
from numpy_erniem.cli.progress import Progress
from numpy_erniem.pipelines.embed import BATCH_TOKENS, Embedder
from numpy_erniem.pipelines.pooling import POOLINGS, normalize_rows

HANDFUL = 12  # texts whose similarities fit on a screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem embed`."""
    parser.add_argument("text", nargs="*", metavar="TEXT", help="texts to embed")
    parser.add_argument(
        "--input", metavar="FILE", help="read texts from FILE, one a line; .jsonl: JSON; -: stdin"
    )
    parser.add_argument(
        "--field", default="text", metavar="KEY", help='key of the text in JSON lines ("text")'
    )
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
    if options.output and Path(options.output).suffix not in (".npy", ".jsonl"):
        raise ValueError(f"--output {options.output} ends neither in .npy nor in .jsonl")
    if options.output and not Path(options.output).absolute().parent.is_dir():
        raise FileNotFoundError(f"--output {options.output} is in a folder that does not exist")
    texts = options.text or list(read_texts(options.input, options.field))
    if not texts:
        raise ValueError(f"--input {options.input} has no lines")
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


def read_texts(name: str, field: str) -> Iterator[str]:
    """Read the texts of a file: its lines, or of JSON lines the strings or values of `field`."""
    raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    try:
        lines = raw.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{name} line {line} is not UTF-8: {error.reason}") from None
    if lines[-1] == "":  # after the last line's end
        lines.pop()
    json_lines = name.endswith((".jsonl", ".ndjson"))
    for number, line in enumerate(lines, 1):
        yield _text_of(line, f"{name} line {number}", field) if json_lines else line


def _text_of(line: str, where: str, field: str) -> str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON: {error}") from None
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
    """Write {"text": ..., "vector": [...]} lines; the numbers are exact in float32."""
    for text, vector in zip(texts, vectors, strict=True):
        numbers = [float(str(value)) for value in vector]
        file.write(json.dumps({"text": text, "vector": numbers}, ensure_ascii=False) + "\n")


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
