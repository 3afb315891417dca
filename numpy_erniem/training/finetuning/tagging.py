"""Fine-tuning a tagger: a label for every word."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from numpy_erniem.losses import IGNORED
from numpy_erniem.models import ErnieMForTokenClassification
from numpy_erniem.tokenizer import ErnieMTokenizer
from numpy_erniem.tokenizer.rows import pad_rows
from numpy_erniem.training.batches import Batches, collate, evaluate_in_batches
from numpy_erniem.training.finetuning.preparation import (
    batch_loss_and_grad,
    find_label_names,
    load_trainable,
    warn_of_cuts,
)
from numpy_erniem.training.trainer import TrainingSetup
from numpy_erniem.training.training_config import TrainingConfig

Tagged = Sequence[tuple[list[str], list[str]]]  # words, tags
Rows = tuple[list[list[int]], list[list[int]]]  # token ids, labels of the tokens


def tagging_setup(
    train: Tagged,
    evaluation: Tagged,
    config: TrainingConfig,
    *,
    model: str | os.PathLike | None = None,
    max_length: int = 128,
    hub_options: Mapping[str, Any] | None = None,
) -> TrainingSetup:
    """Prepare the training of a tagger; `.train(folder)` runs it.

    The first token of a word has the word's label; its other tokens have none. The score is the
    share of words with the right tag; a word beyond `max_length` tokens counts as wrong.

    Parameters
    ----------
    train, evaluation : sequences of (words, tags)
    config : TrainingConfig
    model : path, optional
        The checkpoint to start from: folder or name on the hub; left out, the bundled one.
    max_length : int
        Longer sentences are cut to so many tokens, with a warning.
    hub_options : dict, optional
        Where the checkpoint is: revision, subfolder and so on, as of `from_pretrained`.

    Returns
    -------
    TrainingSetup

    Raises
    ------
    ValueError
        Fewer than two tags, a tag in evaluation that training does not have, or a max_length that
        the model does not take.
    """
    tags = ([y for _, tags in part for y in tags] for part in (train, evaluation))
    names = find_label_names("tag", *tags)
    loaded, tokenizer = load_trainable(
        ErnieMForTokenClassification, model, config.seed, max_length, names, hub_options
    )
    rows, held_out = (_rows(tokenizer, part, names, max_length) for part in (train, evaluation))
    words = sum(len(tags) for _, tags in evaluation)

    def batch_of(rows: Rows, chosen: np.ndarray) -> dict[str, Any]:
        ids, labels = ([column[n] for n in chosen] for column in rows)
        return collate(ids, loaded.config, {"labels": pad_rows(labels, IGNORED)})

    def evaluate(model: ErnieMForTokenClassification) -> dict[str, float]:
        def right_words(chosen: np.ndarray) -> np.ndarray:
            batch = batch_of(held_out, chosen)
            labels = batch.pop("labels")
            return (model(**batch).logits.argmax(axis=2) == labels).sum(axis=1)  # (B, T) -> (B,)

        return {"accuracy": float(evaluate_in_batches(held_out[0], right_words).sum() / words)}

    batches = Batches([len(ids) for ids in rows[0]], config.batch_size, config.seed)
    loss_and_grad = batch_loss_and_grad(batches, lambda chosen: batch_of(rows, chosen), config)
    return TrainingSetup(config, loaded, tokenizer, loss_and_grad, evaluate)


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
