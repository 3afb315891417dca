"""Three ways to tell CAMLM the language of a masked token: an experiment.

placeholder  the mask token is that of the language, [MASK:de], as in the package
token        a language token begins each sentence, the mask token is [MASK]
none         the mask token is [MASK]; the model has to guess the language

All three use the same vocabulary: tokens such as [MASK:de] serve as language tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from numpy_erniem.training.pretraining import (
    OBJECTIVES,
    MaskedBatch,
    Pretraining,
    SpecialTokens,
    build_batch,
)
from numpy_erniem.training.pretraining.attention_masks import other_sentence_mask
from numpy_erniem.training.pretraining.masking import Ids, mask_tokens, sample_mask
from numpy_erniem.training.pretraining.objectives import camlm

Pairs = Sequence[tuple[Ids, Ids]]
Names = Sequence[tuple[str, str]]


def by_placeholder(
    pairs: Pairs,
    names: Names,
    special: SpecialTokens,
    rng: np.random.Generator,
    mask_probability: float,
) -> MaskedBatch:
    """CAMLM as it is in the package."""
    return camlm(build_batch(pairs, names, special), special, rng, mask_probability)


def by_token(
    pairs: Pairs,
    names: Names,
    special: SpecialTokens,
    rng: np.random.Generator,
    mask_probability: float,
) -> MaskedBatch:
    """[CLS] [en] x [SEP] [SEP] [de] y [SEP], with plain [MASK].

    For attention a language token counts as masked: the masked tokens of its sentence attend to it,
    and nothing of their own sentence reaches them through it. It is never predicted.
    """
    marks = special.languages
    told = [([marks[a], *x], [marks[b], *y]) for (x, y), (a, b) in zip(pairs, names, strict=True)]
    s = build_batch(told, names, replace(special, languages={}))
    masked = sample_mask(s, mask_probability, rng)  # language tokens are no words: never drawn
    attention_mask = other_sentence_mask(s, masked | np.isin(s.ids, list(marks.values())))
    return mask_tokens(s, masked, attention_mask, special, rng)


def by_nothing(
    pairs: Pairs,
    names: Names,
    special: SpecialTokens,
    rng: np.random.Generator,
    mask_probability: float,
) -> MaskedBatch:
    """CAMLM with the same mask token for all languages."""
    return by_placeholder(pairs, names, replace(special, languages={}), rng, mask_probability)


Mark = Callable[..., MaskedBatch]
MARKS: dict[str, Mark] = {"placeholder": by_placeholder, "token": by_token, "none": by_nothing}


def masked_by(
    name: str,
    mark: Mark,
    sentences: Sequence,
    names: Names,
    special: SpecialTokens,
    rng: np.random.Generator,
    mask_probability: float,
) -> MaskedBatch:
    """The batch of an objective; that of CAMLM is made by `mark`."""
    if name == "camlm":
        return mark(sentences, names, special, rng, mask_probability)
    return OBJECTIVES[name](build_batch(sentences, names, special), special, rng, mask_probability)


@dataclass
class MarkedPretraining(Pretraining):
    """Pre-training on pairs in which `mark` makes the batches of CAMLM."""

    mark: Mark = by_placeholder

    def masked_batch(self, model: Any, step: int, rng: np.random.Generator) -> MaskedBatch:
        """The batch of a step; with the package's own mark it is the package's."""
        if self.mark is by_placeholder:
            return super().masked_batch(model, step, rng)
        name = self.objective(step, rng)
        pairs, names = self.examples(name, step)
        return masked_by(name, self.mark, pairs, names, self.special, rng, self.mask_probability)
