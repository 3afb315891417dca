"""What the fine-tuning tasks share: a model with a new head, label names, token ids, batches."""

import os
import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checks import warn
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.tokenizer import ErnieMTokenizer
from numpy_erniem.training.batches import Batches
from numpy_erniem.training.finetuning.encoder_check import check_encoder
from numpy_erniem.training.heads import Head
from numpy_erniem.training.trainer import Evaluate
from numpy_erniem.training.training_config import TrainingConfig
from numpy_erniem.training.training_setup import TrainingSetup
from numpy_erniem.training.value_and_grad import trainable, value_and_grad

SHORTEST = 3  # tokens: [CLS], one token of the text, [SEP]


def load_trainable(
    kind: type,
    model: str | os.PathLike | None,
    seed: int,
    label_names: Sequence[str] | None = None,
    hub_options: Mapping[str, Any] | None = None,
    **options: Any,
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
    label_names : sequence of str, optional
        The classes. Where the checkpoint has the same, they are in its order, else in this one.
        Left out, the checkpoint's.
    hub_options : dict, optional
        Where the checkpoint is: revision, subfolder and so on, as of `from_pretrained`.
    **options
        Further keys of the config to override.

    Returns
    -------
    model : of class `kind`, with weights that can be changed
    tokenizer : ErnieMTokenizer

    Raises
    ------
    ValueError, FileNotFoundError
        As of `from_pretrained`; or the checkpoint has no whole encoder.
    """
    folder = resolve_folder(model, **(hub_options or {}))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*drawn at random.*")  # that is what a new head is
        warnings.filterwarnings("ignore", ".*unexpected.*|.*not used.*")
        if label_names is not None:
            options["id2label"] = dict(enumerate(_ordered_labels(folder, kind, label_names)))
        loaded, info = kind.from_pretrained(
            folder,
            seed=seed,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **options,
        )
    check_encoder(folder, info)
    return trainable(loaded), ErnieMTokenizer.from_pretrained(folder)


def _ordered_labels(folder: Path, kind: type, names: Sequence[str]) -> Sequence[str]:
    """The labels in the order of the checkpoint, if its head has the same ones."""
    config = ErnieMConfig.from_pretrained(folder)
    there = [config.id2label[n] for n in sorted(config.id2label)]
    if kind.__name__ not in (config.architectures or ()):
        return names
    if sorted(there) == sorted(names):
        return there
    if len(there) == len(names):
        warn(
            f"{folder} has a head for the labels {', '.join(there)}; the training of "
            f"{', '.join(names)} starts from its weights"
        )
    return names


def label_names(config: ErnieMConfig) -> list[str]:
    """The classes of a model, in the order of their ids."""
    return [config.id2label[n] for n in range(config.num_labels)]


def row_length(
    max_length: int | None, default: int, config: ErnieMConfig, shortest: int = SHORTEST
) -> int:
    """Most tokens of a row.

    Parameters
    ----------
    max_length : int, optional
        What a user chose; left out, the default, or what the model takes if that is less.
    default : int
    config : ErnieMConfig
        Of the model.
    shortest : int
        Tokens of the shortest row that makes sense.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        The model does not take it, or it has no room for a text.
    """
    limit = config.max_length
    if max_length is None:
        return min(default, limit)
    if not isinstance(max_length, Integral) or not shortest <= max_length <= limit:
        raise ValueError(
            f"max_length {max_length!r} is not a whole number in {shortest}..{limit}, which this "
            "model takes"
        )
    return int(max_length)


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
        Fewer than two labels, a label that is empty or has white space around it, or a label in
        evaluation that training does not have.
    """
    names = sorted(set(train))
    for name in names:
        if not name or name != name.strip():
            raise ValueError(
                f"training has the {what} {name!r}, which is empty or has white space around it; "
                "strip it, or it is a class of its own"
            )
    unseen = sorted(set(evaluation) - set(names))
    if unseen:
        raise ValueError(
            f"evaluation has the {what} {unseen[0]!r}, which training does not have; it has "
            f"{', '.join(names[:20])}"
        )
    if len(names) < 2:
        there = f"only the {what} {names[0]!r}" if names else f"no {what}"
        raise ValueError(f"training has {there}; at least two are needed")
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


def prepare_setup(
    loaded: tuple[ErnieMPreTrainedModel, ErnieMTokenizer],
    config: TrainingConfig,
    lengths: Sequence[int],
    batch_of: Callable[[np.ndarray], dict[str, Any]],
    evaluate: Evaluate,
    *,
    head: Head | None = None,
    **more: Any,
) -> TrainingSetup:
    """The setup of a task whose loss is computed from a batch of rows.

    Parameters
    ----------
    loaded : (model, tokenizer)
        From `load_trainable`.
    config : TrainingConfig
    lengths : sequence of int
        Tokens of each row of the training data.
    batch_of : function
        From the indices of rows to the batch that `value_and_grad` takes.
    evaluate : function of the model
        Returns scores by name.
    head : Head, optional
        The loss; left out, that of the model's class.
    **more
        Other fields of `TrainingSetup`.

    Returns
    -------
    TrainingSetup
    """
    batches = Batches(lengths, config.batch_size, config.seed)

    def loss_and_grad(model: ErnieMPreTrainedModel, step: int, rng: np.random.Generator) -> Any:
        return value_and_grad(
            model,
            batch_of(batches[step]),
            head=head,
            rng=rng,
            threads=config.threads,
            gradient_checkpointing=config.gradient_checkpointing,
            precision=config.precision,
        )

    return TrainingSetup(
        config, *loaded, loss_and_grad, evaluate, batches_per_epoch=batches.per_epoch, **more
    )


def fingerprints(train: Iterable[Any], evaluation: Iterable[Any]) -> dict[str, int]:
    """A number for the examples of each kind, by which a run tells whether they are the same."""
    parts = {"training examples": train, "evaluation examples": evaluation}
    sums = dict.fromkeys(parts, 0)
    for name, examples in parts.items():
        for example in examples:
            sums[name] = zlib.crc32(repr(example).encode("utf-8", "backslashreplace"), sums[name])
    return sums
