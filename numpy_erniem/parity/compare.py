"""check_parity(): our numbers beside upstream's on the same inputs, layer by layer."""

import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import numpy_erniem
from numpy_erniem.backend.dispatch import backend_report, use_backend
from numpy_erniem.checkpoint.folder import read_checkpoint
from numpy_erniem.checkpoint.hub import bundled_checkpoint, resolve_folder
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.models import ErnieMModel
from numpy_erniem.parity.upstream import (
    Numbers,
    arranged,
    named,
    upstream_numbers,
    upstream_versions,
)

TOLERANCE = 1e-4  # twelve float32 layers with hidden states of size 10
TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "敏捷的棕色狐狸跳过了懒狗。",
    "Zażółć gęślą jaźń, 2020年!",
    "ok",
)
# what NumPy, zipfile and zlib raise for files that are damaged
UNREADABLE = (
    *(ValueError, OSError, EOFError, KeyError, TypeError, NotImplementedError, RuntimeError),
    *(SyntaxError, OverflowError, MemoryError, zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class Difference:
    """How far two arrays are apart: largest and mean |difference|, cosine of the whole arrays."""

    largest: float
    mean: float
    cosine: float

    @classmethod
    def between(cls, got: np.ndarray, want: np.ndarray) -> "Difference":
        """Compare in float64."""
        a, b = got.astype(np.float64).ravel(), want.astype(np.float64).ravel()
        apart = np.abs(a - b)
        lengths = np.linalg.norm(a) * np.linalg.norm(b)
        cosine = float(a @ b / lengths) if lengths else 1.0
        return cls(float(apart.max(initial=0)), float(apart.mean()), cosine)


@dataclass
class ParityReport:
    """The table of a comparison.

    Attributes
    ----------
    checkpoint, reference : str
        What was run, and what it was compared with.
    tolerance : float
    rows : dict of backend to dict of layer to Difference
    """

    checkpoint: str
    reference: str
    tolerance: float
    rows: dict[str, dict[str, Difference]]

    def first_outside(self, backend: str) -> str | None:
        """The first layer whose largest difference is above the tolerance (or not a number)."""
        rows = self.rows[backend].items()
        return next((name for name, d in rows if not d.largest <= self.tolerance), None)

    @property
    def ok(self) -> bool:
        """Whether every number of every backend is within the tolerance."""
        return all(self.first_outside(backend) is None for backend in self.rows)

    def __str__(self) -> str:
        lines = [f"{self.checkpoint} beside {self.reference}, tolerance {self.tolerance:g}", ""]
        heads = "".join(f" | {b:>7}: max     mean   cosine" for b in self.rows)
        lines.append(f"{'':14}{heads}")
        for name in next(iter(self.rows.values())):
            row = f"{name:14}"
            for differences in self.rows.values():
                d = differences[name]
                row += f" | {d.largest:12.2e} {d.mean:8.2e} {d.cosine:8.6f}"
            lines.append(row)
        lines.append("")
        for backend in self.rows:
            first = self.first_outside(backend)
            verdict = f"out of tolerance from: {first}" if first else "all within the tolerance"
            lines.append(f"{backend}: {verdict}")
        return "\n".join(lines)


def check_parity(
    checkpoint: str | os.PathLike | None = None,
    texts: Sequence[str] | None = None,
    *,
    tolerance: float = TOLERANCE,
    save: str | os.PathLike | None = None,
    against: str | os.PathLike | None = None,
) -> ParityReport:
    """Compare our numbers, from NumPy and from the C kernels, with upstream's.

    Parameters
    ----------
    checkpoint : path or str, optional
        Folder or name on the hub; None is the bundled checkpoint.
    texts : sequence of str, optional
        Left out, four short ones in several scripts; without a tokenizer, drawn ids.
    tolerance : float
        Largest |difference| of any number.
    save : path, optional
        Write inputs and upstream's numbers there, an .npz.
    against : path, optional
        Compare with such a file instead, on its inputs; torch is not needed.

    Returns
    -------
    ParityReport

    Raises
    ------
    ValueError
        torch or transformers is missing and `against` is not given; the file is for another
        model; `texts` or `save` are given together with `against`.
    """
    if against is not None and (texts is not None or save is not None):
        raise ValueError("against brings its own inputs and numbers; leave out texts and save")
    folder = bundled_checkpoint() if checkpoint is None else resolve_folder(checkpoint)
    config, model_class = _config_and_class(folder)
    if against is not None:
        inputs, reference, made_by = read_golden(against)
    else:
        inputs = make_inputs(folder, config, texts)
        reference, made_by = upstream_numbers(folder, config, inputs), upstream_versions()
    if save is not None:
        write_golden(save, inputs, reference, made_by)
    rows = {}
    for backend in ("numpy", "native") if _native_is_built() else ("numpy",):
        with use_backend(backend):
            got = our_numbers(folder, model_class, inputs)
        rows[backend] = compare(got, reference)
    return ParityReport(str(folder), made_by, tolerance, rows)


def compare(got: Numbers, want: Numbers) -> dict[str, Difference]:
    """Differences layer by layer; ValueError where the two are not of one model."""
    for name in want:
        if name not in got or got[name].shape != want[name].shape:
            ours = got[name].shape if name in got else "absent"
            raise ValueError(
                f"{name} has shape {want[name].shape} in the reference and is {ours} here; "
                "is it of the same checkpoint?"
            )
    return {name: Difference.between(got[name], want[name]) for name in want}


def _native_is_built() -> bool:
    with use_backend("auto"):
        return backend_report()["backend"] == "native"


def _config_and_class(folder: Path) -> tuple[ErnieMConfig, type]:
    """The config, with the intermediate size of the weights, and the class that it names."""
    values, tensors = read_checkpoint(folder)
    rows = {t.shape[0] for n, t in tensors.items() if n.endswith("linear1.weight") and t.shape}
    config = ErnieMConfig.from_values(values, folder)
    if len(rows) == 1:
        config.intermediate_size = rows.pop()
    name = (config.architectures or [""])[0]
    return config, getattr(numpy_erniem, name, None) or ErnieMModel


def make_inputs(folder: Path, config: ErnieMConfig, texts: Sequence[str] | None) -> Numbers:
    """Ids and mask of texts, or drawn ones for a checkpoint without a tokenizer."""
    if (folder / "sentencepiece.bpe.model").is_file():
        from numpy_erniem.tokenizer import ErnieMTokenizer

        tokenizer = ErnieMTokenizer.from_pretrained(folder)
        batch = tokenizer(
            list(TEXTS if texts is None else texts),
            padding=True,
            truncation=True,
            max_length=config.max_length,
            return_tensors="np",
        )
        return {name: np.asarray(batch[name]) for name in ("input_ids", "attention_mask")}
    if texts is not None:
        raise ValueError(f"{folder} has no tokenizer, so it takes no texts; leave them out")
    T = min(16, config.max_length)
    ids = np.random.default_rng(0).integers(0, config.vocab_size, (2, T))
    mask = np.ones_like(ids)
    mask[1, T // 2 :] = 0
    return {"input_ids": ids, "attention_mask": mask}


def our_numbers(folder: Path, model_class: type, inputs: Numbers) -> Numbers:
    """Run ours."""
    model = model_class.from_pretrained(folder)
    return named(model(**arranged(inputs, model_class.__name__), output_hidden_states=True))


def write_golden(path: str | os.PathLike, inputs: Numbers, numbers: Numbers, made_by: str) -> None:
    """Write inputs and numbers as an .npz that `against` reads."""
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"{path} does not end in .npz")
    arrays = {f"input {name}": x for name, x in inputs.items()}
    arrays |= {f"output {name}": x for name, x in numbers.items()}
    partial = path.with_name(f".{path.name}.partial.npz")
    np.savez_compressed(partial, **arrays, made_by=np.array(made_by))
    os.replace(partial, path)


def read_golden(path: str | os.PathLike) -> tuple[Numbers, Numbers, str]:
    """Inputs, numbers and their maker, from a file of `write_golden`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            arrays = {name: saved[name] for name in saved.files}
    except UNREADABLE as error:
        raise ValueError(f"{path} is not an .npz that parity saved: {error}") from None
    inputs, numbers = (
        {n.removeprefix(kind): x for n, x in arrays.items() if n.startswith(kind)}
        for kind in ("input ", "output ")
    )
    if {*inputs} != {"input_ids", "attention_mask"} or not numbers:
        raise ValueError(f"{path} is not an .npz that parity saved: it holds {', '.join(arrays)}")
    return inputs, numbers, f"{arrays.get('made_by', 'an unknown maker')} (saved in {path.name})"
