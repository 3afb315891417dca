"""Pre-training: parallel and monolingual text, the four objectives in turn, one masked-LM head."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem import heads
from numpy_erniem.models import ErnieMForMaskedLM
from numpy_erniem.models.inputs import prepare_inputs
from numpy_erniem.models.weights import PREFIX
from numpy_erniem.tokenizer import ErnieMTokenizer
from numpy_erniem.training.batches import Batches
from numpy_erniem.training.data_files import read_monolingual, read_pairs
from numpy_erniem.training.gradient_tree import Gradients
from numpy_erniem.training.layers import encode
from numpy_erniem.training.pretraining import objectives
from numpy_erniem.training.pretraining.objectives import (
    OBJECTIVES,
    PARALLEL,
    Masked,
    Sentences,
    Special,
)
from numpy_erniem.training.value_and_grad import value_and_grad

ENGLISH = "en"


@dataclass
class Corpus:
    """Token ids of sentences or pairs, with their languages: (x, None) or (x, y)."""

    sentences: list[tuple[Sequence[int], Sequence[int] | None]]
    languages: list[tuple[str, str]]

    def lengths(self) -> list[int]:
        """Tokens of each example, without the special ones."""
        return [len(x) + (len(y) if y else 0) for x, y in self.sentences]


@dataclass(frozen=True)
class Phase:
    """Steps in which the objectives are drawn with equal chances, or as often as they are named."""

    steps: int
    objectives: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Phase":
        """Read "6000:camlm,tlm".

        Examples
        --------
        >>> Phase.parse("6000:camlm,tlm")
        Phase(steps=6000, objectives=('camlm', 'tlm'))
        """
        steps, _, names = text.partition(":")
        chosen = tuple(name.strip() for name in names.split(","))
        wrong = [name for name in chosen if name not in OBJECTIVES]
        if not steps.isdecimal() or not int(steps) or wrong:
            raise ValueError(
                f"phase {text!r} is not STEPS:OBJECTIVE,... with objectives of "
                f"{', '.join(OBJECTIVES)}"
            )
        return cls(int(steps), chosen)


def special_tokens(tokenizer: ErnieMTokenizer) -> Special:
    """The ids that the objectives need; placeholders are tokens named "[MASK:de]"."""
    vocabulary = tokenizer.get_vocab()
    languages = {token[6:-1]: n for token, n in vocabulary.items() if token.startswith("[MASK:")}
    ends = [n for n in (*languages.values(), tokenizer.mask_token_id) if n > tokenizer.unk_token_id]
    return Special(
        cls=tokenizer.cls_token_id,
        pad=tokenizer.pad_token_id,
        sep=tokenizer.sep_token_id,
        mask=tokenizer.mask_token_id,
        words=(tokenizer.unk_token_id + 1, min(ends)),
        languages=languages,
    )


def read_corpora(
    parallel: str | os.PathLike | None,
    mono: str | os.PathLike | None,
    tokenizer: ErnieMTokenizer,
    longest: int,
) -> tuple[Corpus | None, Corpus | None]:
    """Token ids of both files; what has more than `longest` tokens a sentence is left out.

    A pair without a language, and the source of any pair, counts as English.
    """
    pairs = monos = None
    if parallel is not None:
        rows = read_pairs(parallel)
        x = _ids([source for _, source, _ in rows], tokenizer)
        y = _ids([target for *_, target in rows], tokenizer)
        names = [(ENGLISH, language or ENGLISH) for language, *_ in rows]
        pairs = _of_length(Corpus(list(zip(x, y, strict=True)), names), longest, parallel)
    if mono is not None:
        rows = read_monolingual(mono)
        x = _ids([text for _, text in rows], tokenizer)
        monos = Corpus([(ids, None) for ids in x], [(language, language) for language, _ in rows])
        monos = _of_length(monos, longest, mono)
    return pairs, monos


def _ids(texts: list[str], tokenizer: ErnieMTokenizer) -> list[list[int]]:
    return tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)[
        "input_ids"
    ]


def _of_length(corpus: Corpus, longest: int, source: Any) -> Corpus:
    kept = [
        n
        for n, (x, y) in enumerate(corpus.sentences)
        if 0 < len(x) <= longest and (y is None or 0 < len(y) <= longest)
    ]
    if not kept:
        raise ValueError(f"{source} has no example of 1 to {longest} tokens a sentence")
    if len(kept) < len(corpus.sentences):
        warnings.warn(
            f"{source}: {len(corpus.sentences) - len(kept)} of {len(corpus.sentences)} examples "
            f"have no token, or more than {longest} a sentence, and are left out",
            stacklevel=3,
        )
    return Corpus([corpus.sentences[n] for n in kept], [corpus.languages[n] for n in kept])


@dataclass
class Pretraining:
    """What a step of pre-training is: which objective, which sentences, masked how.

    Everything is drawn from the seed and the number of the step. `grade` fits `Trainer`.
    """

    pairs: Corpus | None
    mono: Corpus | None
    special: Special
    phases: tuple[Phase, ...]
    batch: int
    seed: int
    share: float = objectives.MASKED_SHARE
    threads: int = 1
    recompute: bool = False
    _batches: dict[str, Batches] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        needed = {name for phase in self.phases for name in phase.objectives}
        for names, corpus, file in (
            (needed & set(PARALLEL), self.pairs, "--parallel"),
            (needed - set(PARALLEL), self.mono, "--mono"),
        ):
            if names and corpus is None:
                raise ValueError(f"{', '.join(sorted(names))} needs a file: give {file}")
        if not 0 < self.share < 1:
            raise ValueError(f"the masked share {self.share} is not in (0, 1)")
        self._batches = {
            name: Batches(corpus.lengths(), self.batch, [self.seed, n])
            for n, (name, corpus) in enumerate((("pairs", self.pairs), ("mono", self.mono)))
            if corpus is not None
        }
        self._names = sorted({n for pair in (self.pairs or self.mono).languages for n in pair})

    def objective(self, step: int, rng: np.random.Generator) -> str:
        """The name of the objective of a step."""
        for phase in self.phases:
            if step < phase.steps:
                break
            step -= phase.steps
        return phase.objectives[rng.integers(len(phase.objectives))]

    def masked(self, model: ErnieMForMaskedLM, step: int, rng: np.random.Generator) -> Masked:
        """The batch of a step. The model is asked only by BTMLM, for its pseudo tokens."""
        name = self.objective(step, rng)
        corpus, kind = (self.pairs, "pairs") if name in PARALLEL else (self.mono, "mono")
        chosen = self._batches[kind][step]
        sentences = [corpus.sentences[n] for n in chosen]
        languages = [corpus.languages[n] for n in chosen]
        if name == "btmlm":
            framed = self._back_translated(model, [x for x, _ in sentences], languages, rng)
        else:
            framed = objectives.frame(sentences, languages, self.special)
        return OBJECTIVES[name](framed, self.special, rng, self.share)

    def _back_translated(
        self,
        model: ErnieMForMaskedLM,
        sentences: list[Sequence[int]],
        languages: list[tuple[str, str]],
        rng: np.random.Generator,
    ) -> Sentences:
        """BTMLM, step 1: sentences beside what the model takes for their translations.

        The language is drawn (English for half of the others), and the translation gets as many
        tokens as the sentence (ours: the paper's text does not say).
        """
        own = [language for language, _ in languages]
        into = [
            ENGLISH
            if name != ENGLISH and rng.random() < 0.5
            else self._names[rng.integers(len(self._names))]
            for name in own
        ]
        lengths = [len(x) for x in sentences]
        pairs, given = objectives.placeholders(sentences, own, into, lengths, self.special)
        words = predict(model, given, threads=self.threads, words=self.special.words)
        return objectives.with_pseudo(pairs, words, self.special)

    def grade(
        self, model: ErnieMForMaskedLM, step: int, rng: np.random.Generator
    ) -> tuple[float, Gradients]:
        """Loss and gradients of a step."""
        batch = self.masked(model, step, rng).batch()
        return value_and_grad(
            model, batch, rng=rng, threads=self.threads, gradient_checkpointing=self.recompute
        )


def predict(
    model: ErnieMForMaskedLM, given: Masked, *, threads: int = 1, words: tuple[int, int]
) -> np.ndarray:
    """The likeliest word for every placeholder, (B, T); elsewhere the ids that are there.

    words bounds the ids that can come out. Nothing is differentiated.
    """
    inputs = prepare_inputs(
        model.config, model.dtype, input_ids=given.ids, attention_mask=given.visible
    )
    encoder = model.weights[PREFIX[:-1]]
    x, _ = encode(inputs, encoder, model.config, gradient_checkpointing=True, threads=threads)
    table = encoder["embeddings"]["word_embeddings"]["weight"]
    scores = heads.lm_logits(
        x[given.masked], model.weights["lm_head"], table, model.config.layer_norm_eps
    )  # (N, D) -> (N, V)
    filled = given.ids.copy()
    filled[given.masked] = words[0] + scores[:, slice(*words)].argmax(axis=1)
    return filled


def save_all(out: Path, tokenizer: ErnieMTokenizer) -> Any:
    """A function that saves a model and its tokenizer in a folder."""

    def save(model: ErnieMForMaskedLM) -> None:
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)

    return save
