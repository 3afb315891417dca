"""How ERNIE-M learns: what is masked, and what a masked token may see.

==========  ============  ======================================================================
objective   data          a masked token attends to
==========  ============  ======================================================================
MMLM        monolingual   everything in its own sentence
TLM         parallel      everything in both sentences
CAMLM       parallel      unmasked tokens of the other sentence, masked ones of its own
BTMLM 1     monolingual   the whole sentence, and all placeholders appended to it
BTMLM 2     + pseudo      everything: the words, and the pseudo tokens that step 1 put in place
==========  ============  ======================================================================

An unmasked token in CAMLM and BTMLM 1 sees the unmasked tokens of its own sentence: through
anything else, the context of a masked word would leak to it from the second layer on. (Ours: the
paper's figure does not draw it.)

Layout: [CLS] x [SEP] [SEP] y [SEP]. Shapes: B batch, T tokens.

References
----------
Ouyang et al., "ERNIE-M", arXiv:2012.15674, section 3 and figures 2 to 4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from numpy_erniem.losses import IGNORED

MASKED_SHARE = 0.15
MASK_TOKEN, RANDOM_TOKEN = 0.8, 0.1  # of the masked tokens; the others keep their word


@dataclass(frozen=True)
class Special:
    """Ids of the special tokens, and where ordinary words begin and end."""

    cls: int
    pad: int
    sep: int
    mask: int
    words: tuple[int, int]  # first, and one after the last
    languages: dict[str, int]  # a placeholder of each language; empty: `mask` for all


@dataclass(frozen=True)
class Sentences:
    """A batch of sentences, or of pairs of a sentence and its translation.

    ids (B, T); side (B, T): 0 for [CLS] x [SEP], 1 for [SEP] y [SEP], -1 for padding; placeholder
    (B, T): the mask token of each token's language; word (B, T): whether it is a word at all.
    """

    ids: np.ndarray
    side: np.ndarray
    placeholder: np.ndarray
    word: np.ndarray


@dataclass(frozen=True)
class Masked:
    """What a masked language model is given: ids, labels and masked (B, T), visible (B, T, T)."""

    ids: np.ndarray
    labels: np.ndarray
    masked: np.ndarray
    visible: np.ndarray

    def batch(self) -> dict[str, np.ndarray]:
        """The arguments of `ErnieMForMaskedLM`."""
        return {"input_ids": self.ids, "attention_mask": self.visible, "labels": self.labels}


Ids = Sequence[int]


def frame(
    sentences: Sequence[tuple[Ids, Ids | None]], languages: Sequence[tuple[str, str]], s: Special
) -> Sentences:
    """Lay out x or (x, y) as [CLS] x [SEP] or [CLS] x [SEP] [SEP] y [SEP], padded."""
    rows = []
    for (x, y), names in zip(sentences, languages, strict=True):
        ids, side = [s.cls, *x, s.sep], [0] * (len(x) + 2)
        if y is not None:
            ids, side = [*ids, s.sep, *y, s.sep], side + [1] * (len(y) + 2)
        marks = [s.languages.get(name, s.mask) for name in names]
        rows.append((ids, side, [marks[n] for n in side]))
    T = max(len(ids) for ids, *_ in rows)
    padded = [
        np.array([row[n] + [fill] * (T - len(row[n])) for row in rows])
        for n, fill in enumerate((s.pad, -1, s.mask))
    ]
    ids, side, placeholder = padded
    return Sentences(ids, side, placeholder, (ids >= s.words[0]) & (ids < s.words[1]))


def choose(s: Sentences, share: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the tokens to be masked, a share of the words and at least one: (B, T) bools."""
    masked = (rng.random(s.ids.shape) < share) & s.word
    if not masked.any() and s.word.any():
        masked[tuple(np.argwhere(s.word)[0])] = True
    return masked


def hide(
    s: Sentences,
    masked: np.ndarray,
    visible: np.ndarray,
    special: Special,
    rng: np.random.Generator,
    placeholder: np.ndarray | None = None,
) -> Masked:
    """Put [MASK] for 80 % of the masked tokens, any word for 10 %, and leave 10 % as they are."""
    dice = rng.random(s.ids.shape)
    anything = rng.integers(*special.words, s.ids.shape)
    new = np.where(
        dice < MASK_TOKEN,
        special.mask if placeholder is None else placeholder,
        np.where(dice < MASK_TOKEN + RANDOM_TOKEN, anything, s.ids),
    )
    labels = np.where(masked, s.ids, IGNORED)
    return Masked(np.where(masked, new, s.ids), labels, masked, visible)


def sees_own_sentence(s: Sentences) -> np.ndarray:
    """MMLM: everything in its own sentence, (B, T, T); two packed ones do not see each other."""
    return (s.side[:, :, None] == s.side[:, None, :]) & (s.side >= 0)[:, None, :]


def sees_everything(s: Sentences) -> np.ndarray:
    """TLM and BTMLM 2: both sentences, (B, T, T); never the padding."""
    real = (s.side >= 0)[:, None, :]
    return np.repeat(real, s.ids.shape[1], axis=1)


def sees_across(s: Sentences, masked: np.ndarray) -> np.ndarray:
    """CAMLM and BTMLM 1, (B, T, T).

    From a masked token: the other sentence without its masked tokens, and the masked tokens of
    its own. From an unmasked one: the unmasked tokens of its own sentence.
    """
    own = sees_own_sentence(s)
    other = (s.side[:, :, None] == 1 - s.side[:, None, :]) & (s.side >= 0)[:, None, :]
    looks, is_masked = masked[:, :, None], masked[:, None, :]
    return np.where(looks, (other & ~is_masked) | (own & is_masked), own & ~is_masked)


def mmlm(s: Sentences, special: Special, rng: np.random.Generator, share: float) -> Masked:
    """Multilingual masked language model, on single sentences."""
    return hide(s, choose(s, share, rng), sees_own_sentence(s), special, rng)


def tlm(s: Sentences, special: Special, rng: np.random.Generator, share: float) -> Masked:
    """Translation language model, on pairs."""
    return hide(s, choose(s, share, rng), sees_everything(s), special, rng)


def camlm(s: Sentences, special: Special, rng: np.random.Generator, share: float) -> Masked:
    """Cross-attention masked language model, on pairs: a word from the translation alone.

    All chosen tokens count as masked for attention, whatever stands there. The mask token is the
    placeholder of the language (ours): which language is asked for, nothing else that a masked
    token sees would tell.
    """
    masked = choose(s, share, rng)
    return hide(s, masked, sees_across(s, masked), special, rng, s.placeholder)


def placeholders(
    sentences: Sequence[Ids],
    languages: Sequence[str],
    into: Sequence[str],
    lengths: Sequence[int],
    s: Special,
) -> tuple[Sentences, Masked]:
    """BTMLM, step 1: as many placeholders of the language `into` as the translation is to have.

    Returns the pairs with placeholders for y, and what the model is given; all placeholders are
    predicted at once. There are no labels: step 1 teaches nothing.
    """
    marks = [s.languages.get(name, s.mask) for name in into]
    empty = [[mark] * n for mark, n in zip(marks, lengths, strict=True)]
    both = list(zip(languages, into, strict=True))
    pairs = frame(list(zip(sentences, empty, strict=True)), both, s)
    ends = (pairs.ids == s.sep) | (pairs.ids == s.cls) | (pairs.side < 0)
    masked = (pairs.side == 1) & ~ends
    visible = sees_across(pairs, masked)
    return pairs, Masked(pairs.ids, np.full(pairs.ids.shape, IGNORED), masked, visible)


def with_pseudo(pairs: Sentences, words: np.ndarray, s: Special) -> Sentences:
    """The pairs with predicted words (B, T) in place of the placeholders.

    The pseudo tokens do not count as words: they are seen, never masked nor predicted.
    """
    ends = (pairs.ids == s.sep) | (pairs.ids == s.cls) | (pairs.side < 0)
    filled = (pairs.side == 1) & ~ends
    return replace(
        pairs, ids=np.where(filled, words, pairs.ids), word=pairs.word & (pairs.side == 0)
    )


def btmlm(s: Sentences, special: Special, rng: np.random.Generator, share: float) -> Masked:
    """BTMLM, step 2: words of x from the rest of x and the pseudo translation, all visible."""
    return hide(s, choose(s, share, rng), sees_everything(s), special, rng)


Objective = Callable[[Sentences, Special, np.random.Generator, float], Masked]
OBJECTIVES: dict[str, Objective] = {"mmlm": mmlm, "tlm": tlm, "camlm": camlm, "btmlm": btmlm}
PARALLEL = ("tlm", "camlm")
