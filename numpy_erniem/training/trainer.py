"""Trainer: the loop of training."""

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.backend.kept_memory import memory_is_kept
from numpy_erniem.checkpoint.atomic import atomic_write
from numpy_erniem.checkpoint.folder import read_folder
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.models.weights import flatten
from numpy_erniem.training.gradient_tree import Gradients, add, scale
from numpy_erniem.training.learning_rate import layer_factors, schedule
from numpy_erniem.training.optimizer import AdamW, clip_factor, nonfinite
from numpy_erniem.training.state import (
    REPORT,
    STATE,
    load_state,
    open_run,
    read_report,
    remove_state,
    save_state,
    write_errors,
)
from numpy_erniem.training.step_options import steps_of
from numpy_erniem.training.training_config import TrainingConfig

# (model, number of the batch, generator) -> loss and gradients
LossAndGrad = Callable[[ErnieMPreTrainedModel, int, np.random.Generator], tuple[float, Gradients]]
Evaluate = Callable[[ErnieMPreTrainedModel], dict[str, float]]
SECONDS_BETWEEN_REPORTS = 10


class Trainer:
    """The loop: batch, gradients, clipping, AdamW; saved states and evaluations.

    Parameters
    ----------
    model : ErnieMPreTrainedModel
        From `trainable`; its weights are changed in place.
    loss_and_grad : function
        Gets the model, the number of the batch (counted from 0) and a generator for dropout;
        returns the loss of that batch and its gradients. Inside of it, `value_and_grad` uses
        threads, gradient_checkpointing and precision of the config, unless it is told others; how
        large a batch is, the function decides.
    config : TrainingConfig
    out : path
        The folder of the run. A run with the same options that is there is resumed; one that is
        finished is not repeated. The state of a run is in `training-state` until it is finished.
    data : dict, optional
        Whatever identifies the data, and the weights at the start; it has to be the same when a run
        is resumed.
    save : function of the model, optional
        Writes the model; left out, `model.save_pretrained(out)`.
    evaluate : function of the model, optional
        Returns scores by name, at least one. The model with the highest first score is saved; NaN
        is lower than any number. Left out, the last model is saved.
    report : function of a str, optional
        Gets the lines that tell the progress.

    Raises
    ------
    ValueError
        The folder holds a run with other options, or patience is given without `evaluate`.
    """

    def __init__(
        self,
        model: ErnieMPreTrainedModel,
        loss_and_grad: LossAndGrad,
        config: TrainingConfig,
        out: str | os.PathLike,
        *,
        data: dict[str, Any] | None = None,
        save: Callable[[ErnieMPreTrainedModel], None] | None = None,
        evaluate: Evaluate | None = None,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.model, self.loss_and_grad, self.config = model, loss_and_grad, config
        self.out = Path(out)
        self.save = save or (lambda model: model.save_pretrained(self.out))
        self.evaluate, self.report = evaluate, report
        self.weights = flatten(model.weights)
        self.optimizer = AdamW(
            config.learning_rate,
            tuple(config.betas),
            weight_decay=config.weight_decay,
            factors=layer_factors(self.weights, model.config.num_hidden_layers, config.layer_decay),
        )
        self.history: list[tuple[float, float]] = []  # step, loss
        self.evaluations: list[tuple[float, ...]] = []  # step, scores
        self.metrics: list[str] = []
        if config.patience and evaluate is None:
            raise ValueError(f"patience {config.patience} needs evaluations; give evaluate")
        self.out.mkdir(parents=True, exist_ok=True)
        run = {**asdict(config), "config": model.config.to_dict(), **(data or {})}
        run["config"].pop("architectures", None)  # it is set when the model is saved
        self.found = open_run(self.out, run)
        if self.found == "stopped":
            self.history, self.evaluations = load_state(self.out, self.weights, self.optimizer)
            self.report(f"resumes after step {self.optimizer.steps}")

    @memory_is_kept()
    def run(self) -> dict[str, Any]:
        """Train to the last step; returns what report.json holds.

        Of a run that is finished the weights of the folder are put into the model.

        Raises
        ------
        ValueError
            The loss or a gradient is NaN or infinite. The message names the step and the tensor;
            the last saved state is kept.
        OSError
            A file could not be written.
        """
        if self.found == "finished":
            self.report(f"{self.out} holds this run, finished; nothing is left to do")
            remove_state(self.out)
            for name, tensor in read_folder(self.out).items():
                self.weights[name][...] = tensor.numpy()
            return read_report(self.out)
        config, recent = self.config, []
        started = reported = time.monotonic()
        first = self.optimizer.steps
        while not self._is_over():
            loss = self._step(self.optimizer.steps)
            n = self.optimizer.steps
            self.history.append((n, loss))
            recent.append(loss)
            now = time.monotonic()
            if now - reported > SECONDS_BETWEEN_REPORTS or n == config.steps:
                left = (now - started) / (n - first) * (config.steps - n)
                mean = sum(recent) / len(recent)
                self.report(f"step {n} of {config.steps}: loss {mean:.4f}, {left:.0f} s left")
                reported, recent = now, []
            if n == config.steps or (config.evaluate_every and n % config.evaluate_every == 0):
                self._evaluate(n)
            if n % config.save_every == 0 and not self._is_over():  # the model is all then
                save_state(self.out, self.weights, self.optimizer, self.history, self.evaluations)
        if self.optimizer.steps < config.steps:
            self.report(f"stops early: {config.patience} evaluations brought nothing better")
        return self._finish()

    def _is_over(self) -> bool:
        """Whether all steps are done, or as many evaluations as `patience` since the best one."""
        if self.optimizer.steps >= self.config.steps:
            return True
        scores = [first_score(row) for row in self.evaluations]
        patience = self.config.patience
        return bool(patience and scores and len(scores) - scores.index(max(scores)) > patience)

    def _step(self, step: int) -> float:
        """Do one step, counted from 0; returns the mean loss of its batches."""
        config, losses, gradients = self.config, [], None
        count = config.gradient_accumulation
        for part in range(count):
            rng = np.random.default_rng([config.seed, step, part])
            with steps_of(config):
                loss, more = self.loss_and_grad(self.model, step * count + part, rng)
            losses.append(loss)
            gradients = more if gradients is None else add(gradients, more)
        loss, flat = sum(losses) / count, flatten(gradients)
        if count > 1:
            scale(flat, 1 / count)
        scale_down, norm = clip_factor(flat, config.max_grad_norm, config.threads)
        if not math.isfinite(loss) or not math.isfinite(norm):
            self._stop(step + 1, loss, flat)
        factor = schedule(step, config.steps, config.warmup_steps, config.decay)
        self.optimizer.step(self.weights, flat, factor, config.threads, scale_down)
        return loss

    def _stop(self, step: int, loss: float, gradients: dict[str, Any]) -> None:
        """Raise a ValueError that names the step and the first tensor that is not finite."""
        bad = [f"weight {name}" for name in nonfinite(self.weights)]
        bad += [f"gradient of {name}" for name in nonfinite(gradients)]
        where = bad[0] if bad else "none: the norm of all gradients together overflowed"
        has_state = (self.out / STATE).is_file()
        kept = f"the last saved state in {self.out} is kept" if has_state else "no state was saved"
        raise ValueError(
            f"step {step}: the loss is {loss:g}; the first tensor that is not finite: {where}; "
            f"{kept}; use a lower learning rate, and another folder for it"
        )

    def _evaluate(self, step: int) -> None:
        """Evaluate, and save the model if it is the best so far."""
        if self.evaluate is None:
            self._save()
            return
        scores = self.evaluate(self.model)
        if not scores:
            raise ValueError("evaluate returned no score; return at least one, such as accuracy")
        self.metrics = list(scores)
        row = (step, *(float(value) for value in scores.values()))
        is_best = all(first_score(row) > first_score(other) for other in self.evaluations)
        self.evaluations.append(row)
        shown = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
        self.report(f"step {step}: {shown}{', the best so far' if is_best else ''}")
        if is_best:
            self._save()

    def _save(self) -> None:
        """Save the model, with what belongs to it, such as a tokenizer."""
        with write_errors(self.out, f"after step {self.optimizer.steps}", "the model"):
            self.save(self.model)

    def _finish(self) -> dict[str, Any]:
        """Write report.json; returns what it holds."""
        report: dict[str, Any] = {
            "steps": self.optimizer.steps,
            "history": [[int(n), loss] for n, loss in self.history],
            "evaluations": [[int(row[0]), *row[1:]] for row in self.evaluations],
        }
        if self.evaluate and not self.metrics:
            self.metrics = list(self.evaluate(self.model))
        if self.evaluations:
            best = max(self.evaluations, key=first_score)
            report["metrics"] = self.metrics
            report["best"] = {"step": int(best[0])} | dict(zip(self.metrics, best[1:], strict=True))
        with write_errors(self.out / REPORT, "at the end"):
            atomic_write(self.out / REPORT, json.dumps(report, indent=1) + "\n")
        remove_state(self.out)
        return report


def first_score(row: tuple[float, ...]) -> float:
    """The score of an evaluation (step, score, ...) that chooses the model; -inf for NaN."""
    return -math.inf if math.isnan(row[1]) else row[1]
