"""Fine-tuning a classifier: a label for a text, or for a pair of texts."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from numpy_erniem.models import ErnieMForSequenceClassification
from numpy_erniem.training.batches import collate, evaluate_in_batches
from numpy_erniem.training.finetuning.class_weights import (
    ClassWeights,
    recorded,
    weights_of_classes,
)
from numpy_erniem.training.finetuning.examples import TEXT, TEXT_OR_NONE, checked_examples
from numpy_erniem.training.finetuning.metrics import macro_f1
from numpy_erniem.training.finetuning.preparation import (
    find_label_names,
    fingerprints,
    label_names,
    load_trainable,
    prepare_setup,
    row_length,
    token_ids,
)
from numpy_erniem.training.finetuning.task_heads import weighted_classification
from numpy_erniem.training.training_config import TrainingConfig
from numpy_erniem.training.training_setup import TrainingSetup

Labelled = Sequence[tuple[str, str | None, str]]  # text, second text or None, label
FORM = {"text": TEXT, "second text or None": TEXT_OR_NONE, "label": TEXT}


def classification_setup(
    train: Labelled,
    evaluation: Labelled,
    config: TrainingConfig,
    *,
    model: str | os.PathLike | None = None,
    max_length: int | None = None,
    hub_options: Mapping[str, Any] | None = None,
    class_weights: ClassWeights | None = None,
) -> TrainingSetup:
    """Prepare the training of a classifier; `.train(folder)` runs it.

    The scores are accuracy and macro F1 on the evaluation examples; the model with the best
    accuracy is kept, or with the best macro F1 where classes have weights.

    Parameters
    ----------
    train, evaluation : sequences of (text, second text or None, label)
    config : TrainingConfig
    model : path, optional
        The checkpoint to start from: folder or name on the hub; left out, the bundled one.
    max_length : int, optional
        Longer texts are cut to so many tokens, with a warning; left out, 128, or what the model
        takes if that is less.
    hub_options : dict, optional
        Where the checkpoint is: revision, subfolder and so on, as of `from_pretrained`.
    class_weights : "balanced", or dict of str to float, optional
        How much each label counts in the loss; "balanced": all labels alike, however many examples
        they have. Left out, every example counts alike.

    Returns
    -------
    TrainingSetup

    Raises
    ------
    ValueError
        An example of another form, or none, fewer than two labels, a label in evaluation that
        training does not have, or a max_length that the model does not take.
    """
    train, evaluation = checked_examples(train, evaluation, FORM)
    found = find_label_names("label", *([y for *_, y in part] for part in (train, evaluation)))
    loaded = load_trainable(
        ErnieMForSequenceClassification,
        model,
        config.seed,
        found,
        hub_options,
        problem_type="single_label_classification",
    )
    names = label_names(loaded[0].config)
    max_length = row_length(max_length, 128, loaded[0].config)
    ids, labels = _arrays(loaded[1], train, names, max_length)
    held_out, answers = _arrays(loaded[1], evaluation, names, max_length)

    def batch_of(chosen: np.ndarray) -> dict[str, Any]:
        return collate([ids[n] for n in chosen], loaded[0].config, {"labels": labels[chosen]})

    def evaluate(model: ErnieMForSequenceClassification) -> dict[str, float]:
        scores = _scores(model, held_out, answers)
        return scores if class_weights is None else dict(reversed(scores.items()))

    head = (
        None
        if class_weights is None
        else weighted_classification(weights_of_classes(class_weights, names, labels))
    )
    return prepare_setup(
        loaded,
        config,
        [len(row) for row in ids],
        batch_of,
        evaluate,
        head=head,
        data=fingerprints(train, evaluation)
        | {"max_length": max_length, "class_weights": recorded(class_weights)},
    )


def _scores(
    model: ErnieMForSequenceClassification, ids: list[list[int]], answers: np.ndarray
) -> dict[str, float]:
    """Accuracy and macro F1."""

    def best_class(chosen: np.ndarray) -> np.ndarray:
        batch = collate([ids[n] for n in chosen], model.config)
        return model(**batch).logits.argmax(axis=1)  # (n, K) -> (n,)

    predicted = evaluate_in_batches(ids, best_class)
    accuracy = float((predicted == answers).mean())
    return {"accuracy": accuracy, "macro F1": macro_f1(answers, predicted)}


def _arrays(
    tokenizer: Any, examples: Labelled, names: Sequence[str], max_length: int
) -> tuple[list[list[int]], np.ndarray]:
    """Token ids and the numbers of the labels."""
    texts, pairs, labels = zip(*examples, strict=True)
    number = {name: n for n, name in enumerate(names)}
    ids = token_ids(tokenizer, list(texts), max_length, pairs)
    return ids, np.array([number[label] for label in labels])
