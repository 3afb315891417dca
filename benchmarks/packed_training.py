"""Training with packed batches beside padded ones: the processor time of an epoch.

    python benchmarks/packed_training.py [--runs 3] [--texts 320]

The texts are paragraphs of this repository's documents, cut to 128 tokens; the bundled model learns
to classify them, 16 in a batch. Batches are drawn as in training, where texts of similar length
come together, and at random. The losses of every step are compared. A step is loss and gradients in
one thread; an epoch is the best of some runs, so other programs disturb it little.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from markdown import table

from numpy_erniem import ErnieMForSequenceClassification, ErnieMTokenizer, backend_report
from numpy_erniem.checkpoint.hub import bundled_checkpoint
from numpy_erniem.tokenizer.rows import pad_rows
from numpy_erniem.training import trainable, value_and_grad
from numpy_erniem.training.batches import Batches, collate

DOCS = Path(__file__).resolve().parent.parent / "docs"
LONGEST, BATCH_SIZE = 128, 16


def paragraphs(count):
    """The token ids of some paragraphs, of any length."""
    tokenizer, found = ErnieMTokenizer.from_pretrained(bundled_checkpoint()), []
    for path in sorted(DOCS.glob("*.md")):
        found += [text for text in path.read_text(encoding="utf-8").split("\n\n") if text.strip()]
    chosen = np.random.default_rng(0).permutation(len(found))[:count]
    options = {"truncation": True, "max_length": LONGEST, "verbose": False}
    return tokenizer([found[n] for n in chosen], **options)["input_ids"]


def padded(ids, config, labels):
    """The batch with a row for each text."""
    lengths = np.array([len(row) for row in ids])
    mask = np.arange(lengths.max()) < lengths[:, None]  # (B, T)
    rows = pad_rows(ids, config.pad_token_id)
    return {"input_ids": rows, "attention_mask": mask, **labels}


def epoch(model, ids, batches, make):
    """Seconds of the processor, and the losses."""
    losses, spent = [], 0.0
    for chosen in batches:
        labels = {"labels": np.asarray(chosen) % model.config.num_labels}
        start = time.thread_time()
        batch = make([ids[n] for n in chosen], model.config, labels)
        losses.append(value_and_grad(model, batch)[0])
        spent += time.thread_time() - start
    return spent, losses


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--texts", type=int, default=320)
    options = parser.parse_args()
    model = trainable(ErnieMForSequenceClassification.from_pretrained(bundled_checkpoint()))
    ids = paragraphs(options.texts)
    lengths = np.array([len(row) for row in ids])
    similar = Batches(lengths, BATCH_SIZE, seed=0)
    order = np.random.default_rng(1).permutation(len(ids))
    kinds = {
        "of similar length": [similar[n] for n in range(similar.per_epoch)],
        "drawn at random": [order[at : at + BATCH_SIZE] for at in range(0, len(ids), BATCH_SIZE)],
    }
    epoch(model, ids, kinds["drawn at random"][:2], collate)  # warm-up
    rows = []
    for kind, batches in kinds.items():
        best = {collate: np.inf, padded: np.inf}
        for _ in range(options.runs):
            losses = {}
            for make in best:
                seconds, losses[make] = epoch(model, ids, batches, make)
                best[make] = min(best[make], seconds)
            np.testing.assert_allclose(losses[collate], losses[padded], rtol=1e-5)
        share = lengths.sum() / sum(len(b) * lengths[b].max() for b in batches)
        ratio = best[padded] / best[collate]
        times = [f"{best[make]:.2f} s" for make in (padded, collate)]
        rows.append([kind, f"{1 - share:.0%}", *times, f"{ratio:.2f}"])
    print(f"{len(ids)} texts of {lengths.min()} to {lengths.max()} tokens, {lengths.mean():.0f} in")
    print(f"the mean; {backend_report()['backend']} backend, one thread\n")
    print(table(["batches", "padding", "padded", "packed", "times faster"], rows))


if __name__ == "__main__":
    main()
