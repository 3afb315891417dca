"""The loop: batch, gradients, clipping, AdamW; checkpoints, evaluation, an early and clear end."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.atomic import atomic_write
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.models.weights import flatten
from numpy_erniem.training.checkpoints import (
    REPORT,
    load_state,
    open_run,
    save_state,
    telling,
)
from numpy_erniem.training.optimizer import DECAYS, AdamW, clip, layer_factors, nonfinite, schedule
from numpy_erniem.training.threads import available_cores
from numpy_erniem.training.trees import Gradients, add

# (model, micro-step, generator) -> loss and gradients
Grade = Callable[[ErnieMPreTrainedModel, int, np.random.Generator], tuple[float, Gradients]]
Evaluate = Callable[[ErnieMPreTrainedModel], dict[str, float]]


@dataclass(frozen=True)
class Plan:
    """What decides how a run goes, but for model and data; all of it is kept in run.json.

    rate is the peak of the learning rate, reached after `warmup` (a share of the steps) and then
    decaying to 0; layer_decay multiplies it from layer to layer downwards; a step takes the mean
    gradient of `accumulate` batches, clipped to a norm of `largest_norm`. threads parts of a batch
    are worked on at a time.
    """

    steps: int
    batch: int = 32
    rate: float = 1e-4
    warmup: float = 0.1
    decay: str = "linear"
    layer_decay: float = 1.0
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    largest_norm: float | None = 1.0
    accumulate: int = 1
    seed: int = 0
    threads: int = 0
    recompute: bool = False
    save_every: int = 500
    evaluate_every: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is not at least 1")
        if not 0 < self.rate < 10:
            raise ValueError(f"rate {self.rate} is not a learning rate in (0, 10)")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup {self.warmup} is not a share of the steps in [0, 1)")
        if self.decay not in DECAYS:
            raise ValueError(f"decay {self.decay!r} is not one of {', '.join(DECAYS)}")
        if not self.threads:
            object.__setattr__(self, "threads", available_cores())


class Trainer:
    """A model being trained in a folder.

    Parameters
    ----------
    model : from `trainable`
        Its weights are changed in place.
    grade : function of model, micro-step and generator
        The loss of the batch of that step, and its gradients.
    plan : Plan
    out : path
        A run of the same plan that is there already goes on.
    data : dict
        What identifies the data; compared when a run goes on.
    save : function of the model, optional
        Writes the model's folder; by default `save_pretrained`.
    evaluate : function of the model, optional
        Metrics by name; the first decides which checkpoint is the best: higher is better. Without
        it, the last is kept.
    report : function of a line, optional
        Where progress goes.
    """

    def __init__(
        self,
        model: ErnieMPreTrainedModel,
        grade: Grade,
        plan: Plan,
        out: Path,
        *,
        data: dict[str, Any] | None = None,
        save: Callable[[ErnieMPreTrainedModel], None] | None = None,
        evaluate: Evaluate | None = None,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.model, self.grade, self.plan, self.out = model, grade, plan, Path(out)
        self.save = save or (lambda model: model.save_pretrained(self.out))
        self.evaluate, self.report = evaluate, report
        self.weights = flatten(model.weights)
        factors = layer_factors(self.weights, model.config.num_hidden_layers, plan.layer_decay)
        self.optimizer = AdamW(
            plan.rate, tuple(plan.betas), weight_decay=plan.weight_decay, factors=factors
        )
        self.history: list[tuple[float, float]] = []  # step, loss
        self.evaluations: list[tuple[float, ...]] = []  # step, metrics
        self.metrics: list[str] = []
        self.out.mkdir(parents=True, exist_ok=True)
        run = {**asdict(plan), "config": model.config.to_dict(), **(data or {})}
        run["config"].pop("architectures", None)  # set when the model is saved
        if open_run(self.out, run):
            self.history, self.evaluations = load_state(self.out, self.weights, self.optimizer)
            self.report(f"goes on after step {self.optimizer.steps}")

    def run(self) -> dict[str, Any]:
        """Train to the end; returns what report.json holds.

        Raises
        ------
        ValueError
            The loss or a gradient is NaN or infinite: step and tensor are named, and the last
            good checkpoint stays.
        OSError
            A checkpoint could not be written.
        """
        plan, started, recent = self.plan, time.monotonic(), []
        first, told = self.optimizer.steps, time.monotonic()
        while self.optimizer.steps < plan.steps:
            loss = self._step(self.optimizer.steps)
            n = self.optimizer.steps
            self.history.append((n, loss))
            recent.append(loss)
            now = time.monotonic()
            if now - told > 10 or n == plan.steps:
                left = (now - started) / (n - first) * (plan.steps - n)
                mean = sum(recent) / len(recent)
                self.report(f"step {n} of {plan.steps}: loss {mean:.4f}, {left:.0f} s left")
                told, recent = now, []
            if n == plan.steps or (plan.evaluate_every and n % plan.evaluate_every == 0):
                self._evaluate(n)
            if n == plan.steps or n % plan.save_every == 0:
                save_state(self.out, self.weights, self.optimizer, self.history, self.evaluations)
        return self._finish()

    def _step(self, step: int) -> float:
        plan, losses, gradients = self.plan, [], None
        for part in range(plan.accumulate):
            rng = np.random.default_rng([plan.seed, step, part])
            loss, more = self.grade(self.model, step * plan.accumulate + part, rng)
            losses.append(loss)
            gradients = more if gradients is None else add(gradients, more)
        loss, flat = sum(losses) / plan.accumulate, flatten(gradients)
        if plan.accumulate > 1:
            for g in flat.values():
                values = getattr(g, "values", g) if not isinstance(g, np.ndarray) else g
                values *= 1 / plan.accumulate
        flat, norm = clip(flat, plan.largest_norm)
        if not math.isfinite(loss) or not math.isfinite(norm):
            self._stop(step + 1, loss, flat)
        factor = schedule(step + 1, plan.steps, round(plan.warmup * plan.steps), plan.decay)
        self.optimizer.step(self.weights, flat, factor, plan.threads)
        return loss

    def _stop(self, step: int, loss: float, gradients: dict[str, Any]) -> None:
        """Say at which step, and in which tensor, a number stopped being one."""
        bad = [f"weight {name}" for name in nonfinite(self.weights)]
        bad += [f"gradient of {name}" for name in nonfinite(gradients)]
        where = bad[0] if bad else "none: the norm of all gradients together overflowed"
        raise ValueError(
            f"step {step}: the loss is {loss:g}; the first tensor that is not finite: {where}; "
            f"the last good checkpoint in {self.out} is kept; lower the learning rate"
        )

    def _evaluate(self, step: int) -> None:
        if self.evaluate is None:
            self._save()
            return
        metrics = self.evaluate(self.model)
        self.metrics = list(metrics)
        values = tuple(float(value) for value in metrics.values())
        best = max((row[1] for row in self.evaluations), default=-math.inf)
        self.evaluations.append((step, *values))
        told = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        self.report(f"step {step}: {told}{', the best so far' if values[0] > best else ''}")
        if values[0] > best:
            self._save()

    def _save(self) -> None:
        with telling(self.out / "model.safetensors", f"after step {self.optimizer.steps}"):
            self.save(self.model)

    def _finish(self) -> dict[str, Any]:
        report: dict[str, Any] = {
            "steps": self.optimizer.steps,
            "history": [[int(n), loss] for n, loss in self.history],
            "evaluations": [[int(row[0]), *row[1:]] for row in self.evaluations],
        }
        if self.evaluate and not self.metrics:
            self.metrics = list(self.evaluate(self.model))
        if self.evaluations:
            best = max(self.evaluations, key=lambda row: row[1])
            report["metrics"] = self.metrics
            report["best"] = {"step": int(best[0])} | dict(zip(self.metrics, best[1:], strict=True))
        with telling(self.out / REPORT, "at the end"):
            atomic_write(self.out / REPORT, json.dumps(report, indent=1) + "\n")
        return report
