"""The model card of the bundled checkpoint, from what `train_tiny.py` left in its folder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

CARD = """# tiny

A checkpoint small enough to travel with the package ({size:.1f} MB), trained from scratch by this
package alone, in NumPy on two cores. Sentences find their translations: take the mean of the last
hidden states, as `erniem embed` does.

| | |
|---|---|
| layers, width, heads | {num_hidden_layers}, {hidden_size}, {num_attention_heads} |
| feed-forward | {intermediate_size} |
| vocabulary | {vocab_size:,}: SentencePiece (unigram), special tokens, a mask per language |
| languages | en, {names} |
| on disk | float16; computed in float32 |
| licence of these files | Apache-2.0 |

## Data

{pairs:,} pairs of English and a translation, from user interfaces and help pages:
{rows}.
The monolingual sentences are the two sides of the same pairs. No other text was used, for the
vocabulary neither.

## Recipe

`python tools/train_tiny.py CORPUS WORK --out numpy_erniem/tiny` makes it again: seed {seed},
{threads} threads, with the C kernels. Another CPU, BLAS, compiler or version of the kernels
rounds otherwise and gives another model.

1. Pre-training, steps:
   {steps};
   an objective is drawn for each step. {batch_size} examples of similar length, at most
   {max_length} tokens a sentence, {mask_probability:.0%} of the words masked; AdamW, 5 % warm-up,
   linear decay, no dropout.
   Loss, a tenth of the steps at a time:
   {curve}.
2. `retrieve`: {retrieve_steps:,} steps, peak rate {retrieve_learning_rate:g};
   batches of {retrieve_batch_size} pairs of at most {retrieve_max_length} tokens a side, each
   finding its translation among the batch; temperature {temperature:g}, dropout of hidden states
   {retrieve_dropout:g}.

## Scores

Cross-lingual retrieval: 300 sentences a language and their English originals, held out; share of
sentences whose most similar one on the other side is the right one, both directions (P@1).

| | after pre-training | after retrieve |
|---|---|---|
{languages}
| **mean** | **{before:.3f}** | **{after:.3f}** |

As shipped, rounded to float16: {shipped:.3f}. The held-out sentences chose the recipe in three
places: that text beyond MPL-2.0 is used, that pre-training goes on after its first stage, and for
how long. They are in no training text, and the weights are those of the last step.

## Limits

It knows the language of menus and manuals in English, {names}; of other
text, languages and scripts it knows what the vocabulary happens to share. It was trained on single
sentences. Its pooler was never trained. It is for trying things out, for teaching and for tests.
"""


def text(
    work: Path, licences: dict[str, str], names: Sequence[str], stages: Any, facts: dict[str, Any]
) -> str:
    """What it was trained on and how, what it can do and what not."""

    def stored(name: str) -> dict:
        return json.loads((work / name).read_text(encoding="utf-8"))

    rows, before, after = (stored(f"{n}.json") for n in ("rows", "pretrained", "retrieve"))
    reports = [stored(f"stage{n + 1}/report.json") for n in range(len(stages))]
    losses = [loss for report in reports for _, loss in report["history"]]
    tenths = [float(np.mean(part)) for part in np.array_split(losses, 10)]
    scores = [f"| {n} | {before[f'P@1 {n}']:.2f} | {after[f'P@1 {n}']:.2f} |" for n in names]
    used = [f"{n:,} of {name.rstrip('-')} ({licences[name]})" for name, n in rows.items()]
    return CARD.format(
        **facts,
        names=", ".join(names),
        pairs=sum(rows.values()),
        rows=", ".join(used),
        steps=";\n   then ".join(
            " then ".join(f"{p.steps:,} of {' + '.join(p.objectives)}" for p in stage.phases)
            + f", peak rate {stage.learning_rate:g}"
            for stage in stages
        ),
        before=before["P@1"],
        after=after["P@1"],
        languages="\n".join(scores),
        curve=", ".join(f"{loss:.2f}" for loss in tenths),
    )
