"""Corpora for pre-training: token ids of sentences and pairs, read from files."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from numpy_erniem.checks import warn
from numpy_erniem.tokenizer import ErnieMTokenizer
from numpy_erniem.training.data_files import read_monolingual, read_pairs
from numpy_erniem.training.pretraining.masking import SpecialTokens

ENGLISH = "en"


@dataclass
class Corpus:
    """Sentences, or pairs of a sentence and its translation.

    Parameters
    ----------
    sentences : list of (x, y)
        Token ids without special tokens; y is None for a single sentence.
    languages : list of (str, str)
        The languages of x and y.
    """

    sentences: list[tuple[Sequence[int], Sequence[int] | None]]
    languages: list[tuple[str, str]]

    def lengths(self) -> list[int]:
        """Tokens of each example, without the special ones."""
        return [len(x) + (len(y) if y else 0) for x, y in self.sentences]


def special_tokens(tokenizer: ErnieMTokenizer) -> SpecialTokens:
    """The ids that the objectives need; placeholders are the tokens named like "[MASK:de]".

    The ordinary tokens are the longest range of ids without a special token or a placeholder: some
    vocabularies have a few tokens before [CLS] and [SEP].
    """
    vocabulary = tokenizer.get_vocab()
    languages = {token[6:-1]: n for token, n in vocabulary.items() if token.startswith("[MASK:")}
    others = {-1, *tokenizer.all_special_ids, *languages.values(), len(vocabulary)}
    before, behind = max(pairwise(sorted(others)), key=lambda pair: pair[1] - pair[0])
    return SpecialTokens(
        cls=tokenizer.cls_token_id,
        pad=tokenizer.pad_token_id,
        sep=tokenizer.sep_token_id,
        mask=tokenizer.mask_token_id,
        words=(before + 1, behind),
        languages=languages,
    )


def read_corpora(
    parallel: str | os.PathLike | None,
    mono: str | os.PathLike | None,
    tokenizer: ErnieMTokenizer,
    max_length: int,
) -> tuple[Corpus | None, Corpus | None]:
    """Read files of pairs and of single sentences.

    Parameters
    ----------
    parallel : path or None
        Pairs, as `read_pairs` takes them. The source counts as English, and so does a target
        without a language.
    mono : path or None
        Sentences, as `read_monolingual` takes them.
    tokenizer : ErnieMTokenizer
    max_length : int
        Examples with a sentence of more tokens are left out, with a warning; special tokens are
        not counted.

    Returns
    -------
    pairs, sentences : Corpus or None

    Raises
    ------
    ValueError
        A file that cannot be read, or of which no example is left.
    """
    pairs = sentences = None
    if parallel is not None:
        rows = read_pairs(parallel)
        x = _ids([source for _, source, _ in rows], tokenizer)
        y = _ids([target for *_, target in rows], tokenizer)
        names = [(ENGLISH, language or ENGLISH) for language, *_ in rows]
        pairs = _of_length(Corpus(list(zip(x, y, strict=True)), names), max_length, parallel)
    if mono is not None:
        rows = read_monolingual(mono)
        x = _ids([text for _, text in rows], tokenizer)
        names = [(language, language) for language, _ in rows]
        sentences = _of_length(Corpus([(ids, None) for ids in x], names), max_length, mono)
    return pairs, sentences


def _ids(texts: list[str], tokenizer: ErnieMTokenizer) -> list[list[int]]:
    options = {"add_special_tokens": False, "return_attention_mask": False, "verbose": False}
    return tokenizer(texts, **options)["input_ids"]


def _of_length(corpus: Corpus, max_length: int, source: Any) -> Corpus:
    """The examples whose sentences have 1 to max_length tokens."""
    kept = [
        n
        for n, (x, y) in enumerate(corpus.sentences)
        if 0 < len(x) <= max_length and (y is None or 0 < len(y) <= max_length)
    ]
    if not kept:
        raise ValueError(f"{source} has no example of 1 to {max_length} tokens a sentence")
    if len(kept) < len(corpus.sentences):
        warn(
            f"{source}: {len(corpus.sentences) - len(kept)} of {len(corpus.sentences)} examples "
            f"have a sentence without tokens or with more than {max_length}, and are left out"
        )
    return Corpus([corpus.sentences[n] for n in kept], [corpus.languages[n] for n in kept])
