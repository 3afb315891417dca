"""What each objective adds, and how CAMLM is best told the language: many short runs.

    python tools/ablation.py WORK OUT [--steps 1500] [--seed 2021] [--only NAME ...]

WORK is a folder of train_tiny.py: parallel.tsv, mono.tsv, dev.tsv and tokenizer/ are read, of the
texts those in English and three other languages. The runs have the model, the seed and the number
of steps in common, and differ in the objectives or in the mark of the language. Each is measured on
dev.tsv: the loss of masked tokens, and retrieval after pre-training and after the same few steps of
`retrieve`. OUT gets a folder for each run and ablation.json. Runs that are done are not repeated,
and a stopped one goes on; so processes with different --only may work side by side, and a last call
prints the tables.
"""

import argparse
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from language_marks import MARKS, Mark, MarkedPretraining, masked_by
from tiny_corpus import write_json
from tiny_recipe import SIZES

from numpy_erniem import ErnieMConfig, ErnieMForMaskedLM, ErnieMModel, ErnieMTokenizer
from numpy_erniem.checkpoint.atomic import atomic_write
from numpy_erniem.losses import cross_entropy
from numpy_erniem.training import (
    Phase,
    TrainingConfig,
    TrainingSetup,
    retrieval_setup,
    trainable,
)
from numpy_erniem.training.batches import Batches
from numpy_erniem.training.finetuning.retrieval import retrieval_scores
from numpy_erniem.training.pretraining import (
    Corpus,
    SpecialTokens,
    read_corpora,
    special_tokens,
)
from numpy_erniem.training.pretraining.objectives import PARALLEL
from numpy_erniem.training.pretraining.pretraining import masked_logits

SEED = 2021
BATCH_SIZE, LEARNING_RATE = 64, 2e-3
MAX_LENGTH, MASK_PROBABILITY = 16, 0.25  # short sentences: more steps an hour
RETRIEVE_BATCH_SIZE, RETRIEVE_LEARNING_RATE, RETRIEVE_MAX_LENGTH = 64, 1e-3, 32
LANGUAGES = ("de", "ru", "zh")  # three scripts; the fewer, the more a short run learns of each
HELD_OUT = ("mmlm", "tlm", "camlm")  # whose loss is measured
ROUNDS = 2  # over the held-out pairs, each with other tokens masked


@dataclass(frozen=True)
class Run:
    """Objectives, drawn with equal chances, and the mark of the language; none: not trained."""

    objectives: tuple[str, ...]
    mark: str = "placeholder"

    def phases(self, steps: int) -> tuple[Phase, ...]:
        """BTMLM joins for the last third alone: CAMLM has to come first."""
        if "btmlm" not in self.objectives:
            return (Phase(steps, self.objectives),)
        first = tuple(name for name in self.objectives if name != "btmlm")
        return Phase(steps - steps // 3, first), Phase(steps // 3, self.objectives)


RUNS = {
    "none": Run(()),
    "mmlm": Run(("mmlm",)),
    "mmlm+tlm": Run(("mmlm", "tlm")),
    "mmlm+tlm+camlm": Run(("mmlm", "tlm", "camlm")),
    "mmlm+tlm+camlm+btmlm": Run(("mmlm", "tlm", "camlm", "btmlm")),
    "camlm+tlm": Run(("camlm", "tlm")),
    "camlm+tlm-token": Run(("camlm", "tlm"), "token"),
    "camlm+tlm-none": Run(("camlm", "tlm"), "none"),
}
OBJECTIVE_ROWS = {"no pre-training": "none"} | {
    name.replace("+", " + ").upper(): name for name in list(RUNS)[1:6]
}
MARK_ROWS = {
    "placeholder of the language": "camlm+tlm",
    "language token": "camlm+tlm-token",
    "neither": "camlm+tlm-none",
}


def say(line: str) -> None:
    """Tell at once, although the output may go to a file."""
    print(line, flush=True)


@dataclass(frozen=True)
class Data:
    """What all runs read: token ids for pre-training, and where the texts are."""

    work: Path
    tokenizer: ErnieMTokenizer
    special: SpecialTokens
    pairs: Corpus
    mono: Corpus
    dev: Corpus
    dev_mono: Corpus  # both sides of dev, each sentence alone

    @classmethod
    def read(cls, work: Path, out: Path) -> "Data":
        """Token ids of the rows in LANGUAGES, which are put in a folder of their own.

        Sentences of more than MAX_LENGTH tokens are left out.
        """
        for name in ("parallel.tsv", "mono.tsv", "dev.tsv"):
            rows = (work / name).read_text("utf-8").splitlines()
            kept = [row for row in rows if row.split("\t")[0] in ("en", *LANGUAGES)]
            atomic_write(out / "data" / name, "\n".join(kept) + "\n")
        tokenizer = ErnieMTokenizer.from_pretrained(work / "tokenizer")
        work = out / "data"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*are left out.*")
            both = read_corpora(work / "parallel.tsv", work / "mono.tsv", tokenizer, MAX_LENGTH)
            dev, _ = read_corpora(work / "dev.tsv", None, tokenizer, MAX_LENGTH)
        alone = Corpus(
            [(ids, None) for pair in dev.sentences for ids in pair],
            [(name, name) for pair in dev.languages for name in pair],
        )
        return cls(work, tokenizer, special_tokens(tokenizer), *both, dev, alone)

    def rows(self, name: str) -> list[list[str]]:
        """The rows of a file: language, English, translation."""
        return [line.split("\t") for line in (self.work / name).read_text("utf-8").splitlines()]


def pretrain(run: Run, data: Data, out: Path, options: argparse.Namespace) -> ErnieMForMaskedLM:
    """The model after its steps."""
    steps, seed, threads = options.steps, options.seed, options.threads
    config = ErnieMConfig(vocab_size=len(data.tokenizer), **SIZES)
    model = trainable(ErnieMForMaskedLM(config, seed=seed))
    more = {"warmup": 0.05, "betas": (0.9, 0.98), "seed": seed, "threads": threads}
    training = TrainingConfig(steps, BATCH_SIZE, LEARNING_RATE, **more)
    if not run.objectives:
        TrainingSetup(training, model, data.tokenizer, None).save(out)
        return model
    pretraining = MarkedPretraining(
        data.pairs,
        data.mono,
        data.special,
        run.phases(steps),
        training,
        MASK_PROBABILITY,
        mark=MARKS[run.mark],
    )
    setup = TrainingSetup(training, model, data.tokenizer, pretraining.loss_and_grad)
    setup.train(out, report=say)
    return model


def fine_tune(data: Data, base: Path, out: Path, options: argparse.Namespace) -> None:
    """`retrieve`, the same for all; dev.tsv is looked at after the last step."""
    steps, seed, threads = options.retrieve_steps, options.seed, options.threads
    more = {"warmup": 0.05, "seed": seed, "threads": threads}
    training = TrainingConfig(steps, RETRIEVE_BATCH_SIZE, RETRIEVE_LEARNING_RATE, **more)
    files = data.rows("parallel.tsv"), data.rows("dev.tsv")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*were cut.*")
        setup = retrieval_setup(*files, training, model=base, max_length=RETRIEVE_MAX_LENGTH)
    setup.train(out, report=say)


def held_out_losses(model: ErnieMForMaskedLM, data: Data, mark: Mark) -> dict[str, float]:
    """Mean loss of the masked tokens of the held-out pairs, by objective."""
    losses = {}
    for name in HELD_OUT:
        corpus = data.dev if name in PARALLEL else data.dev_mono
        batches = Batches(corpus.lengths(), BATCH_SIZE, SEED)
        rng, found, counts = np.random.default_rng(SEED), [], []
        for step in range(ROUNDS * batches.per_epoch):
            sentences = [corpus.sentences[n] for n in batches[step]]
            names = [corpus.languages[n] for n in batches[step]]
            batch = masked_by(name, mark, sentences, names, data.special, rng, MASK_PROBABILITY)
            logits, labels = masked_logits(model, batch), batch.labels[batch.masked]
            found.append(cross_entropy(logits, labels))
            counts.append(len(labels))
        losses[name] = float(np.average(found, weights=counts))
    return losses


def measure(folder: Path, data: Data) -> dict[str, float]:
    """P@1 of a folder's encoder on the held-out pairs."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*tensors not used: (lm_head|pooler).*")
        model = ErnieMModel.from_pretrained(folder, add_pooling_layer=False)
    rows = data.rows("dev.tsv")
    sides = [data.tokenizer([row[n] for row in rows])["input_ids"] for n in (1, 2)]
    pairs = [(row[0], a, b) for row, a, b in zip(rows, *sides, strict=True)]
    return retrieval_scores(model, pairs)


def perform(name: str, data: Data, options: argparse.Namespace) -> None:
    """Train and measure one run; result.json says that it is done."""
    folder, run = options.out / name, RUNS[name]
    say(name)
    model = pretrain(run, data, folder / "pretrained", options)
    result = {
        "name": name,
        "steps": options.steps,
        "retrieve_steps": options.retrieve_steps,
        "seed": options.seed,
        "losses": held_out_losses(model, data, MARKS[run.mark]),
        "before": measure(folder / "pretrained", data),
    }
    fine_tune(data, folder / "pretrained", folder / "retrieve", options)
    result["after"] = measure(folder / "retrieve", data)
    write_json(folder / "result.json", result)


def table(results: dict[str, dict], rows: dict[str, str]) -> str:
    """Markdown: rows of {what is shown: name of a run}, those that are there."""
    lines = [
        "| | loss: own sentence | both | translation alone | P@1 | P@1 after `retrieve` |",
        "|---|---|---|---|---|---|",
    ]
    for shown, name in rows.items():
        if name in results:
            r = results[name]
            losses = " | ".join(f"{r['losses'][n]:.2f}" for n in HELD_OUT)
            scores = " | ".join(f"{r[when]['P@1']:.3f}" for when in ("before", "after"))
            lines.append(f"| {shown} | {losses} | {scores} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Do the runs that are asked for and missing, and print the tables of all that are there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--retrieve-steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=SEED, help="another one, in another OUT")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=list(RUNS), default=list(RUNS))
    options = parser.parse_args(arguments)
    data = Data.read(options.work, options.out)
    for name in options.only:
        if not (options.out / name / "result.json").is_file():
            perform(name, data, options)
    results = {}
    for name in RUNS:
        path = options.out / name / "result.json"
        if path.is_file():
            results[name] = json.loads(path.read_text(encoding="utf-8"))
    write_json(options.out / "ablation.json", results)
    print(table(results, OBJECTIVE_ROWS), table(results, MARK_ROWS), sep="\n\n")


if __name__ == "__main__":
    main()
