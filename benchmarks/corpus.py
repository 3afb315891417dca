"""A corpus from texts to vectors: python -m benchmarks --corpus FILE --model FOLDER.

Our Embedder packs texts; the peers take padded batches, in the order of the file or sorted by
length. All get the same token ids and give the mean of a text's token vectors, scaled to length 1.
"""

import argparse
import filecmp
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks import engines, precision_engines
from benchmarks.corpus_race import Contestant, Row, corpus_rows
from benchmarks.markdown import is_ours
from benchmarks.workers import progress
from numpy_erniem.pipelines.packing import BATCH_TOKENS


def numbers(text: str) -> list[int]:
    """Positive numbers, separated by commas: "4,8" → [4, 8]; a type of argparse."""
    found = [int(number) for number in text.split(",")]
    if min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} has a number below 1")
    return found


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    group = parser.add_argument_group("a corpus from texts to vectors, alone")
    add = group.add_argument
    add("--corpus", type=Path, metavar="FILE", help="embed this file, one text a line")
    add("--model", type=Path, metavar="FOLDER", help="a checkpoint with its tokenizer")
    add("--texts", type=int, metavar="N", help="take N lines, at equal distances (default: all)")
    add(
        "--batch-tokens",
        type=numbers,
        default=[BATCH_TOKENS],
        metavar="N,...",
        help=f"most tokens of our batches (default: {BATCH_TOKENS})",
    )
    add(
        "--batch-sizes",
        type=numbers,
        default=[4, 8, 16, 32],
        metavar="N,...",
        help="texts of a batch of ONNX Runtime and OpenVINO (default: 4,8,16,32)",
    )
    add(
        "--scaling",
        action="store_true",
        help="instead, ours over processes and threads, and what 1,000,000,000 texts take",
    )
    add("--price", type=float, metavar="P", help="of a core for an hour, for --scaling (0.05)")


def check_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with a message for options that do not go together."""
    if options.price is not None and not options.scaling:
        parser.error("--price goes with --scaling")
    if options.corpus is None and options.model is None:
        if options.scaling:
            parser.error("--scaling needs --corpus FILE and --model FOLDER")
        return
    if options.corpus is None or options.model is None:
        parser.error("--corpus FILE and --model FOLDER need each other")
    if options.only:
        parser.error(f"--corpus is measured alone, without --{options.only}")
    if not options.corpus.is_file():
        parser.error(f"--corpus {options.corpus}: no such file")
    if not (options.model / "config.json").is_file():
        parser.error(f"--model {options.model}: no folder with a config.json")
    if options.texts is not None and options.texts < 1:
        parser.error(f"--texts {options.texts} is not at least 1")


def contestants(
    names: list[str], batch_tokens: list[int], batch_sizes: list[int]
) -> list[Contestant]:
    """What is timed: ours by tokens of a batch, torch in 32 texts, other peers by texts."""
    found = []
    for name in names:
        if is_ours(name):
            found += [Contestant(name, "packed", tokens) for tokens in batch_tokens]
        elif name == "torch":
            found += [Contestant(name, order, 32) for order in ("come", "sorted")]
        else:
            found += [Contestant(name, "sorted", size) for size in batch_sizes]
    return list(dict.fromkeys(found))


def read_texts(path: Path, most: int | None) -> list[str]:
    """The lines of a file; of more than `most`, as many at equal distances.

    Raises
    ------
    ValueError
        It has no lines, or is not UTF-8.
    """
    try:
        texts = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from None
    texts = texts if texts[-1] else texts[:-1]  # a newline ends the last line
    if not texts:
        raise ValueError(f"{path} has no texts; give a file with one text a line")
    n = min(len(texts), most or len(texts))
    return [texts[i * len(texts) // n] for i in range(n)]


def link_or_copy(path: Path, there: Path) -> None:
    """Put a file into another folder, without a copy where the system can; what is there stays."""
    if Path(there).exists():
        return
    try:
        os.link(path, there)
    except OSError:  # such as another disk
        shutil.copy2(path, there)


def prepare_folder(folder: Path, model: Path, texts: list[str], names: list[str]) -> None:
    """Put a model's files and the texts into a folder, and export ONNX if an engine needs it.

    Raises
    ------
    ValueError
        The folder has files of another model.
    """
    folder.mkdir(exist_ok=True)
    for path in model.iterdir():
        if not path.is_file() or path.name == "texts.json" or path.suffix in (".onnx", ".npy"):
            continue  # files of these names are written here
        there = folder / path.name
        if not there.exists():
            link_or_copy(path.resolve(), there)
        elif not filecmp.cmp(path, there):
            raise ValueError(f"{there} is not that of {model}; give an empty --folder")
    (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    if (
        any(name.startswith(("onnxruntime", "openvino")) for name in names)
        and not (folder / "model.onnx").exists()
    ):
        progress("exporting the model to ONNX")
        try:
            engines.export_onnx(folder)
        except ImportError as error:
            progress(f"(no ONNX export: {error})")
    for message in precision_engines.prepare(folder, names):
        progress(f"left out: {message}")


def measured(options: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """The rows that the command asks for."""
    names = options.engines.split(",")
    try:
        texts = read_texts(options.corpus, options.texts)
        prepare_folder(folder, options.model, texts, names)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    if options.scaling:
        from benchmarks import scaling  # which needs this module

        price = scaling.PRICE if options.price is None else options.price
        return scaling.scaling_rows(folder, texts, names, options.threads, options.rounds, price)
    entrants = contestants(names, options.batch_tokens, options.batch_sizes)
    return corpus_rows(folder, texts, entrants, options.threads, options.rounds)
