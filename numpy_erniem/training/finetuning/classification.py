"""Fine-tuning a classifier: a label for a text, or for a pair of texts."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from numpy_erniem.models import ErnieMForSequenceClassification
from numpy_erniem.training.batches import Batches, collate, evaluate_in_batches
from numpy_erniem.training.finetuning.preparation import (
    batch_loss_and_grad,
    find_label_names,
    load_trainable,
    token_ids,
)
from numpy_erniem.training.trainer import TrainingSetup
from numpy_erniem.training.training_config import TrainingConfig

Labelled = Sequence[tuple[str, str | None, str]]  # text, second text or None, label


def classification_setup(
    train: Labelled,
    evaluation: Labelled,
    config: TrainingConfig,
    *,
    model: str | os.PathLike | None = None,
    max_length: int = 128,
    hub_options: Mapping[str, Any] | None = None,
) -> TrainingSetup:
    """Prepare the training of a classifier; `.train(folder)` runs it.

    The score is the accuracy on the evaluation examples.

    Parameters
    ----------
    train, evaluation : sequences of (text, second text or None, label)
    config : TrainingConfig
    model : path, optional
        The checkpoint to start from: folder or name on the hub; left out, the bundled one.
    max_length : int
        Longer texts are cut to so many tokens, with a warning.
    hub_options : dict, optional
        Where the checkpoint is: revision, subfolder and so on, as of `from_pretrained`.

    Returns
    -------
    TrainingSetup

    Raises
    ------
    ValueError
        Fewer than two labels, a label in evaluation that training does not have, or a max_length
        that the model does not take.
    """
    names = find_label_names("label", *([y for *_, y in part] for part in (train, evaluation)))
    loaded, tokenizer = load_trainable(
        ErnieMForSequenceClassification, model, config.seed, max_length, names, hub_options
    )
    ids, labels = _arrays(tokenizer, train, names, max_length)
    held_out, answers = _arrays(tokenizer, evaluation, names, max_length)

    def batch_of(chosen: np.ndarray) -> dict[str, Any]:
        return collate([ids[n] for n in chosen], loaded.config, {"labels": labels[chosen]})

    def evaluate(model: ErnieMForSequenceClassification) -> dict[str, float]:
        def is_right(chosen: np.ndarray) -> np.ndarray:
            batch = collate([held_out[n] for n in chosen], model.config)
            logits = model(**batch).logits  # (B, K)
            return logits.argmax(axis=1) == answers[chosen]

        return {"accuracy": float(evaluate_in_batches(held_out, is_right).mean())}

    batches = Batches([len(row) for row in ids], config.batch_size, config.seed)
    loss_and_grad = batch_loss_and_grad(batches, batch_of, config)
    return TrainingSetup(config, loaded, tokenizer, loss_and_grad, evaluate)


def _arrays(
    tokenizer: Any, examples: Labelled, names: Sequence[str], max_length: int
) -> tuple[list[list[int]], np.ndarray]:
    """Token ids and the numbers of the labels."""
    texts, pairs, labels = zip(*examples, strict=True)
    number = {name: n for n, name in enumerate(names)}
    ids = token_ids(tokenizer, list(texts), max_length, pairs)
    return ids, np.array([number[label] for label in labels])
