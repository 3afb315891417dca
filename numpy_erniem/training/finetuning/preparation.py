"""What the fine-tuning tasks share: a model with a new head, label names, token ids, batches."""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checks import warn
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.tokenizer import ErnieMTokenizer
from numpy_erniem.training.batches import Batches
from numpy_erniem.training.trainer import LossAndGrad
from numpy_erniem.training.training_config import TrainingConfig
from numpy_erniem.training.value_and_grad import trainable, value_and_grad

SHORTEST = 3  # tokens: [CLS], one token of the text, [SEP]


def load_trainable(
    kind: type,
    model: str | os.PathLike | None,
    seed: int,
    max_length: int,
    label_names: Sequence[str] | None = None,
    hub_options: Mapping[str, Any] | None = None,
) -> tuple[ErnieMPreTrainedModel, ErnieMTokenizer]:
    """Load a checkpoint for fine-tuning; a head that it does not have is drawn at random.

    Parameters
    ----------
    kind : type
        The model class, with its head.
    model : path or None
        The checkpoint to start from: folder or name on the hub; None is the bundled one.
    seed : int
        Of the new weights.
    max_length : int
        Tokens of the longest text.
    label_names : sequence of str, optional
        The classes, in the order of their ids; left out, the checkpoint's.
    hub_options : dict, optional
        Where the checkpoint is: revision, subfolder and so on, as of `from_pretrained`.

    Returns
    -------
    model : of class `kind`, with weights that can be changed
    tokenizer : ErnieMTokenizer

    Raises
    ------
    ValueError
        max_length is not possible for this model.
    """
    folder = resolve_folder(model, **(hub_options or {}))
    options = {} if label_names is None else {"id2label": dict(enumerate(label_names))}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*drawn at random.*")  # that is what a new head is
        warnings.filterwarnings("ignore", ".*unexpected.*|.*not used.*")
        loaded = kind.from_pretrained(folder, seed=seed, ignore_mismatched_sizes=True, **options)
    limit = loaded.config.max_length
    if not SHORTEST <= max_length <= limit:
        raise ValueError(
            f"max_length {max_length} is not in {SHORTEST}..{limit}, which this model takes"
        )
    return trainable(loaded), ErnieMTokenizer.from_pretrained(folder)


def find_label_names(what: str, train: Sequence[str], evaluation: Sequence[str]) -> list[str]:
    """The different labels of the training examples, sorted.

    Parameters
    ----------
    what : str
        What an error calls a label.
    train, evaluation : sequences of str
        The labels of all examples.

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        Fewer than two labels, or a label in evaluation that training does not have.
    """
    names = sorted(set(train))
    unseen = sorted(set(evaluation) - set(names))
    if unseen:
        raise ValueError(
            f"evaluation has the {what} {unseen[0]!r}, which training does not have; it has "
            f"{', '.join(names[:20])}"
        )
    if len(names) < 2:
        raise ValueError(f"training has only the {what} {names[0]!r}; at least two are needed")
    return names


def token_ids(
    tokenizer: ErnieMTokenizer,
    texts: Sequence[str],
    max_length: int,
    pairs: Sequence[str | None] | None = None,
) -> list[list[int]]:
    """Token ids with special tokens; rows that are too long are cut, with a warning.

    Parameters
    ----------
    tokenizer : ErnieMTokenizer
    texts : sequence of str
    max_length : int
        Tokens of a row, special ones included.
    pairs : sequence of str or None, optional
        The second texts; None where a text has none.

    Returns
    -------
    list of lists of int
    """
    pairs = [None] * len(texts) if pairs is None else pairs
    options = {"return_attention_mask": False, "verbose": False}
    if any(pairs):
        rows = [tokenizer(*both, **options)["input_ids"] for both in zip(texts, pairs, strict=True)]
    else:
        rows = tokenizer(texts, **options)["input_ids"]
    too_long = [n for n, ids in enumerate(rows) if len(ids) > max_length]
    for n in too_long:
        cut = tokenizer(texts[n], pairs[n], truncation=True, max_length=max_length, **options)
        rows[n] = cut["input_ids"]
    warn_of_cuts(len(too_long), len(texts), max_length)
    return rows


def warn_of_cuts(cut: int, count: int, max_length: int) -> None:
    """Warn if examples were cut.

    Parameters
    ----------
    cut, count : int
        How many were cut, of how many.
    max_length : int
        Tokens that they were cut to.
    """
    if cut:
        warn(f"{cut} of {count} examples have more than {max_length} tokens and were cut")


def batch_loss_and_grad(
    batches: Batches, batch_of: Callable[[np.ndarray], dict[str, Any]], config: TrainingConfig
) -> LossAndGrad:
    """The loss of the model's own head on the batch of a step, with its gradients.

    Parameters
    ----------
    batches : Batches
    batch_of : function
        From the indices of examples to the batch that `value_and_grad` takes.
    config : TrainingConfig

    Returns
    -------
    function of model, step and generator
    """

    def loss_and_grad(model: ErnieMPreTrainedModel, step: int, rng: np.random.Generator) -> Any:
        return value_and_grad(
            model,
            batch_of(batches[step]),
            rng=rng,
            threads=config.threads,
            gradient_checkpointing=config.gradient_checkpointing,
        )

    return loss_and_grad
