"""Train the bundled checkpoint, numpy_erniem/tiny, from scratch, with this package alone.

    python tools/train_tiny.py CORPUS WORK [--more FILE] [--out FOLDER]

CORPUS is a folder with parallel.tsv.gz (language, English, translation), parallel.source.txt.gz
(the source of each row, line by line) and dev.tsv.gz. FILE is what `more_texts.py` wrote: further
rows. WORK keeps what a stopped run goes on from: the same command goes on. The same texts, seed,
kernels and CPU give the same weights.
Steps: texts and vocabulary, training of the encoder with all heads, scores on texts that are held
out, and a folder with a model card, which is put in --out.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import tiny_card
from tiny_corpus import KINDS, prepare, read_rows, write_json
from tiny_recipe import Recipe
from tiny_scores import scores
from tiny_training import save, train, trained_model


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def ship(work: Path, trained: Path, out: Path, recipe: Recipe) -> None:
    """Put the model in its folder, float16 on disk, with its scores in a model card."""
    save(trained_model(trained), work, out, np.float16)
    measured = work / "scores.json"
    if not measured.is_file():
        found = {name: scores(out, read_rows(work / f"{name}.tsv")) for name in ("dev", *KINDS)}
        write_json(measured, found)
    found = json.loads(measured.read_text(encoding="utf-8"))
    text = tiny_card.text(work, out, recipe, found)
    (out / "README.md").write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    """Make the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--more", type=Path, help="further rows, a file of more_texts.py")
    parser.add_argument("--out", type=Path, help="put the finished checkpoint in this folder")
    options = parser.parse_args()
    work, recipe = options.work, Recipe()
    work.mkdir(parents=True, exist_ok=True)
    try:
        tokenizer = prepare(options.corpus, work, options.more)
    except (EOFError, OSError, ValueError) as error:
        parser.error(str(error))
    say(f"rows {(work / 'rows.json').read_text()}vocabulary of {len(tokenizer)}")
    trained = train(work, tokenizer, recipe, say)
    if options.out:
        ship(work, trained, options.out, recipe)


if __name__ == "__main__":
    main()
