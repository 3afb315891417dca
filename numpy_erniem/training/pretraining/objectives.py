"""The objectives of ERNIE-M: what a masked token may attend to.

==========  ============  ======================================================================
objective   data          a masked token attends to
==========  ============  ======================================================================
MMLM        monolingual   all tokens of its own sentence
TLM         parallel      all tokens of both sentences
CAMLM       parallel      unmasked tokens of the other sentence, masked tokens of its own
BTMLM 1     monolingual   all tokens of the sentence, and all placeholders appended to it
BTMLM 2     + pseudo      all tokens: the sentence, and the pseudo tokens from step 1
==========  ============  ======================================================================

In CAMLM and BTMLM 1 an unmasked token attends to the unmasked tokens of its own sentence only. If
it attended to more, the context of a masked token would reach that token from the second layer on.
(This rule is ours: the figure of the paper does not show what unmasked tokens attend to.)

Shapes: B batch, T tokens.

References
----------
Ouyang et al., "ERNIE-M", arXiv:2012.15674, section 3 and figures 2 to 4.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from numpy_erniem.losses import IGNORED
from numpy_erniem.training.pretraining.attention_masks import (
    both_sentences_mask,
    other_sentence_mask,
    own_sentence_mask,
)
from numpy_erniem.training.pretraining.masking import (
    Ids,
    MaskedBatch,
    Sentences,
    SpecialTokens,
    build_batch,
    mask_tokens,
    sample_mask,
)


def mmlm(
    sentences: Sentences, special: SpecialTokens, rng: np.random.Generator, mask_probability: float
) -> MaskedBatch:
    """Multilingual masked language modeling, on single sentences.

    Parameters
    ----------
    sentences : Sentences
    special : SpecialTokens
    rng : Generator
        Draws the masked tokens and what replaces them.
    mask_probability : float
        Of each ordinary token, in (0, 1).

    Returns
    -------
    MaskedBatch
    """
    masked = sample_mask(sentences, mask_probability, rng)
    return mask_tokens(sentences, masked, own_sentence_mask(sentences), special, rng)


def tlm(
    sentences: Sentences, special: SpecialTokens, rng: np.random.Generator, mask_probability: float
) -> MaskedBatch:
    """Translation language modeling, on pairs.

    Parameters
    ----------
    sentences, special, rng, mask_probability
        As of `mmlm`.

    Returns
    -------
    MaskedBatch
    """
    masked = sample_mask(sentences, mask_probability, rng)
    return mask_tokens(sentences, masked, both_sentences_mask(sentences), special, rng)


def camlm(
    sentences: Sentences, special: SpecialTokens, rng: np.random.Generator, mask_probability: float
) -> MaskedBatch:
    """Cross-attention masked language modeling, on pairs: a token from the translation alone.

    A token that is drawn counts as masked for attention, whatever replaces it. The mask token is
    the placeholder of the language (ours), because nothing else that a masked token attends to
    tells which language is asked for.

    Parameters
    ----------
    sentences, special, rng, mask_probability
        As of `mmlm`.

    Returns
    -------
    MaskedBatch
    """
    masked = sample_mask(sentences, mask_probability, rng)
    attention_mask = other_sentence_mask(sentences, masked)
    return mask_tokens(sentences, masked, attention_mask, special, rng, sentences.placeholder)


def btmlm(
    sentences: Sentences, special: SpecialTokens, rng: np.random.Generator, mask_probability: float
) -> MaskedBatch:
    """Back-translation masked language modeling, step 2: tokens of x, beside pseudo tokens.

    Parameters
    ----------
    sentences : Sentences
        From `fill_placeholders`.
    special, rng, mask_probability
        As of `mmlm`.

    Returns
    -------
    MaskedBatch
    """
    masked = sample_mask(sentences, mask_probability, rng)
    return mask_tokens(sentences, masked, both_sentences_mask(sentences), special, rng)


def add_placeholders(
    sentences: Sequence[Ids],
    languages: Sequence[str],
    into: Sequence[str],
    lengths: Sequence[int],
    special: SpecialTokens,
) -> tuple[Sentences, MaskedBatch]:
    """BTMLM, step 1: append placeholders for a translation to each sentence.

    The model predicts all placeholders at once.

    Parameters
    ----------
    sentences : sequence of sequences of int
        Token ids without special tokens.
    languages : sequence of str
        The languages of the sentences.
    into : sequence of str
        The languages of the translations.
    lengths : sequence of int
        How many placeholders each sentence gets.
    special : SpecialTokens

    Returns
    -------
    pairs : Sentences
        The sentences with their placeholders.
    batch : MaskedBatch
        The placeholders are masked; there are no labels, since step 1 has no loss.
    """
    tokens = [special.placeholder(name) for name in into]
    empty = [[token] * n for token, n in zip(tokens, lengths, strict=True)]
    both = list(zip(languages, into, strict=True))
    pairs = build_batch(list(zip(sentences, empty, strict=True)), both, special)
    masked = _second_sentence(pairs, special)
    labels = np.full(pairs.ids.shape, IGNORED)
    return pairs, MaskedBatch(pairs.ids, labels, masked, other_sentence_mask(pairs, masked))


def fill_placeholders(pairs: Sentences, ids: np.ndarray, special: SpecialTokens) -> Sentences:
    """Put predicted tokens in place of the placeholders.

    Parameters
    ----------
    pairs : Sentences
        From `add_placeholders`.
    ids : (B, T) integer array
        Read at the placeholders only.
    special : SpecialTokens

    Returns
    -------
    Sentences
        The pseudo tokens do not count as words: the model attends to them, but they are never
        masked or predicted.
    """
    filled = np.where(_second_sentence(pairs, special), ids, pairs.ids)
    return replace(pairs, ids=filled, word=pairs.word & (pairs.side == 0))


def _second_sentence(pairs: Sentences, special: SpecialTokens) -> np.ndarray:
    """The tokens of y, without [SEP]: (B, T) bools."""
    return (pairs.side == 1) & (pairs.ids != special.sep)


Objective = Callable[[Sentences, SpecialTokens, np.random.Generator, float], MaskedBatch]
OBJECTIVES: dict[str, Objective] = {"mmlm": mmlm, "tlm": tlm, "camlm": camlm, "btmlm": btmlm}
PARALLEL = ("tlm", "camlm")  # need pairs; the others need single sentences
