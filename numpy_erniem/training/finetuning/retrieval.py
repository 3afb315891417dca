"""Fine-tuning sentence vectors so that sentences find their translations, and the score of that."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checkpoint.sentence_settings import SentenceSettings, read_sentence_settings
from numpy_erniem.checks import check_range, warn
from numpy_erniem.models import ErnieMModel
from numpy_erniem.pipelines.pooling import normalize_rows, pool_texts
from numpy_erniem.training.batches import Batches, Ids, collate, evaluate_in_batches
from numpy_erniem.training.finetuning.contrastive import (
    TEMPERATURE,
    contrastive_head,
    find_duplicates,
)
from numpy_erniem.training.finetuning.examples import TEXT, checked_examples
from numpy_erniem.training.finetuning.preparation import (
    fingerprints,
    load_trainable,
    row_length,
    token_ids,
)
from numpy_erniem.training.gradient_tree import Gradients
from numpy_erniem.training.training_config import TrainingConfig
from numpy_erniem.training.training_setup import TrainingSetup
from numpy_erniem.training.value_and_grad import value_and_grad

# What a recorded vector is made by; its length and its comparison do not matter here.
MADE_BY = ("pooling", "dense", "prompts", "include_prompt")
Step = tuple[float, Gradients]
Pairs = Sequence[tuple[str, str, str]]  # language of the target, source, target
FORM = {"language of the target": TEXT, "source": TEXT, "target": TEXT}


def retrieval_setup(
    train: Pairs,
    evaluation: Pairs,
    config: TrainingConfig,
    *,
    model: str | os.PathLike | None = None,
    max_length: int | None = None,
    hub_options: Mapping[str, Any] | None = None,
    temperature: float = TEMPERATURE,
) -> TrainingSetup:
    """Prepare the training of sentence vectors; `.train(folder)` runs it.

    The vector of a sentence is the mean of its last hidden states. The loss is
    `contrastive_loss`, the score P@1: see `retrieval_scores`.

    Parameters
    ----------
    train, evaluation : sequences of (language of the target, source, target)
    config : TrainingConfig
        Its batch_size counts pairs.
    model : path, optional
        The checkpoint to start from: folder or name on the hub; left out, the bundled one.
    max_length : int, optional
        Longer sentences are cut to so many tokens, with a warning; left out, 64, or what the model
        takes if that is less.
    hub_options : dict, optional
        Where the checkpoint is: revision, subfolder and so on, as of `from_pretrained`.
    temperature : float
        Cosine similarities are divided by it, above 0.

    Returns
    -------
    TrainingSetup

    Raises
    ------
    ValueError
        An example of another form, fewer than two pairs in a batch, a temperature that is not above
        0, or a max_length that the model does not take.
    """
    train, evaluation = checked_examples(train, evaluation, FORM)
    _check_options(len(train), config, temperature)
    loaded, tokenizer = load_trainable(ErnieMModel, model, config.seed, hub_options=hub_options)
    max_length = row_length(max_length, 64, loaded.config)
    sources, targets, held_out, translations = (
        token_ids(tokenizer, [row[n] for row in part], max_length)
        for part in (train, evaluation)
        for n in (1, 2)
    )

    def loss_and_grad(model: ErnieMModel, step: int, rng: np.random.Generator) -> Step:
        a, b = ([side[n] for n in batches[step]] for side in (sources, targets))
        head = contrastive_head(None, temperature, find_duplicates(a, b))
        return value_and_grad(
            model,
            collate([*a, *b], model.config),
            head=head,
            rng=rng,
            threads=config.threads,
            gradient_checkpointing=config.gradient_checkpointing,
            precision=config.precision,
        )

    def evaluate(model: ErnieMModel) -> dict[str, float]:
        languages = (language for language, *_ in evaluation)
        return retrieval_scores(model, list(zip(languages, held_out, translations, strict=True)))

    lengths = [len(a) + len(b) for a, b in zip(sources, targets, strict=True)]
    batches = Batches(lengths, config.batch_size, config.seed)
    return TrainingSetup(
        config,
        loaded,
        tokenizer,
        loss_and_grad,
        evaluate,
        _settings(resolve_folder(model, **(hub_options or {}))),
        data=fingerprints(train, evaluation)
        | {"max_length": max_length, "temperature": float(temperature)},
        batches_per_epoch=batches.per_epoch,
    )


def _check_options(pairs: int, config: TrainingConfig, temperature: float) -> None:
    if config.batch_size < 2 or pairs < 2:
        raise ValueError(
            "retrieval needs at least two pairs in a batch: the others are the negatives of a pair"
        )
    check_range("temperature", temperature, "(0, inf)")


def _settings(folder: Path) -> SentenceSettings:
    """How vectors are made in training; tells what the checkpoint records of its own otherwise."""
    trained = SentenceSettings(pooling="mean")
    recorded = read_sentence_settings(folder)
    pairs = zip(recorded.to_dict().items(), trained.to_dict().values(), strict=True)
    left = [key for (key, value), other in pairs if key in MADE_BY and value != other]
    if recorded.recorded and left:
        warn(
            f"{folder} records {', '.join(left)} for its vectors; this training takes the mean of "
            "the token vectors without them, and records that"
        )
    return trained


def sentence_vectors(model: ErnieMModel, ids: Sequence[Ids]) -> np.ndarray:
    """Mean-pooled last hidden states, scaled to length 1: N rows of token ids -> (N, D)."""

    def vectors(chosen: np.ndarray) -> np.ndarray:
        batch = collate([ids[n] for n in chosen], model.config)
        hidden = model(**batch).last_hidden_state[0]  # (N, D)
        return normalize_rows(pool_texts(hidden, batch["starts"], None, "mean"))

    return evaluate_in_batches(ids, vectors)


def precision_at_1(a: np.ndarray, b: np.ndarray) -> float:
    """The share of rows whose most similar row on the other side is their own, in both directions.

    Examples
    --------
    >>> a = np.eye(3)
    >>> precision_at_1(a, a[[0, 2, 1]]), precision_at_1(a, a)
    (0.3333333333333333, 1.0)
    """
    S, right = a @ b.T, np.arange(len(a))
    return float(((S.argmax(axis=1) == right).mean() + (S.argmax(axis=0) == right).mean()) / 2)


def retrieval_scores(model: ErnieMModel, pairs: Sequence[tuple[str, Ids, Ids]]) -> dict[str, float]:
    """P@1 of pairs (language, ids of the source, ids of the target).

    "P@1" is the mean over the languages, "P@1 de" that of the pairs in "de".
    """
    scores = {}
    for language in dict.fromkeys(language for language, *_ in pairs):
        sources, targets = zip(*(p[1:] for p in pairs if p[0] == language), strict=True)
        vectors = (sentence_vectors(model, side) for side in (sources, targets))
        scores[language or "all"] = precision_at_1(*vectors)
    return {"P@1": sum(scores.values()) / len(scores)} | {f"P@1 {k}": v for k, v in scores.items()}
