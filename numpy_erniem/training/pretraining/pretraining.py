"""Pretraining: the objective and the batch of each step, its loss and its gradients."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral

import numpy as np

from numpy_erniem.checks import nearest
from numpy_erniem.encoder import encode
from numpy_erniem.heads import lm_logits
from numpy_erniem.models import ErnieMForMaskedLM
from numpy_erniem.models.inputs import prepare_inputs
from numpy_erniem.models.schema import ENCODER
from numpy_erniem.training.batches import Batches
from numpy_erniem.training.gradient_tree import Gradients
from numpy_erniem.training.pretraining.corpus import ENGLISH, Corpus
from numpy_erniem.training.pretraining.masking import (
    MASK_PROBABILITY,
    MaskedBatch,
    Sentences,
    SpecialTokens,
    build_batch,
)
from numpy_erniem.training.pretraining.objectives import (
    OBJECTIVES,
    PARALLEL,
    add_placeholders,
    fill_placeholders,
)
from numpy_erniem.training.training_config import TrainingConfig
from numpy_erniem.training.value_and_grad import value_and_grad


@dataclass(frozen=True)
class Phase:
    """Steps with the same objectives.

    Parameters
    ----------
    steps : int
        At least 1.
    objectives : tuple of str
        Each step draws one of them; one that is named twice is drawn twice as often.

    Raises
    ------
    ValueError
        Steps that are no whole number of at least 1, no objective, or one that is unknown.
    """

    steps: int
    objectives: tuple[str, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.steps, Integral) or self.steps < 1:
            raise ValueError(f"steps is {self.steps!r}, not a whole number of at least 1")
        if isinstance(self.objectives, str) or not self.objectives:
            raise ValueError(f"objectives is {self.objectives!r}, not a tuple of names")
        for name in self.objectives:
            if name not in OBJECTIVES:
                raise ValueError(f"{name!r} is no objective{nearest(str(name), list(OBJECTIVES))}")

    @classmethod
    def parse(cls, text: str) -> "Phase":
        """Read "6000:camlm,tlm".

        Raises
        ------
        ValueError
            The text is not of that form, or an objective is unknown.

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


@dataclass
class Pretraining:
    """The batches of pre-training; `loss_and_grad` is what a `Trainer` needs.

    The seed and the step alone decide the objective, the sentences and the masked tokens.

    Parameters
    ----------
    pairs, sentences : Corpus or None
        The data of TLM and CAMLM, and that of MMLM and BTMLM; None if no phase needs it.
    special : SpecialTokens
    phases : tuple of Phase
        One after the other.
    config : TrainingConfig
        Its steps are those of all phases together.
    mask_probability : float
        Of each ordinary token, in (0, 1).

    Raises
    ------
    ValueError
        A phase needs data that is missing, or an argument is out of its range.
    """

    pairs: Corpus | None
    sentences: Corpus | None
    special: SpecialTokens
    phases: tuple[Phase, ...]
    config: TrainingConfig
    mask_probability: float = MASK_PROBABILITY
    _batches: dict[str, Batches] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        needed = {name for phase in self.phases for name in phase.objectives}
        for names, corpus, file in (
            (needed & set(PARALLEL), self.pairs, "pairs: give --parallel"),
            (needed - set(PARALLEL), self.sentences, "sentences: give --mono"),
        ):
            if names and corpus is None:
                verb = "need" if len(names) > 1 else "needs"
                raise ValueError(f"{', '.join(sorted(names))} {verb} {file}")
        if not 0 < self.mask_probability < 1:
            raise ValueError(f"mask_probability {self.mask_probability} is not in (0, 1)")
        steps = sum(phase.steps for phase in self.phases)
        if steps != self.config.steps:
            raise ValueError(f"the phases have {steps} steps, the config {self.config.steps}")
        corpora = {"pairs": self.pairs, "sentences": self.sentences}
        self._batches = {
            name: Batches(corpus.lengths(), self.config.batch_size, [self.config.seed, n])
            for n, (name, corpus) in enumerate(corpora.items())
            if corpus is not None
        }
        names = (self.pairs or self.sentences).languages
        self._languages = sorted({name for pair in names for name in pair})

    def objective(self, step: int, rng: np.random.Generator) -> str:
        """The name of the objective of a step, counted from 0."""
        for phase in self.phases:
            if step < phase.steps:
                break
            step -= phase.steps
        return phase.objectives[rng.integers(len(phase.objectives))]

    def examples(self, objective: str, step: int) -> tuple[list, list[tuple[str, str]]]:
        """The sentences or pairs of a step, as token ids, and their languages."""
        name = "pairs" if objective in PARALLEL else "sentences"
        corpus, chosen = getattr(self, name), self._batches[name][step]
        return [corpus.sentences[n] for n in chosen], [corpus.languages[n] for n in chosen]

    def masked_batch(
        self, model: ErnieMForMaskedLM, step: int, rng: np.random.Generator
    ) -> MaskedBatch:
        """The batch of a step.

        Parameters
        ----------
        model : ErnieMForMaskedLM
            BTMLM asks it for pseudo tokens; the other objectives do not use it.
        step : int
            Counted from 0.
        rng : Generator

        Returns
        -------
        MaskedBatch
        """
        name = self.objective(step, rng)
        sentences, languages = self.examples(name, step)
        if name == "btmlm":
            batch = self._back_translate(model, [x for x, _ in sentences], languages, rng)
        else:
            batch = build_batch(sentences, languages, self.special)
        return OBJECTIVES[name](batch, self.special, rng, self.mask_probability)

    def _back_translate(
        self,
        model: ErnieMForMaskedLM,
        sentences: list[Sequence[int]],
        languages: list[tuple[str, str]],
        rng: np.random.Generator,
    ) -> Sentences:
        """BTMLM, step 1: the sentences with pseudo tokens of the model as their translations.

        The language is drawn: English for half of the sentences in another language, any language
        for the rest. A translation has as many tokens as its sentence. (Both are ours: the paper
        does not say.)
        """
        own = [language for language, _ in languages]
        into = [
            ENGLISH
            if name != ENGLISH and rng.random() < 0.5
            else self._languages[rng.integers(len(self._languages))]
            for name in own
        ]
        lengths = [len(x) for x in sentences]
        pairs, batch = add_placeholders(sentences, own, into, lengths, self.special)
        ids = predict_masked(model, batch, self.special.words)
        return fill_placeholders(pairs, ids, self.special)

    def loss_and_grad(
        self, model: ErnieMForMaskedLM, step: int, rng: np.random.Generator
    ) -> tuple[float, Gradients]:
        """The loss of a step, and its gradient by every weight.

        Parameters
        ----------
        model : ErnieMForMaskedLM
        step : int
            Counted from 0.
        rng : Generator
            For objective, masks and dropout.

        Returns
        -------
        loss : float
        gradients : nested dict like model.weights
        """
        return value_and_grad(
            model,
            self.masked_batch(model, step, rng).arguments(model.config),
            rng=rng,
            threads=self.config.threads,
            gradient_checkpointing=self.config.gradient_checkpointing,
            precision=self.config.precision,
        )


def masked_logits(model: ErnieMForMaskedLM, batch: MaskedBatch) -> np.ndarray:
    """The scores of the vocabulary for the n masked tokens of a batch, in order: (n, V)."""
    arguments = batch.arguments(model.config)
    del arguments["labels"]
    inputs = prepare_inputs(model.config, model.dtype, **arguments)
    encoder = model.weights[ENCODER]
    x = encode(inputs, encoder, model.config).last_hidden_state[0]  # (1, N) -> (N, D)
    table = encoder["embeddings"]["word_embeddings"]
    head, eps = model.weights["lm_head"], model.config.layer_norm_eps
    masked = batch.masked[batch.real]  # (B, T) -> (N,), as the tokens are packed
    return lm_logits(x[masked], head, table, eps)  # (n, D) -> (n, V)


def predict_masked(
    model: ErnieMForMaskedLM, batch: MaskedBatch, words: tuple[int, int]
) -> np.ndarray:
    """The most likely token at each masked position; no gradients are computed.

    Parameters
    ----------
    model : ErnieMForMaskedLM
    batch : MaskedBatch
    words : (int, int)
        The first id that may be predicted, and one after the last.

    Returns
    -------
    (B, T) integer array
        The ids of the batch, with the predictions where a token is masked.
    """
    filled = batch.ids.copy()
    logits = masked_logits(model, batch)[:, slice(*words)]
    filled[batch.masked] = words[0] + logits.argmax(axis=1)
    return filled
