"""TrainingSetup: a model with its tokenizer, and what the loop needs to train it."""

import math
import os
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.sentence_settings import SentenceSettings, write_sentence_settings
from numpy_erniem.models.padding import check_pad_token
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.models.weights import flatten
from numpy_erniem.tokenizer import ErnieMTokenizer
from numpy_erniem.training.trainer import Evaluate, LossAndGrad, Trainer
from numpy_erniem.training.training_config import TrainingConfig


@dataclass
class TrainingSetup:
    """A model and its tokenizer, with what a `Trainer` needs to train it.

    Parameters
    ----------
    config : TrainingConfig
        For another batch_size, seed, threads, gradient_checkpointing or precision, make another
        setup: `loss_and_grad` has those of the config that it was made with.
    model : ErnieMPreTrainedModel
        From `trainable`.
    tokenizer : ErnieMTokenizer
        It is saved beside the model.
    loss_and_grad, evaluate
        As of `Trainer`.
    sentence_settings : SentenceSettings, optional
        How sentence vectors were made in training; saved beside the model.
    data : dict
        What identifies the data: a run that is resumed must have the same.
    batches_per_epoch : int, optional
        Batches that have every example once; None where there is no such number.

    Raises
    ------
    ValueError
        The tokenizer pads with another token than the model takes for padding.
    """

    config: TrainingConfig
    model: ErnieMPreTrainedModel
    tokenizer: ErnieMTokenizer
    loss_and_grad: LossAndGrad
    evaluate: Evaluate | None = None
    sentence_settings: SentenceSettings | None = None
    data: dict[str, Any] = field(default_factory=dict)
    batches_per_epoch: int | None = None
    _start: dict[str, int] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        check_pad_token(self.model.config, self.tokenizer)

    def for_epochs(self, epochs: float, patience: int = 0) -> "TrainingSetup":
        """The setup with as many steps as have every example so often; it evaluates every epoch.

        Parameters
        ----------
        epochs : float
            Above 0. Of less than one, the run has at least one step, and ends with the only
            evaluation.
        patience : int
            The run stops after so many epochs in a row without a better score; 0: never.

        Returns
        -------
        TrainingSetup
            Another one, with the same model.

        Raises
        ------
        ValueError
            A number of epochs that is not above 0, or a setup without a number of batches.
        """
        if not 0 < epochs < math.inf:
            raise ValueError(f"epochs {epochs:g} is not a number above 0")
        if self.batches_per_epoch is None:
            raise ValueError("this setup has no epochs; give the steps in its TrainingConfig")
        per_epoch = math.ceil(self.batches_per_epoch / self.config.gradient_accumulation)
        steps = max(1, round(epochs * per_epoch))
        often = min(per_epoch, steps)
        config = replace(self.config, steps=steps, evaluate_every=often, patience=patience)
        return replace(self, config=config)

    def train(self, out: str | os.PathLike, **options: Any) -> dict[str, Any]:
        """Train in a folder, or resume the run that is there; returns what report.json holds.

        `options` are `data`, in addition to that of the setup, and `report` of `Trainer`. Errors
        are those of `Trainer.run`. A run is resumed from the weights that it began with only.
        """
        if not self._start:
            self._start = start_of(self.model, self.tokenizer)
        options["data"] = {**self._start, **self.data, **(options.get("data") or {})}
        return Trainer(
            self.model,
            self.loss_and_grad,
            self.config,
            out,
            save=lambda model: self.save(out),
            evaluate=self.evaluate,
            **options,
        ).run()

    def save(self, out: str | os.PathLike) -> None:
        """Write model, tokenizer and settings to a folder."""
        self.model.save_pretrained(out)
        self.tokenizer.save_pretrained(out)
        if self.sentence_settings is not None:
            write_sentence_settings(Path(out), self.sentence_settings)


def start_of(model: ErnieMPreTrainedModel, tokenizer: ErnieMTokenizer) -> dict[str, int]:
    """A number for the weights and one for the tokens, by which a run tells what it began with."""
    weights = 0
    for name, value in flatten(model.weights).items():
        weights = zlib.crc32(np.ascontiguousarray(value), zlib.crc32(name.encode(), weights))
    tokens = sorted((number, token) for token, number in tokenizer.get_vocab().items())
    text = repr(tokens).encode("utf-8", "backslashreplace")
    return {"weights at the start": weights, "vocabulary": zlib.crc32(text)}
