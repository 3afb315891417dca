"""Tokens per second: ours, upstream's and SentencePiece's own, on the same texts in turn.

    python benchmarks/tokenizer.py FOLDER TEXTS [--rounds 9]

FOLDER holds vocab.txt and sentencepiece.bpe.model, TEXTS one text a line. One thread. The ids are
compared with upstream's first. transformers is left out where it is not installed.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from numpy_erniem import ErnieMTokenizer


def contestants(folder: Path, texts: list[str]) -> dict[str, Callable[[], object]]:
    """What is timed, by name; every one tokenizes all texts."""
    ours = ErnieMTokenizer.from_pretrained(folder)
    plain = {"verbose": False, "return_attention_mask": False}
    runs = {
        "ours, batch": lambda: ours(texts, **plain),
        "ours, one by one": lambda: [ours(text, **plain) for text in texts],
        "ours, batch, offsets": lambda: ours(texts, return_offsets_mapping=True, **plain),
        "SentencePiece, batch": lambda: ours.sp_model.encode(texts, num_threads=1),
    }
    try:
        from transformers import ErnieMTokenizer as Upstream
    except ImportError:
        return runs
    theirs = Upstream.from_pretrained(folder)
    if theirs(texts)["input_ids"] != ours(texts, **plain)["input_ids"]:
        raise SystemExit("the ids differ from upstream's: nothing is timed")
    return {**runs, "upstream, batch": lambda: theirs(texts)}


def main() -> None:
    """Print a table of million tokens per second, median and best."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    texts = options.texts.read_text(encoding="utf-8").split("\n")[:-1]
    runs = contestants(options.folder, texts)
    tokens = sum(map(len, runs["ours, batch"]()["input_ids"]))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    print(f"{tokens} tokens, {len(texts)} texts, {options.rounds} rounds in turn; M tokens/s")
    for name, times in seconds.items():
        median, best = statistics.median(times), min(times)
        print(f"{name:22} median {tokens / median / 1e6:5.2f}  best {tokens / best / 1e6:5.2f}")


if __name__ == "__main__":
    main()
