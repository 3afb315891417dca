"""Three ways to tell CAMLM in which language a hidden word is asked for: an experiment.

placeholder  the mask itself is of its language, [MASK:de], as in the package
token        a language token begins each sentence, the masks are plain [MASK]
none         plain [MASK]; the model has to guess the language

All three use the same vocabulary: as language tokens serve the ids of [MASK:de] and its like.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from numpy_erniem.training.pretraining.objectives import (
    OBJECTIVES,
    Ids,
    Masked,
    Special,
    camlm,
    choose,
    frame,
    hide,
    sees_across,
)
from numpy_erniem.training.pretraining.pretraining import Pretraining

Pairs = Sequence[tuple[Ids, Ids]]
Names = Sequence[tuple[str, str]]


def by_placeholder(
    pairs: Pairs, names: Names, special: Special, rng: np.random.Generator, share: float
) -> Masked:
    """CAMLM as the package has it."""
    return camlm(frame(pairs, names, special), special, rng, share)


def by_token(
    pairs: Pairs, names: Names, special: Special, rng: np.random.Generator, share: float
) -> Masked:
    """[CLS] [en] x [SEP] [SEP] [de] y [SEP], with plain masks.

    For attention a language token counts as masked: the hidden words of its sentence see it, and
    nothing of their own words reaches them through it. It is never asked for.
    """
    marks = special.languages
    told = [([marks[a], *x], [marks[b], *y]) for (x, y), (a, b) in zip(pairs, names, strict=True)]
    s = frame(told, names, replace(special, languages={}))
    masked = choose(s, share, rng)  # a language token is no word, so it is never chosen
    visible = sees_across(s, masked | np.isin(s.ids, list(marks.values())))
    return hide(s, masked, visible, special, rng)


def by_nothing(
    pairs: Pairs, names: Names, special: Special, rng: np.random.Generator, share: float
) -> Masked:
    """CAMLM with the same mask for all languages."""
    return by_placeholder(pairs, names, replace(special, languages={}), rng, share)


Mark = Callable[..., Masked]
MARKS: dict[str, Mark] = {"placeholder": by_placeholder, "token": by_token, "none": by_nothing}


def hidden_words(
    name: str,
    mark: Mark,
    sentences: Sequence,
    names: Names,
    special: Special,
    rng: np.random.Generator,
    share: float,
) -> Masked:
    """The batch of an objective; that of CAMLM is made by `mark`."""
    if name == "camlm":
        return mark(sentences, names, special, rng, share)
    return OBJECTIVES[name](frame(sentences, names, special), special, rng, share)


@dataclass
class MarkedPretraining(Pretraining):
    """Pre-training on pairs in which `mark` makes the batches of CAMLM."""

    mark: Mark = by_placeholder

    def masked(self, model: Any, step: int, rng: np.random.Generator) -> Masked:
        """The batch of a step; with the package's own mark it is the package's."""
        if self.mark is by_placeholder:
            return super().masked(model, step, rng)
        name, chosen = self.objective(step, rng), self._batches["pairs"][step]
        pairs = [self.pairs.sentences[n] for n in chosen]
        names = [self.pairs.languages[n] for n in chosen]
        return hidden_words(name, self.mark, pairs, names, self.special, rng, self.share)
