"""Fine-tuning multiple choice: which of some texts follows a prompt."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from numpy_erniem.models import ErnieMForMultipleChoice
from numpy_erniem.pipelines.tokens import encode_texts, pieces_of
from numpy_erniem.tokenizer import ErnieMTokenizer
from numpy_erniem.training.batches import collate, evaluate_in_batches
from numpy_erniem.training.finetuning.examples import (
    TEXT,
    TEXTS,
    WHOLE_NUMBER,
    checked_examples,
)
from numpy_erniem.training.finetuning.preparation import (
    fingerprints,
    load_trainable,
    prepare_setup,
    row_length,
    warn_of_cuts,
)
from numpy_erniem.training.finetuning.task_heads import choice_head
from numpy_erniem.training.training_config import TrainingConfig
from numpy_erniem.training.training_setup import TrainingSetup

Choices = Sequence[tuple[str, Sequence[str], int]]  # prompt, choices, number of the right one
FORM = {"prompt": TEXT, "choices": TEXTS, "number of the right one": WHOLE_NUMBER}
Rows = list[list[int]]  # of a prompt, one for each choice


def choice_setup(
    train: Choices,
    evaluation: Choices,
    config: TrainingConfig,
    *,
    model: str | os.PathLike | None = None,
    max_length: int | None = None,
    hub_options: Mapping[str, Any] | None = None,
) -> TrainingSetup:
    """Prepare the training of multiple choice; `.train(folder)` runs it.

    The score is accuracy, the share of prompts whose right choice has the highest score. Prompts of
    a batch may have different numbers of choices.

    Parameters
    ----------
    train, evaluation : sequences of (prompt, choices, number of the right one)
    config : TrainingConfig
        Its batch_size counts prompts, each with all of its choices.
    model : path, optional
        The checkpoint to start from: folder or name on the hub; left out, the bundled one.
    max_length : int, optional
        A prompt that is longer, with a choice, is cut to so many tokens, with a warning; a choice
        is never cut. Left out, 128, or what the model takes if that is less.
    hub_options : dict, optional
        Where the checkpoint is: revision, subfolder and so on, as of `from_pretrained`.

    Returns
    -------
    TrainingSetup

    Raises
    ------
    ValueError
        No example, or one of another form, fewer than two choices, a number that is none of them,
        a choice that leaves no room for a prompt, or a max_length that the model does not take.
    """
    train, evaluation = checked_examples(train, evaluation, FORM)
    parts = {"train": train, "evaluation": evaluation}
    for name, part in parts.items():
        _check(part, name)
    loaded = load_trainable(ErnieMForMultipleChoice, model, config.seed, None, hub_options)
    max_length = row_length(max_length, 128, loaded[0].config, 6)
    rows, held_out = (_rows(loaded[1], *part, max_length) for part in parts.items())
    labels, answers = (np.array([label for *_, label in part]) for part in (train, evaluation))

    def evaluate(model: ErnieMForMultipleChoice) -> dict[str, float]:
        flat = [row for of_prompt in held_out for row in of_prompt]

        def scores_of(chosen: np.ndarray) -> np.ndarray:
            return model(**collate([flat[n] for n in chosen], model.config)).logits[:, 0]

        scores = evaluate_in_batches(flat, scores_of)
        ends = np.cumsum([len(of_prompt) for of_prompt in held_out])[:-1]
        best = np.array([part.argmax() for part in np.split(scores, ends)])
        return {"accuracy": float((best == answers).mean())}

    return prepare_setup(
        loaded,
        config,
        [sum(map(len, of_prompt)) for of_prompt in rows],
        lambda chosen: _batch([rows[n] for n in chosen], labels[chosen], loaded[0].config),
        evaluate,
        head=choice_head,
        data=fingerprints(train, evaluation) | {"max_length": max_length},
    )


def _check(examples: Choices, name: str) -> None:
    """Refuse examples whose label is no choice."""
    for n, (_, choices, label) in enumerate(examples):
        if len(choices) < 2:
            raise ValueError(f"{name}[{n}] has the choices {choices!r}; give two texts or more")
        if not 0 <= label < len(choices):
            raise ValueError(
                f"{name}[{n}]: the label {label} is not the number of a choice, "
                f"0..{len(choices) - 1}"
            )


def _rows(tokenizer: ErnieMTokenizer, name: str, examples: Choices, max_length: int) -> list[Rows]:
    """For each prompt the rows [CLS] prompt [SEP] [SEP] choice [SEP]."""
    rows, cut = [], 0
    for n, (prompt, choices, _) in enumerate(examples):
        first, *others = encode_texts(tokenizer, [prompt, *choices])
        try:
            pieces = [
                pieces_of(tokenizer, first, ids, max_length, "cut", f"choices[{k}]")
                for k, ids in enumerate(others)
            ]
        except ValueError as error:
            raise ValueError(f"{name}[{n}]: {error}") from None
        cut += any(piece.cut for piece in pieces)
        rows.append([piece.rows[0] for piece in pieces])
    warn_of_cuts(cut, len(examples), max_length)
    return rows


def _batch(rows: Sequence[Rows], labels: np.ndarray, config: Any) -> dict[str, Any]:
    """The batch of some prompts: the rows of all their choices, packed."""
    counts = np.array([len(of_prompt) for of_prompt in rows])
    flat = [row for of_prompt in rows for row in of_prompt]
    return collate(flat, config, {"labels": labels, "choices": counts})
