"""Train the bundled checkpoint, numpy_erniem/tiny, from scratch, with this package alone.

    python tools/train_tiny.py CORPUS WORK [--out FOLDER]

CORPUS is a folder with parallel.tsv.gz (language, English, translation), parallel.source.txt.gz
(the source of each row, line by line) and dev.tsv.gz. WORK keeps what a stopped run goes on from:
the same command goes on. The same corpus, seed, threads, kernels and CPU give the same weights.
Steps: rows and vocabulary, pre-training (CAMLM + TLM, then with MMLM + BTMLM), `retrieve`
fine-tuning, and a folder with a model card, which is put in --out.
"""

import argparse
import gzip
import io
import json
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import sentencepiece
import tiny_card

from numpy_erniem import ErnieMConfig, ErnieMForMaskedLM, ErnieMModel, ErnieMTokenizer
from numpy_erniem.checkpoint.folder import write_folder
from numpy_erniem.checkpoint.sentence_settings import SentenceSettings, write_sentence_settings
from numpy_erniem.models.weights import flatten
from numpy_erniem.tokenizer.pieces import cut_piece
from numpy_erniem.training import (
    Phase,
    Pretraining,
    TrainingConfig,
    TrainingSetup,
    retrieval_setup,
    trainable,
)
from numpy_erniem.training.finetuning.retrieval import retrieval_scores
from numpy_erniem.training.pretraining import read_corpora, special_tokens

LANGUAGES = ("de", "ru", "el", "ar", "hi", "th", "zh", "ja", "ko")
LICENCES = {  # of the rows taken, by the beginning of their source; none is under the GPL alone
    "libreoffice-": "MPL-2.0",
    "Django": "BSD-3-Clause",
    "CLDR": "Unicode licence",
    "audacity": "CC-BY-3.0",
    "debian-handbook": "CC-BY-SA-3.0",
    "gnome-user-docs": "CC-BY-SA-3.0",
    "evolution": "LGPL, its help CC-BY-SA-3.0",
    "libgtk": "LGPL-2.1",
    "libc-l10n": "LGPL-2.1",
    "marble": "LGPL-2.1",
}
PIECES = 12000
SPECIALS = ("[CLS]", "[PAD]", "[SEP]", "[UNK]")
SIZES = {
    "hidden_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "hidden_dropout_prob": 0.0,  # in pre-training it never sees a sentence often enough to overfit
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.05,
}
SEED = 2021
CUT = "\x02"  # where the tokenizer will cut, so no piece should go across


@dataclass(frozen=True)
class Stage:
    """A part of pre-training with a learning rate that rises and falls of its own."""

    phases: tuple[Phase, ...]
    learning_rate: float

    @property
    def steps(self) -> int:
        """Of all its phases."""
        return sum(phase.steps for phase in self.phases)


@dataclass(frozen=True)
class Recipe:
    """The figures of a run; those of the shipped model are the defaults."""

    stages: tuple[Stage, ...] = (
        Stage(
            (
                Phase(21000, ("camlm", "tlm")),
                Phase(3000, ("camlm", "camlm", "tlm", "tlm", "mmlm", "btmlm")),
            ),
            learning_rate=2e-3,
        ),
        # MMLM and BTMLM undo a part of the alignment (docs/training.md): align anew
        Stage((Phase(8000, ("camlm", "tlm")),), learning_rate=1.5e-3),
        Stage((Phase(14000, ("camlm", "tlm")),), learning_rate=1.5e-3),
    )
    max_length: int = 24
    mask_probability: float = 0.25
    batch_size: int = 64
    retrieve_steps: int = 5000
    retrieve_learning_rate: float = 1e-3
    retrieve_batch_size: int = 128
    retrieve_max_length: int = 40
    retrieve_dropout: float = 0.1  # of hidden states
    temperature: float = 0.05
    seed: int = SEED
    threads: int = 2


def rows_of(corpus: Path) -> Iterator[tuple[str, str, str, str]]:
    """Source, language, English and translation of the rows that may be used."""
    with (
        gzip.open(corpus / "parallel.tsv.gz", "rt", encoding="utf-8") as rows,
        gzip.open(corpus / "parallel.source.txt.gz", "rt", encoding="utf-8") as sources,
    ):
        for row, source in zip(rows, sources, strict=True):
            language, english, translation = row.rstrip("\n").split("\t")
            if language in LANGUAGES and source.startswith(tuple(LICENCES)):
                yield source.strip(), language, english, translation


def write_corpus(corpus: Path, work: Path) -> dict[str, int]:
    """parallel.tsv and mono.tsv, both sides of the same rows; returns rows by licence."""
    counts = dict.fromkeys(LICENCES, 0)
    sentences: dict[tuple[str, str], None] = {}
    with (work / "parallel.tsv").open("w", encoding="utf-8", newline="\n") as parallel:
        for source, language, english, translation in rows_of(corpus):
            counts[next(name for name in LICENCES if source.startswith(name))] += 1
            parallel.write(f"{language}\t{english}\t{translation}\n")
            sentences |= {("en", english): None, (language, translation): None}
    with (work / "mono.tsv").open("w", encoding="utf-8", newline="\n") as mono:
        mono.writelines(f"{language}\t{text}\n" for language, text in sentences)
    with gzip.open(corpus / "dev.tsv.gz", "rt", encoding="utf-8") as rows:
        kept = [row for row in rows if row.split("\t")[0] in LANGUAGES]
    (work / "dev.tsv").write_text("".join(kept), encoding="utf-8", newline="\n")
    return counts


def vocabulary_texts(work: Path) -> Iterator[str]:
    """Sentences, cut where the tokenizer cuts: at ideographs, punctuation and digits."""
    for line in (work / "mono.tsv").open(encoding="utf-8"):
        words = line.rstrip("\n").split("\t")[1].split()
        yield " ".join(CUT.join(word[a:b] for a, b in cut_piece(word)) for word in words)


def train_vocabulary(work: Path) -> ErnieMTokenizer:
    """Write the tokenizer's files: SentencePiece (unigram), special tokens, placeholders."""
    out, model = work / "tokenizer", io.BytesIO()
    out.mkdir(exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=vocabulary_texts(work),
        model_writer=model,
        model_type="unigram",
        vocab_size=PIECES,
        character_coverage=0.9998,
        pretokenization_delimiter=CUT,
        num_threads=1,
        minloglevel=1,
    )
    (out / "sentencepiece.bpe.model").write_bytes(model.getvalue())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    ordinary = [pieces.id_to_piece(i) for i in range(3, pieces.get_piece_size())]  # 0-2: <unk> ...
    masks = [f"[MASK:{language}]" for language in ("en", *LANGUAGES)]
    lines = "\n".join([*SPECIALS, *ordinary, *masks, "[MASK]"]) + "\n"
    (out / "vocab.txt").write_text(lines, encoding="utf-8", newline="\n")
    names = {f"{t.strip('[]').lower()}_token": t for t in (*SPECIALS, "[MASK]")}
    inputs = {"model_input_names": ["input_ids", "attention_mask"]}
    settings = {"tokenizer_class": "ErnieMTokenizer", **inputs, "model_max_length": 512}
    write_json(out / "special_tokens_map.json", names)
    write_json(out / "tokenizer_config.json", {**settings, "do_lower_case": False, **names})
    return ErnieMTokenizer.from_pretrained(out)


def write_json(path: Path, values: dict) -> None:
    """Write a JSON file as the other files of a checkpoint are written."""
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8", newline="\n")


def pretrain(work: Path, tokenizer: ErnieMTokenizer, recipe: Recipe) -> Path:
    """Run the stages, each from the weights of the one before; returns the last one's folder."""
    pairs, mono = read_corpora(
        work / "parallel.tsv", work / "mono.tsv", tokenizer, recipe.max_length
    )
    config = ErnieMConfig(vocab_size=len(tokenizer), **SIZES)
    model = ErnieMForMaskedLM(config, seed=recipe.seed)
    for n, stage in enumerate(recipe.stages):
        out, seed = stage_folder(work, n), recipe.seed + n
        training = TrainingConfig(
            steps=stage.steps,
            batch_size=recipe.batch_size,
            learning_rate=stage.learning_rate,
            warmup=0.05,
            betas=(0.9, 0.98),
            seed=seed,
            threads=recipe.threads,
            save_every=500,
        )
        pretraining = Pretraining(
            pairs,
            mono,
            special_tokens(tokenizer),
            stage.phases,
            training,
            recipe.mask_probability,
        )
        setup = TrainingSetup(training, trainable(model), tokenizer, pretraining.loss_and_grad)
        setup.train(out, report=say)
        model = ErnieMForMaskedLM.from_pretrained(out)
    return out


def stage_folder(work: Path, n: int) -> Path:
    """Where stage n, counted from 0, leaves its checkpoint."""
    return work / f"stage{n + 1}"


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def fine_tune(work: Path, folder: Path, recipe: Recipe) -> Path:
    """`retrieve` on the same pairs; returns the folder of the last step: dev.tsv chooses none."""
    files = [
        [line.split("\t") for line in (work / name).read_text("utf-8").splitlines()]
        for name in ("parallel.tsv", "dev.tsv")
    ]
    training = TrainingConfig(
        steps=recipe.retrieve_steps,
        batch_size=recipe.retrieve_batch_size,
        learning_rate=recipe.retrieve_learning_rate,
        warmup=0.05,
        seed=recipe.seed,
        threads=recipe.threads,
    )
    setup = retrieval_setup(
        *files,
        training,
        model=folder,
        max_length=recipe.retrieve_max_length,
        temperature=recipe.temperature,
    )
    setup.model.config.hidden_dropout_prob = recipe.retrieve_dropout
    setup.train(work / "retrieve", report=say)
    return work / "retrieve"


def measure(folder: Path, work: Path) -> dict[str, float]:
    """P@1 on dev.tsv of a folder's encoder."""
    tokenizer = ErnieMTokenizer.from_pretrained(folder)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*tensors not used: (lm_head|pooler).*")
        model = ErnieMModel.from_pretrained(folder, add_pooling_layer=False)
    rows = [line.split("\t") for line in (work / "dev.tsv").read_text("utf-8").splitlines()]
    sides = [tokenizer([row[n] for row in rows])["input_ids"] for n in (1, 2)]
    pairs = [(row[0], a, b) for row, a, b in zip(rows, *sides, strict=True)]
    found = retrieval_scores(model, pairs)
    print(found, flush=True)
    return found


def ship(work: Path, tuned: Path, out: Path, recipe: Recipe) -> None:
    """Put the fine-tuned encoder in its folder, float16 on disk, with a model card."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*drawn at random.*pooler.*")
        model = ErnieMModel.from_pretrained(tuned)
    halves = {name: value.astype(np.float16) for name, value in flatten(model.weights).items()}
    write_folder(out, halves)
    model.config.architectures = ["ErnieMModel"]
    model.config.hidden_dropout_prob = 0.1  # for whoever fine-tunes it on a little data
    model.config.attention_probs_dropout_prob = 0.1
    model.config.save_pretrained(out)
    write_sentence_settings(out, SentenceSettings(pooling="mean"))
    for file in (work / "tokenizer").iterdir():
        (out / file.name).write_bytes(file.read_bytes())
    size = sum(file.stat().st_size for file in out.iterdir() if file.is_file()) / 1e6
    facts = {**asdict(recipe), **model.config.to_dict(), "size": size, "pieces": PIECES}
    shipped = measure(out, work)["P@1"]
    text = tiny_card.text(work, LICENCES, LANGUAGES, recipe.stages, {**facts, "shipped": shipped})
    (out / "README.md").write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    """Make the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--out", type=Path, help="put the finished checkpoint in this folder")
    options = parser.parse_args()
    work, recipe, started = options.work, Recipe(), time.monotonic()
    work.mkdir(parents=True, exist_ok=True)

    def note(text: str) -> None:
        say(f"{time.monotonic() - started:6.0f} s  {text}")

    if not (work / "tokenizer" / "vocab.txt").is_file():
        write_json(work / "rows.json", write_corpus(options.corpus, work))
        train_vocabulary(work)
    tokenizer = ErnieMTokenizer.from_pretrained(work / "tokenizer")
    note(f"rows {(work / 'rows.json').read_text()}vocabulary of {len(tokenizer)}")
    pretrained = pretrain(work, tokenizer, recipe)
    note("pre-trained")
    write_json(work / "pretrained.json", measure(pretrained, work))
    tuned = fine_tune(work, pretrained, recipe)
    note("fine-tuned")
    write_json(work / "retrieve.json", measure(tuned, work))
    if options.out:
        ship(work, tuned, options.out, recipe)


if __name__ == "__main__":
    main()
