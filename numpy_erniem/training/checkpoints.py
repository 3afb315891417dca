"""The folder of a training run: what was asked for, and a state from which it goes on.

    run.json             what decides the result: data, sizes, rates, seed
    state.safetensors    weights, AdamW's two means, the step, the history of losses
    config.json, model.safetensors, ...    the model: the best, or the last
    report.json          the figures of the run

A state is complete or not there: it is written under another name first.
"""

import errno
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.atomic import atomic_write
from numpy_erniem.checkpoint.safetensors_file import read_safetensors
from numpy_erniem.training.optimizer import AdamW

RUN, STATE, REPORT = "run.json", "state.safetensors", "report.json"


def open_run(out: Path, run: Mapping[str, Any]) -> bool:
    """Write run.json, or compare it with the one there; returns whether there is a state.

    Raises
    ------
    ValueError
        There is a run with another configuration: the message says what differs.
    """
    run = json.loads(json.dumps(run))  # as it will be read again
    path = out / RUN
    if path.is_file() and (out / STATE).is_file():
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not JSON: {error}") from None
        differing = [
            f"{name} {there.get(name)!r} there, {run.get(name)!r} here"
            for name in {**there, **run}
            if there.get(name) != run.get(name)
        ]
        if differing:
            raise ValueError(
                f"{out} holds a run of another configuration: {'; '.join(differing)}; "
                "give the same to go on with it, or another folder"
            )
        return True
    with telling(path, "before the first step"):
        atomic_write(path, json.dumps(run, indent=2, ensure_ascii=False) + "\n")
    return False


def save_state(
    out: Path,
    weights: Mapping[str, np.ndarray],
    optimizer: AdamW,
    history: list[tuple[float, ...]],
    evaluations: list[tuple[float, ...]],
) -> None:
    """Write everything that the next step depends on; a crash leaves the old state or this one."""
    from safetensors.numpy import save

    tensors = {"step": np.array([optimizer.steps], np.int64)}
    for name, rows in (("history", history), ("evaluations", evaluations)):
        tensors[name] = np.array(rows or np.empty((0, 0)), np.float64)
    for part, group in _parts(weights, optimizer).items():
        tensors |= {f"{part}.{name}": value for name, value in group.items()}
    with (
        telling(out / STATE, f"after step {optimizer.steps}"),
        tempfile.TemporaryDirectory(prefix=".saving-", dir=out) as hidden,
    ):
        complete = Path(hidden, STATE)
        with complete.open("wb") as file:
            file.write(save(tensors))
            file.flush()
            os.fsync(file.fileno())
        os.replace(complete, out / STATE)


def load_state(
    out: Path, weights: Mapping[str, np.ndarray], optimizer: AdamW
) -> tuple[list[tuple[float, ...]], list[tuple[float, ...]]]:
    """Put a state into the weights and the optimizer; returns history and evaluations."""
    tensors = {name: tensor.numpy() for name, tensor in read_safetensors(out / STATE).items()}
    for name, value in weights.items():
        stored = tensors.get(f"weights.{name}")
        if stored is None or stored.shape != value.shape:
            raise ValueError(f"{out / STATE} does not fit the model: tensor {name}")
        value[...] = stored
    for part, means in (("first", optimizer.first), ("second", optimizer.second)):
        for name, stored in tensors.items():
            if name.startswith(f"{part}."):
                means[name.removeprefix(f"{part}.")] = stored.copy()
    optimizer.steps = int(tensors["step"][0])
    return tuple([tuple(row) for row in tensors[n].tolist()] for n in ("history", "evaluations"))


def _parts(weights: Mapping[str, np.ndarray], optimizer: AdamW) -> dict[str, Mapping]:
    return {"weights": weights, "first": optimizer.first, "second": optimizer.second}


@contextmanager
def telling(path: Path, when: str) -> Any:
    """Turn a failed write into one sentence: which file, when, and what is still good."""
    try:
        yield
    except Exception as error:
        text = str(error)
        is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if not isinstance(error, OSError) and type(error).__name__ != "SafetensorError":
            raise
        why = "the disk is full" if is_full or "No space left" in text else text
        kept = "the checkpoint before it is kept" if path.exists() else "there is none before it"
        raise OSError(f"{path} could not be written {when}: {why}; {kept}") from None
