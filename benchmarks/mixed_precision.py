"""Training in mixed precision beside float32: the losses of a run, and the work of a step.

    python benchmarks/mixed_precision.py [--steps 240] [--seeds 2] [--runs 5]

Losses: a masked language model of 2 layers of 64 with new weights and the bundled tokenizer learns
the sentences of this repository's documents, 16 in a batch, once in float32 and once with products
of bfloat16, from the same seed; each row of the table is a mean over the steps since the row above.
Another seed shows how much chance alone changes.

Work: the sizes and batches of train_step.py. A step is loss, gradients, clipping and AdamW in one
thread; its processor time is the best of some runs, so other programs disturb it little.
"""

import argparse
import re
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import train_step
from markdown import table

from numpy_erniem import ErnieMConfig, ErnieMForMaskedLM, ErnieMTokenizer, backend_report
from numpy_erniem.checkpoint.hub import bundled_checkpoint
from numpy_erniem.models.weights import flatten
from numpy_erniem.training import (
    AdamW,
    Phase,
    Pretraining,
    TrainingConfig,
    clip,
    schedule,
    trainable,
)
from numpy_erniem.training.pretraining import Corpus, special_tokens

DOCS = Path(__file__).resolve().parent.parent / "docs"
PRECISIONS = ("float32", "bfloat16")
KERNELS = {"float32": "trained_float32", "bfloat16": "bfloat16"}  # in `backend_report`
ROWS = 8  # of the table of losses


def sentences(tokenizer, longest=48):
    """The sentences of the documents, as token ids."""
    found = []
    for path in sorted(DOCS.glob("*.md")):
        text = re.sub(r"(?s)```.*?```|^\|.*?$", " ", path.read_text(encoding="utf-8"), flags=re.M)
        for sentence in re.split(r"(?<=[.:?!])\s+", " ".join(text.split())):
            ids = tokenizer(sentence)["input_ids"][1:-1]
            if 5 <= len(ids) <= longest:
                found.append((tuple(ids), None))
    return Corpus(found, [("en", "en")] * len(found))


def losses(precision, seed, steps):
    """The loss of every step of a run."""
    tokenizer = ErnieMTokenizer.from_pretrained(bundled_checkpoint())
    size = ErnieMConfig.from_pretrained(bundled_checkpoint()).vocab_size
    options = {"precision": precision, "seed": seed, "threads": 1}
    config = TrainingConfig(steps, batch_size=16, learning_rate=2e-3, **options)
    phases, corpus = (Phase(steps, ("mmlm",)),), sentences(tokenizer)
    run = Pretraining(None, corpus, special_tokens(tokenizer), phases, config)
    model = ErnieMForMaskedLM(
        ErnieMConfig(
            vocab_size=size,
            hidden_size=64,
            num_attention_heads=4,
            num_hidden_layers=2,
            intermediate_size=256,
        ),
        seed=seed,
    )
    model, optimizer, found = trainable(model), AdamW(config.learning_rate), []
    weights = flatten(model.weights)
    for step in range(steps):
        loss, gradients = run.loss_and_grad(model, step, np.random.default_rng([seed, step]))
        flat, _ = clip(flatten(gradients), 1.0)
        factor = schedule(step, steps, config.warmup_steps, config.decay)
        optimizer.step(weights, flat, factor, config.threads)
        found.append(loss)
    return found


def loss_table(steps, seeds):
    runs = {
        (precision, seed): losses(precision, seed, steps)
        for seed in range(seeds)
        for precision in PRECISIONS
    }
    heads = ["steps", *(f"{precision}, seed {seed}" for precision, seed in runs)]
    edges = np.linspace(0, steps, ROWS + 1).astype(int)
    rows = [
        [f"{a + 1} to {b}", *(f"{np.mean(run[a:b]):.3f}" for run in runs.values())]
        for a, b in pairwise(edges)
    ]
    return table(heads, rows)


def work_table(runs):
    rows = []
    for size, (L, D, _, B, T) in train_step.SIZES.items():
        best = {}
        for precision in PRECISIONS:
            step, _ = train_step.ours(size, 1, precision)
            times = []
            for _ in range(runs):
                start = time.thread_time()
                step()
                times.append(1e3 * (time.thread_time() - start))
            best[precision] = min(times)
        rows.append(
            [
                f"{L} layers of {D}, {B} x {T} tokens",
                *(f"{best[precision]:.0f} ms" for precision in PRECISIONS),
                f"{best['float32'] / best['bfloat16']:.2f}",
            ]
        )
    return table(["a step", *PRECISIONS, "times faster"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    kernels = backend_report()["kernels"]
    used = {n: kernels[k] for n, k in KERNELS.items() if k in kernels}
    print("kernels:", ", ".join(f"{name} {how}" for name, how in used.items()) or "none")
    print("\nmean loss of masked tokens\n")
    print(loss_table(options.steps, options.seeds))
    print("\nprocessor time of a step in one thread\n")
    print(work_table(options.runs))


if __name__ == "__main__":
    main()
