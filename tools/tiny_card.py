"""The model card of the bundled checkpoint, from what `train_tiny.py` left in its folder."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tiny_corpus import (
    KINDS,
    LABELS,
    LICENCES,
    PIECES,
    VOCABULARY_BALANCE,
    hash_of_added_rows,
    read_rows,
)
from tiny_recipe import SIZES, Recipe
from tiny_scores import CHARACTERS, FIRST, MASKED_TEXTS, UNSPACED, WORDS

CARD = """# tiny

A checkpoint small enough to travel with the package ({size:.1f} MB), trained from scratch by this
package alone, in NumPy on two cores. It has three uses, each the default of a command:

- sentences find their translations: the mean of the last hidden states (`erniem embed`,
  `erniem search`);
- it names the language of a text (`erniem classify`), by `ErnieMForSequenceClassification`;
- it fills masks (`erniem fill`), by `ErnieMForMaskedLM`.

| | |
|---|---|
| layers, width, heads | {num_hidden_layers}, {hidden_size}, {num_attention_heads} |
| feed-forward | {intermediate_size} |
| vocabulary | {pieces:,} pieces: SentencePiece (unigram), special tokens, a mask per language |
| languages | {names} |
| on disk | float16; computed in float32 |
| licence of these files | Apache-2.0 |

## Data

{pairs:,} pairs of English and a translation, from user interfaces and help pages:
{rows}.
The monolingual sentences are the two sides of the same pairs. No other text was used, for the
vocabulary neither; there a language with n characters counts in proportion to n to the power
{vocabulary_balance:g}.

## Recipe

{command} makes it again: seed {seed},
with the C kernels. Another CPU, BLAS, compiler or version of the kernels rounds otherwise and gives
another model; the number of threads changes nothing.

One run of {steps:,} steps trains the encoder and all heads together: each step draws an objective.

| steps | drawn from |
|---|---|
{phases}

- `mmlm`, `tlm`, `camlm`: {batch_size} sentences or pairs of similar length, {mask_probability:.0%}
  of the words masked. English is {english:.0%} of the sentences of `mmlm`.
- `retrieve`: {retrieve_batch_size} English sentences with {translations} translations each find
  each other, among all of the batch; temperature {temperature:g}.
- `language`: {language_batch_size} sentences; {short:.0%} of them are cut to a few words.

Sentences of at most {max_length} tokens; small languages are drawn more often (in proportion to
n to the power {balance:g}, all languages alike in `language`); AdamW, peak rate {learning_rate:g},
3 % warm-up, linear decay, no dropout; products of linear maps in {precision}. Loss, a tenth of the
steps at a time: {curve}.

## Scores

Measured on the files as they are here, rounded to float16, on texts that are in no training text.

- **Retrieval** (P@1): {pairs_of_dev} sentences a language and their English originals; the share of
  sentences whose most similar one on the other side is the right one, both directions.
- **Language**: the share of sentences of at least {words} words (in {unspaced}: {characters}
  characters) whose language is named.
- **Masked tokens**: each token of {masked_texts} sentences is masked in turn; the share of them
  that are among the first {first} candidates.

{scores}

Retrieval is weakest in {weakest}.
The held-out sentences chose nothing but the recipe: trials of at most twenty minutes compared
learning rates, vocabularies, lengths, widths and ways to make the batches of `retrieve`. The
weights are those of the last step.

## Other kinds of text

The same scores on texts of sources that were in no training text, up to {pairs_of_dev} pairs of at
least 6 English words a language:

{kinds}

{other_scores}

## Limits

It knows the language of menus and manuals in {count} languages; of other text, languages and
scripts it knows what the vocabulary happens to share. It names one of its {count} languages for any
text. It was trained on single sentences. It is for trying things out, for teaching and for tests.
"""


def text(work: Path, out: Path, recipe: Recipe, scores: dict[str, Any]) -> str:
    """What it was trained on and how, what it can do and what not."""
    rows, report = (
        json.loads((work / name).read_text(encoding="utf-8"))
        for name in ("rows.json", "trained/report.json")
    )
    losses = [loss for _, loss in report["history"]]
    tenths = [float(np.mean(part)) for part in np.array_split(losses, 10)]
    files = [file for file in out.iterdir() if file.is_file() and file.name != "README.md"]
    kinds = [f"- {kind}: {', '.join(sources)}" for kind, sources in KINDS.items()]
    return CARD.format(
        **asdict(recipe) | SIZES | {"phases": "\n".join(map(_phase, recipe.phases))},
        steps=recipe.steps,
        command=command(work),
        size=sum(file.stat().st_size for file in files) / 1e6,
        pieces=PIECES,
        vocabulary_balance=VOCABULARY_BALANCE,
        names=", ".join(LABELS),
        count=len(LABELS),
        pairs=sum(rows.values()),
        rows=used_rows(rows),
        curve=", ".join(f"{loss:.2f}" for loss in tenths),
        pairs_of_dev=300,
        words=WORDS,
        characters=CHARACTERS,
        unspaced=", ".join(UNSPACED),
        first=FIRST,
        masked_texts=MASKED_TEXTS,
        scores=_table(scores["dev"], pairs_by_language(work)),
        weakest=_weakest(scores["dev"]["retrieval"]),
        kinds="\n".join(kinds),
        other_scores=_means({kind: scores[kind] for kind in KINDS}),
    )


def used_rows(rows: dict[str, int]) -> str:
    """How many rows of which source there are, with its licence."""
    parts = [f"{n:,} of {name.rstrip('-')} ({LICENCES[name]})" for name, n in rows.items() if n]
    return ", ".join(parts)


def command(work: Path) -> str:
    """The commands that make the model of the folder again."""
    if hash_of_added_rows(work) is None:
        return "`python tools/train_tiny.py CORPUS WORK --out numpy_erniem/tiny`"
    return (
        "`python tools/train_tiny.py CORPUS WORK --more FILE --out numpy_erniem/tiny`, with the\n"
        "FILE that `python tools/more_texts.py CORPUS OUT` writes,"
    )


def _phase(phase: Any) -> str:
    """A row of the table of phases."""
    counts = {name: phase.objectives.count(name) for name in dict.fromkeys(phase.objectives)}
    parts = [f"{name} ({n} of {len(phase.objectives)})" for name, n in counts.items()]
    return f"| {phase.steps:,} | {', '.join(parts)} |"


def pairs_by_language(work: Path) -> dict[str, int]:
    """How many pairs of each language there are to train on."""
    return dict(Counter(language for language, *_ in read_rows(work / "parallel.tsv")))


def _weakest(retrieval: dict[str, float]) -> str:
    """The languages with the lowest scores, in words."""
    names = sorted(retrieval.keys() - {"mean"}, key=retrieval.__getitem__)[:3]
    return ", ".join(f"{name} ({retrieval[name]:.3f})" for name in names)


def _table(scores: dict[str, dict[str, float]], pairs: dict[str, int]) -> str:
    """Every score by language with the pairs that were trained on, the means last."""
    names = [name for name in LABELS if name in scores["language"]]
    lines = ["| | retrieval | language | masked tokens | pairs |", "|---|---|---|---|---|"]
    for name in names:
        cells = [_cell(scores[kind].get(name)) for kind in scores]
        lines.append(f"| {name} | {' | '.join(cells)} | {pairs.get(name, sum(pairs.values())):,} |")
    means = [f"**{scores[kind]['mean']:.3f}**" for kind in scores]
    return "\n".join([*lines, f"| **mean** | {' | '.join(means)} | |"])


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _means(scores: dict[str, dict[str, dict[str, float]]]) -> str:
    """Mean, and the lowest language, of each kind of text."""
    lines = [
        "| | languages | retrieval | lowest | language | lowest | masked tokens | of English |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for kind, found in scores.items():
        cells = [str(len(found["retrieval"]) - 1)]
        for name in ("retrieval", "language"):
            least = min(found[name], key=found[name].get)
            cells += [f"{found[name]['mean']:.3f}", f"{found[name][least]:.3f} ({least})"]
        masked = found["masked tokens"]
        cells += [f"{masked['mean']:.3f}", f"{masked['en']:.3f}"]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)
