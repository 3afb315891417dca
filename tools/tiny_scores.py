"""What a bundled checkpoint can do, measured on texts that it was not trained on."""

import os
from collections.abc import Sequence

import numpy as np
from tiny_corpus import LABELS, LANGUAGES

from numpy_erniem import (
    ErnieMForMaskedLM,
    ErnieMForSequenceClassification,
    ErnieMModel,
    ErnieMTokenizer,
)
from numpy_erniem.models.weights import encoder_weights
from numpy_erniem.training.batches import collate, evaluate_in_batches
from numpy_erniem.training.finetuning.retrieval import retrieval_scores

UNSPACED = ("ja", "th", "zh")  # written without spaces: characters are counted instead of words
WORDS, CHARACTERS = 5, 10  # of the shortest sentences whose language is asked for
TEXTS = 300  # of a language, at most
FIRST = 5  # candidates among which the masked token has to be
MASKED_TEXTS, MOST_TOKENS = 100, 64  # of a language, of a text: whose tokens are masked


def scores(
    folder: str | os.PathLike,
    rows: Sequence[tuple[str, str, str]],
    masked: Sequence[str] = LABELS,
) -> dict[str, dict]:
    """P@1, accuracy of the language, and masked tokens found, each by language.

    Parameters
    ----------
    folder : path
        A checkpoint with all heads.
    rows : sequence of (language, English, translation)
    masked : sequence of str
        Languages whose tokens are masked.

    Returns
    -------
    dict of str to dict of str to float
        "retrieval", "language" and "masked tokens"; a language code, or "mean", to its score.
        English counts in the last two.
    """
    tokenizer = ErnieMTokenizer.from_pretrained(folder)
    classifier = ErnieMForSequenceClassification.from_pretrained(folder)
    filler = ErnieMForMaskedLM.from_pretrained(folder)
    texts = texts_by_language(rows)
    named = {name: language_accuracy(classifier, tokenizer, name, texts[name]) for name in texts}
    return {
        "retrieval": _retrieval(classifier, tokenizer, rows),
        "language": _with_mean({name: value for name, value in named.items() if value is not None}),
        "masked tokens": _with_mean(
            {
                name: masked_tokens(filler, tokenizer, texts[name])
                for name in texts
                if name in masked
            }
        ),
    }


def _with_mean(by_language: dict[str, float]) -> dict[str, float]:
    return {**by_language, "mean": float(np.mean(list(by_language.values())))}


def texts_by_language(rows: Sequence[tuple[str, str, str]]) -> dict[str, list[str]]:
    """The different sentences of each language, English first; at most TEXTS of each."""
    english = list(dict.fromkeys(english for _, english, _ in rows))
    found = {"en": english[:: max(1, len(english) // TEXTS)][:TEXTS]}
    for language in LANGUAGES:
        texts = list(dict.fromkeys(text for name, _, text in rows if name == language))
        if texts:
            found[language] = texts[:TEXTS]
    return found


def _retrieval(model, tokenizer, rows: Sequence[tuple[str, str, str]]) -> dict[str, float]:
    encoder = _encoder(model)
    sides = [tokenizer([row[n] for row in rows])["input_ids"] for n in (1, 2)]
    pairs = [(row[0], a, b) for row, a, b in zip(rows, *sides, strict=True)]
    found = retrieval_scores(encoder, pairs)
    return {
        **{name[4:]: value for name, value in found.items() if name != "P@1"},
        "mean": found["P@1"],
    }


def _encoder(model) -> ErnieMModel:
    """The encoder of a model with a head, with the same arrays."""
    pooling = "pooler" in encoder_weights(model.weights)
    encoder = ErnieMModel(model.config, add_pooling_layer=pooling)
    encoder.weights = encoder_weights(model.weights)
    return encoder


def language_accuracy(model, tokenizer, language: str, texts: Sequence[str]) -> float | None:
    """The share of sentences of WORDS or CHARACTERS at least whose language is found."""
    long = [text for text in texts if _is_long(text, language)]
    if not long:
        return None
    ids = tokenizer(long)["input_ids"]

    def best(chosen: np.ndarray) -> np.ndarray:
        batch = collate([ids[n] for n in chosen], model.config)
        return model(**batch).logits.argmax(axis=1)

    return float((evaluate_in_batches(ids, best) == LABELS.index(language)).mean())


def _is_long(text: str, language: str) -> bool:
    if language in UNSPACED:
        return len(text) >= CHARACTERS
    return len(text.split()) >= WORDS


def masked_tokens(model, tokenizer, texts: Sequence[str]) -> float:
    """The share of tokens that are among the FIRST candidates when they alone are masked.

    Every token of the first MASKED_TEXTS texts is masked in turn.
    """
    rows, at, right = [], [], []
    some = list(texts[:MASKED_TEXTS])
    for ids in tokenizer(some, truncation=True, max_length=MOST_TOKENS)["input_ids"]:
        for n in range(1, len(ids) - 1):
            rows.append([*ids[:n], tokenizer.mask_token_id, *ids[n + 1 :]])
            at.append(n)
            right.append(ids[n])
    at, right, encoder = np.array(at), np.array(right), _encoder(model)

    def is_found(chosen: np.ndarray) -> np.ndarray:
        batch = collate([rows[n] for n in chosen], model.config)
        hidden = encoder(**batch).last_hidden_state[0]  # (N, D)
        each = np.arange(len(chosen))
        masked = batch["starts"][:-1] + at[chosen]
        logits = model.score_vocabulary(hidden[masked])  # (n, D) -> (n, V)
        return (logits > logits[each, right[chosen], None]).sum(axis=1) < FIRST

    return float(evaluate_in_batches(rows, is_found).mean())
