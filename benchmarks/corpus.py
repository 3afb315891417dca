"""A corpus from texts to vectors: python -m benchmarks --parts corpus.

The texts are made, or those of --corpus FILE with the checkpoint of --model FOLDER. Our Embedder
packs texts; the peers take padded batches, in the order of the texts or sorted by length. All get
the same token ids and give the mean of a text's token vectors, scaled to length 1.
"""

import argparse
import filecmp
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks import engines, precision_engines
from benchmarks.corpus_race import Contestant, Row, corpus_rows
from benchmarks.markdown import is_ours
from benchmarks.workers import progress
from numpy_erniem import bundled_checkpoint
from numpy_erniem.pipelines.packing import BATCH_TOKENS

WORDS = ("open", "the", "file", "and", "read", "every", "line", "before", "you", "close", "it")
TEXTS = 400  # that are made where there is no file; half of them have fewer than 26 words


def numbers(text: str) -> list[int]:
    """Positive numbers, separated by commas: "4,8" → [4, 8]; a type of argparse."""
    found = [int(number) for number in text.split(",")]
    if min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} has a number below 1")
    return found


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the parts corpus and scaling."""
    group = parser.add_argument_group("the parts corpus and scaling, from texts to vectors")
    add = group.add_argument
    add("--corpus", type=Path, metavar="FILE", help="a text a line (default: made texts)")
    add("--model", type=Path, metavar="FOLDER", help="a checkpoint with its tokenizer, for FILE")
    add(
        "--texts",
        type=int,
        metavar="N",
        help=f"take N lines, at equal distances (default: all), or make N texts ({TEXTS})",
    )
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
        help="texts of a batch of ONNX Runtime, OpenVINO and CTranslate2 (default: 4,8,16,32)",
    )
    add("--price", type=float, metavar="P", help="of a core for an hour, for scaling (0.05)")


def check_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with a message for options that do not go together."""
    if options.price is not None and "scaling" not in options.parts:
        parser.error("--price goes with --parts scaling")
    if options.texts is not None and options.texts < 1:
        parser.error(f"--texts {options.texts} is not at least 1")
    if options.corpus is None and options.model is None:
        return
    if not {"corpus", "scaling"} & set(options.parts):
        parser.error("--corpus FILE and --model FOLDER go with --parts corpus or scaling")
    if options.corpus is None or options.model is None:
        parser.error("--corpus FILE and --model FOLDER need each other")
    if not options.corpus.is_file():
        parser.error(f"--corpus {options.corpus}: no such file")
    if not (options.model / "config.json").is_file():
        parser.error(f"--model {options.model}: no folder with a config.json")


def made_texts(n: int) -> list[str]:
    """Texts of 2 to 500 words, short ones more often than long ones; the same in every run."""
    rng = np.random.default_rng(0)
    lengths = np.clip(np.exp(rng.normal(3.3, 0.9, n)), 2, 500).astype(int)
    return [" ".join(rng.choice(WORDS, length)) for length in lengths]


def contestants(
    names: Sequence[str], batch_tokens: list[int], batch_sizes: list[int]
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


def work_folder(folder: Path, model: Path | None, tokenizer: Path | None) -> Path:
    """The folder in which a corpus is embedded: `folder`/corpus.

    Without a model it gets the files of `folder`, which has a random one, and a tokenizer.
    """
    work = folder / "corpus"
    if model is None:
        shutil.rmtree(work, ignore_errors=True)  # links to what `folder` had earlier
        others = shutil.ignore_patterns("corpus", "large", "*.npy")
        shutil.copytree(folder, work, ignore=others, copy_function=engines.link_or_copy)
        engines.add_tokenizer(work, tokenizer or bundled_checkpoint())
    return work


def prepare_folder(
    folder: Path, model: Path | None, texts: list[str], names: Sequence[str]
) -> None:
    """Put a model's files and the texts into a folder, and export ONNX if an engine needs it.

    Raises
    ------
    ValueError
        The folder has files of another model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in model.iterdir() if model is not None else ():
        if not path.is_file() or path.name == "texts.json" or path.suffix in (".onnx", ".npy"):
            continue  # files of these names are written here
        there = folder / path.name
        if not there.exists():
            engines.link_or_copy(path.resolve(), there)
        elif not filecmp.cmp(path, there):
            raise ValueError(f"{there} is not that of {model}; give an empty --folder")
    (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    engines.export_if_needed(folder, names)
    for message in precision_engines.prepare(folder, names):
        progress(f"left out: {message}")


def measured(
    part: str, options: argparse.Namespace, names: list[str], folder: Path
) -> Iterator[Row]:
    """The rows of the part "corpus" or "scaling"."""
    try:
        if options.corpus is None:
            texts, source = made_texts(options.texts or TEXTS), "made"
        else:
            texts, source = read_texts(options.corpus, options.texts), options.corpus.name
        prepare_folder(folder, options.model, texts, names)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    if part == "scaling":
        from benchmarks import scaling  # which needs this module

        price = scaling.PRICE if options.price is None else options.price
        rows = scaling.scaling_rows(folder, texts, names, options.threads, options.rounds, price)
    else:
        entrants = contestants(names, options.batch_tokens, options.batch_sizes)
        rows = corpus_rows(folder, texts, entrants, options.threads, options.rounds)
    return ({**row, "source": source} for row in rows)
