"""Sentences as a batch, and the masking of its tokens.

Layout: [CLS] x [SEP] [SEP] y [SEP], as the tokenizer does it. Shapes: B batch, T tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from numpy_erniem.config import ErnieMConfig
from numpy_erniem.losses import IGNORED
from numpy_erniem.models.padding import batch_mask
from numpy_erniem.tokenizer.rows import pad_rows

MASK_PROBABILITY = 0.15
MASK_TOKEN, RANDOM_TOKEN = 0.8, 0.1  # shares of the masked tokens; the others stay as they are

Ids = Sequence[int]


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the special tokens, and the range of the ordinary ones.

    Parameters
    ----------
    cls, pad, sep, mask : int
    words : (int, int)
        The first ordinary token, and one after the last.
    languages : dict of str to int
        The placeholder token of each language, such as [MASK:de]; empty: `mask` for all.
    """

    cls: int
    pad: int
    sep: int
    mask: int
    words: tuple[int, int]
    languages: dict[str, int]

    def placeholder(self, language: str) -> int:
        """The mask token of a language."""
        return self.languages.get(language, self.mask)


@dataclass(frozen=True)
class Sentences:
    """A batch of sentences, or of pairs of a sentence and its translation.

    Parameters
    ----------
    ids : (B, T) integer array
    side : (B, T) integer array
        0 for [CLS] x [SEP], 1 for [SEP] y [SEP], -1 for padding.
    placeholder : (B, T) integer array
        The mask token of each token's language.
    word : (B, T) bool array
        True for ordinary tokens, which may be masked.
    """

    ids: np.ndarray
    side: np.ndarray
    placeholder: np.ndarray
    word: np.ndarray


@dataclass(frozen=True)
class MaskedBatch:
    """The batch of a masked language model.

    Parameters
    ----------
    ids : (B, T) integer array
    labels : (B, T) integer array
        The original ids of the masked tokens, -100 elsewhere.
    masked : (B, T) bool array
        Which tokens are masked.
    attention_mask : (B, T, T) bool array
        [b, i, j] is True where token i may attend to token j. Every token attends to itself, and
        padding, which is on the right, does not.
    """

    ids: np.ndarray
    labels: np.ndarray
    masked: np.ndarray
    attention_mask: np.ndarray

    @property
    def real(self) -> np.ndarray:
        """Which places have a token, and no padding: (B, T) bools."""
        return np.diagonal(self.attention_mask, axis1=1, axis2=2)

    def arguments(self, config: ErnieMConfig) -> dict[str, np.ndarray]:
        """The arguments of an `ErnieMForMaskedLM`, with labels, packed; `config` is the model's.

        The attention mask is (1, N) where all tokens of a row attend to the same ones, as in MMLM
        and TLM; else (1, N, longest row).
        """
        real, mask = self.real, batch_mask(config, self.ids, self.attention_mask)
        lengths = real.sum(axis=1)  # (B,)
        seen = (mask & real[:, :, None]).any(axis=1)  # (B, T): by a token of the row
        by_token = mask[real]  # (N, T)
        is_same = (by_token == np.repeat(seen, lengths, axis=0)).all()
        return {
            "input_ids": self.ids[real][None],
            "starts": np.cumsum([0, *lengths]),
            "attention_mask": seen[real][None] if is_same else by_token[None, :, : lengths.max()],
            "labels": self.labels[real][None],
        }


def build_batch(
    sentences: Sequence[tuple[Ids, Ids | None]],
    languages: Sequence[tuple[str, str]],
    special: SpecialTokens,
) -> Sentences:
    """Lay out x or (x, y) as [CLS] x [SEP] or [CLS] x [SEP] [SEP] y [SEP], padded on the right.

    Parameters
    ----------
    sentences : sequence of (x, y)
        Token ids without special tokens; y is None for a single sentence.
    languages : sequence of (str, str)
        The languages of x and y.
    special : SpecialTokens

    Returns
    -------
    Sentences
    """
    all_ids, sides, placeholders = [], [], []
    for (x, y), names in zip(sentences, languages, strict=True):
        ids, side = [special.cls, *x, special.sep], [0] * (len(x) + 2)
        if y is not None:
            ids, side = [*ids, special.sep, *y, special.sep], side + [1] * (len(y) + 2)
        tokens = [special.placeholder(name) for name in names]
        all_ids.append(ids)
        sides.append(side)
        placeholders.append([tokens[n] for n in side])
    ids = pad_rows(all_ids, special.pad)
    word = (ids >= special.words[0]) & (ids < special.words[1])
    return Sentences(ids, pad_rows(sides, -1), pad_rows(placeholders, special.mask), word)


def sample_mask(
    sentences: Sentences, mask_probability: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw the tokens to mask; at least one of the batch, if it has an ordinary token.

    Parameters
    ----------
    sentences : Sentences
    mask_probability : float
        Of each ordinary token, in (0, 1).
    rng : Generator

    Returns
    -------
    (B, T) bool array
    """
    masked = (rng.random(sentences.ids.shape) < mask_probability) & sentences.word
    if not masked.any() and sentences.word.any():
        masked[tuple(np.argwhere(sentences.word)[0])] = True
    return masked


def mask_tokens(
    sentences: Sentences,
    masked: np.ndarray,
    attention_mask: np.ndarray,
    special: SpecialTokens,
    rng: np.random.Generator,
    placeholder: np.ndarray | None = None,
) -> MaskedBatch:
    """Replace 80 % of the masked tokens by [MASK], 10 % by a random token; 10 % stay.

    Parameters
    ----------
    sentences : Sentences
    masked : (B, T) bool array
        From `sample_mask`.
    attention_mask : (B, T, T) bool array
        What the batch gets as its attention mask.
    special : SpecialTokens
    rng : Generator
    placeholder : (B, T) integer array, optional
        The mask token at each position; left out, `special.mask`.

    Returns
    -------
    MaskedBatch

    References
    ----------
    Devlin et al., "BERT", arXiv:1810.04805, section 3.1.
    """
    draws = rng.random(sentences.ids.shape)
    random_ids = rng.integers(*special.words, sentences.ids.shape)
    replaced = np.where(
        draws < MASK_TOKEN,
        special.mask if placeholder is None else placeholder,
        np.where(draws < MASK_TOKEN + RANDOM_TOKEN, random_ids, sentences.ids),
    )
    ids = np.where(masked, replaced, sentences.ids)
    return MaskedBatch(ids, np.where(masked, sentences.ids, IGNORED), masked, attention_mask)
