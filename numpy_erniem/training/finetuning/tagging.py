"""Fine-tuning a tagger: a label for every word."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from numpy_erniem.losses import IGNORED
from numpy_erniem.models import ErnieMForTokenClassification
from numpy_erniem.tokenizer import ErnieMTokenizer
from numpy_erniem.training.batches import collate, evaluate_in_batches
from numpy_erniem.training.finetuning.class_weights import (
    ClassWeights,
    recorded,
    weights_of_classes,
)
from numpy_erniem.training.finetuning.examples import TEXTS, checked_examples
from numpy_erniem.training.finetuning.metrics import OUTSIDE, entities_of, set_scores
from numpy_erniem.training.finetuning.preparation import (
    find_label_names,
    fingerprints,
    label_names,
    load_trainable,
    prepare_setup,
    row_length,
    warn_of_cuts,
)
from numpy_erniem.training.finetuning.task_heads import weighted_tagging
from numpy_erniem.training.training_config import TrainingConfig
from numpy_erniem.training.training_setup import TrainingSetup

Tagged = Sequence[tuple[list[str], list[str]]]  # words, tags
FORM = {"words": TEXTS, "tags": TEXTS}
Rows = tuple[list[list[int]], list[list[int]]]  # token ids, labels of the tokens


def tagging_setup(
    train: Tagged,
    evaluation: Tagged,
    config: TrainingConfig,
    *,
    model: str | os.PathLike | None = None,
    max_length: int | None = None,
    hub_options: Mapping[str, Any] | None = None,
    class_weights: ClassWeights | None = None,
) -> TrainingSetup:
    """Prepare the training of a tagger; `.train(folder)` runs it.

    The first token of a word has the word's label; its other tokens have none. Where one of the
    tags is "O", the scores are F1, precision and recall of the entities, as of seqeval, and the
    model with the best F1 is kept. Accuracy, the share of words with the right tag, is the only
    score without "O". A word beyond `max_length` tokens counts as wrong, and as "O".

    Parameters
    ----------
    train, evaluation : sequences of (words, tags)
    config : TrainingConfig
    model : path, optional
        The checkpoint to start from: folder or name on the hub; left out, the bundled one.
    max_length : int, optional
        Longer sentences are cut to so many tokens, with a warning; left out, 128, or what the model
        takes if that is less.
    hub_options : dict, optional
        Where the checkpoint is: revision, subfolder and so on, as of `from_pretrained`.
    class_weights : "balanced", or dict of str to float, optional
        How much each tag counts in the loss; "balanced": all tags alike, however many words they
        have. Left out, every word counts alike.

    Returns
    -------
    TrainingSetup

    Raises
    ------
    ValueError
        An example of another form, or none, fewer than two tags, a tag in evaluation that training
        does not have, a weight that is not above 0 or of no tag, or a max_length that the model
        does not take.
    """
    train, evaluation = _checked(train, evaluation)
    tags = ([y for _, tags in part for y in tags] for part in (train, evaluation))
    found = find_label_names("tag", *tags)
    loaded = load_trainable(ErnieMForTokenClassification, model, config.seed, found, hub_options)
    names = label_names(loaded[0].config)
    max_length = row_length(max_length, 128, loaded[0].config)
    rows, held_out = (_rows(loaded[1], part, names, max_length) for part in (train, evaluation))

    def batch_of(rows: Rows, chosen: np.ndarray) -> dict[str, Any]:
        ids, labels = ([column[n] for n in chosen] for column in rows)
        return collate(ids, loaded[0].config, {"labels": np.concatenate(labels)[None]})  # (1, N)

    def evaluate(model: ErnieMForTokenClassification) -> dict[str, float]:
        def tags_of(chosen: np.ndarray) -> np.ndarray:
            batch = batch_of(held_out, chosen)
            labels = batch.pop("labels")
            best = model(**batch).logits.argmax(axis=2)  # (1, N, K) -> (1, N)
            texts = (np.split(of[0], batch["starts"][1:-1]) for of in (best, labels))
            result = np.empty(len(chosen), object)
            result[:] = [row[of != IGNORED] for row, of in zip(*texts, strict=True)]
            return result

        return _scores(evaluation, evaluate_in_batches(held_out[0], tags_of), names)

    head = None
    if class_weights is not None:
        labels = np.array([y for row in rows[1] for y in row if y != IGNORED])
        head = weighted_tagging(weights_of_classes(class_weights, names, labels))
    return prepare_setup(
        loaded,
        config,
        [len(ids) for ids in rows[0]],
        lambda chosen: batch_of(rows, chosen),
        evaluate,
        head=head,
        data=fingerprints(train, evaluation)
        | {"max_length": max_length, "class_weights": recorded(class_weights)},
    )


def _checked(train: Tagged, evaluation: Tagged) -> tuple[Tagged, Tagged]:
    """The examples; ValueError for one that has not a tag for every word, or has no word."""
    parts = checked_examples(train, evaluation, FORM)
    for name, part in zip(("train", "evaluation"), parts, strict=True):
        for n, (words, tags) in enumerate(part):
            if not words or len(words) != len(tags):
                raise ValueError(
                    f"{name}[{n}] has {len(words)} words and {len(tags)} tags; each word needs one"
                )
    return parts


def _scores(evaluation: Tagged, predicted: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """The scores of the tags that were predicted for each sentence; the last words may be cut."""
    wanted, found, right = [], [], 0
    for (_, tags), numbers in zip(evaluation, predicted, strict=True):
        mine = [names[n] for n in numbers]
        right += sum(a == b for a, b in zip(mine, tags, strict=False))
        wanted.append(entities_of(tags))
        found.append(entities_of(mine))
    accuracy = {"accuracy": right / sum(len(tags) for _, tags in evaluation)}
    return set_scores(wanted, found) | accuracy if OUTSIDE in names else accuracy


def _rows(
    tokenizer: ErnieMTokenizer, examples: Tagged, names: Sequence[str], max_length: int
) -> Rows:
    """Token ids of the sentences, and a label for each token."""
    number = {name: n for n, name in enumerate(names)}
    rows, row_labels, cut = [], [], 0
    for words, tags in examples:
        ids, labels = [], []
        for word, tag in zip(words, tags, strict=True):
            tokens = tokenizer(word, add_special_tokens=False, return_attention_mask=False)
            tokens = tokens["input_ids"] or [tokenizer.unk_token_id]
            ids += tokens
            labels += [number[tag]] + [IGNORED] * (len(tokens) - 1)
        room = max_length - 2  # beside [CLS] and [SEP]
        cut += len(ids) > room
        rows.append(tokenizer.build_inputs_with_special_tokens(ids[:room]))
        row_labels.append([IGNORED, *labels[:room], IGNORED])
    warn_of_cuts(cut, len(examples), max_length)
    return rows, row_labels
