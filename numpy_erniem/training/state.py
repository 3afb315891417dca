"""The folder of a training run: its options, and the state from which it can be resumed.

    run.json             what decides the result: options, model config, data
    config.json, model.safetensors, ...    the best or last model
    report.json          losses and scores, written at the end
    training-state/      weights, the two running means of AdamW, step, losses; removed at the end

A state is written under another name first, so a crash leaves the old state or the new one.
"""

import errno
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.atomic import atomic_write, clear_leftovers
from numpy_erniem.checkpoint.folder import WEIGHTS_FILE
from numpy_erniem.checkpoint.json_files import to_json
from numpy_erniem.checkpoint.safetensors_file import read_safetensors, replace_safetensors
from numpy_erniem.checkpoint.tensors import Tensor
from numpy_erniem.training.optimizer import AdamW

CONFIG_FILE = "config.json"
RUN, REPORT = "run.json", "report.json"
STATE = "training-state/state.safetensors"

Rows = list[tuple[float, ...]]


def open_run(out: Path, run: Mapping[str, Any]) -> str:
    """Write run.json, or compare it with the one that is there: "new", "stopped" or "finished".

    A stopped run has a state to resume, a finished one its report. One that was stopped before its
    first state begins again; it may have left its best model.

    Raises
    ------
    ValueError
        The folder holds a run with other options: the message says which. Or it holds a checkpoint
        and no run, which a new run would overwrite.
    """
    for folder in (out, (out / STATE).parent):
        clear_leftovers(folder)
    run = json.loads(json.dumps(run))  # tuples become lists, as in the file
    path = out / RUN
    finished, stopped = ((out / name).is_file() for name in (REPORT, STATE))
    model = [name for name in (WEIGHTS_FILE, CONFIG_FILE) if (out / name).exists()]
    if path.is_file() and (finished or stopped or model):
        there = _read_json(path)
        differing = [
            f"{name} {there.get(name)!r} there, {run.get(name)!r} here"
            for name in {**there, **run}
            if there.get(name) != run.get(name)
        ]
        if differing:
            raise ValueError(
                f"{out} holds a run with other options: {'; '.join(differing)}; "
                "give the same options to resume it, or another folder"
            )
        if finished or stopped:
            return "finished" if finished else "stopped"
    elif model:
        raise ValueError(
            f"{out} has a {model[0]} that no run of training wrote, and it would be overwritten; "
            "give another folder"
        )
    with write_errors(path, "before the first step"):
        (out / REPORT).unlink(missing_ok=True)  # of no run that is known
        atomic_write(path, to_json(run, indent=2) + "\n")
    return "new"


def read_report(out: Path) -> dict[str, Any]:
    """What report.json of a finished run holds; ValueError if it is not what a run writes."""
    report = _read_json(out / REPORT)
    missing = [name for name in ("steps", "history", "evaluations") if name not in report]
    if report.get("evaluations") and "best" not in report:
        missing.append("best")
    if missing:
        raise ValueError(
            f"{out / REPORT} has no {', '.join(missing)}; remove it, and the run is made again"
        )
    return report


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} is a JSON {type(value).__name__}, not an object")
    return value


def remove_state(out: Path) -> None:
    """Remove the state of a run that is finished; nothing else is in its folder."""
    folder = (out / STATE).parent
    clear_leftovers(folder)
    (out / STATE).unlink(missing_ok=True)
    with suppress(OSError):  # not there, or somebody put a file into it
        folder.rmdir()


def save_state(
    out: Path,
    weights: Mapping[str, np.ndarray],
    optimizer: AdamW,
    history: Rows,
    evaluations: Rows,
) -> None:
    """Write everything that the next step depends on, one tensor after the other.

    Parameters
    ----------
    out : Path
        The folder of the run.
    weights : dict of str to array
        By flat name.
    optimizer : AdamW
    history : list of (step, loss)
    evaluations : list of (step, score, ...)

    Raises
    ------
    OSError
        The state could not be written; the one before it is kept.
    """
    tensors = {"step": np.array([optimizer.steps], np.int64)}
    for name, rows in (("history", history), ("evaluations", evaluations)):
        tensors[name] = np.array(rows or np.empty((0, 0)), np.float64)
    groups = {"weights": weights, "first": optimizer.first, "second": optimizer.second}
    for group, arrays in groups.items():
        tensors |= {f"{group}.{name}": value for name, value in arrays.items()}
    with write_errors(out / STATE, f"after step {optimizer.steps}"):
        (out / STATE).parent.mkdir(parents=True, exist_ok=True)
        replace_safetensors(
            out / STATE, {name: Tensor.of_array(value) for name, value in tensors.items()}
        )


def load_state(out: Path, weights: Mapping[str, np.ndarray], optimizer: AdamW) -> tuple[Rows, Rows]:
    """Put a saved state into the weights and the optimizer.

    Parameters
    ----------
    out : Path
        The folder of the run.
    weights : dict of str to array
        By flat name; changed in place.
    optimizer : AdamW
        Its means and its step are changed.

    Returns
    -------
    history : list of (step, loss)
    evaluations : list of (step, score, ...)

    Raises
    ------
    ValueError
        The state is of another model, or damaged.
    """
    tensors = {name: tensor.numpy() for name, tensor in read_safetensors(out / STATE).items()}
    groups: dict[str, dict[str, np.ndarray]] = {"weights": {}, "first": {}, "second": {}}
    for full_name, stored in tensors.items():
        group, _, name = full_name.partition(".")
        if group in groups:
            if name not in weights or stored.shape != weights[name].shape:
                raise ValueError(f"{out / STATE} does not fit the model: see tensor {full_name}")
            groups[group][name] = stored
    lost = [f"weights.{name}" for name in weights.keys() - groups["weights"].keys()]
    lost += {"step", "history", "evaluations"} - tensors.keys()
    if lost:
        raise ValueError(f"{out / STATE} does not fit the model: it has no tensor {min(lost)}")
    for name, stored in groups["weights"].items():
        weights[name][...] = stored
    optimizer.first = {name: stored.copy() for name, stored in groups["first"].items()}
    optimizer.second = {name: stored.copy() for name, stored in groups["second"].items()}
    optimizer.steps = int(tensors["step"][0])
    return tuple([tuple(row) for row in tensors[n].tolist()] for n in ("history", "evaluations"))


@contextmanager
def write_errors(path: Path, when: str, what: str = "") -> Iterator[None]:
    """Turn a failed write into one sentence: which file, when, why, and what is still good.

    Parameters
    ----------
    path : Path
        Of a file; or of a folder that several files are written to, one after the other.
    when : str
        Such as "after step 3".
    what : str
        What is written to a folder.

    Returns
    -------
    context manager

    Raises
    ------
    OSError
        Of one sentence, for an OSError in the block.
    """
    try:
        yield
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        why = "the disk is full" if is_full else error
        kept = "the file before it is kept" if path.exists() else "there was no file before it"
        if what:
            kept = "each of its files there is whole, the new one or the one before it"
            raise OSError(f"{path}: {what} could not be written {when}: {why}; {kept}") from None
        raise OSError(f"{path} could not be written {when}: {why}; {kept}") from None
