"""check_parity(): our outputs against upstream's on the same inputs, layer by layer."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from numpy_erniem.backend.dispatch import backend_report, use_backend
from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.models import load
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.parity.golden import Arrays, read_golden, write_golden
from numpy_erniem.parity.upstream import (
    as_model_inputs,
    layer_outputs,
    upstream_outputs,
    upstream_versions,
)
from numpy_erniem.pipelines.texts import take_texts

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from numpy_erniem.checkpoint.keywords import HubOptions

TOLERANCE = 1e-4  # twelve float32 layers with hidden states of size 10
TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "敏捷的棕色狐狸跳过了懒狗。",
    "Zażółć gęślą jaźń, 2020年!",
    "ok",
)


@dataclass(frozen=True)
class Difference:
    """The difference of two arrays: largest and mean |a - b|, and the cosine of all elements."""

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
    """The differences of every layer on every backend; str() gives them as a table.

    Attributes
    ----------
    model : str
        The folder of the model that was run.
    reference : str
        What it was compared with.
    tolerance : float
        Largest |difference| that is accepted.
    rows : dict of backend to dict of layer to Difference
    """

    model: str
    reference: str
    tolerance: float
    rows: dict[str, dict[str, Difference]]

    def first_outside(self, backend: str) -> str | None:
        """The first layer whose difference is NaN or above the tolerance; None if all pass."""
        rows = self.rows[backend].items()
        return next((name for name, d in rows if not d.largest <= self.tolerance), None)

    @property
    def ok(self) -> bool:
        """Whether every number of every backend is within the tolerance."""
        return all(self.first_outside(backend) is None for backend in self.rows)

    def __str__(self) -> str:
        lines = [f"{self.model} against {self.reference}, tolerance {self.tolerance:g}", ""]
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
            verdict = f"outside the tolerance from: {first}" if first else "all within tolerance"
            lines.append(f"{backend}: {verdict}")
        return "\n".join(lines)


def check_parity(
    model: str | os.PathLike | None = None,
    texts: Sequence[str] | None = None,
    *,
    tolerance: float = TOLERANCE,
    save: str | os.PathLike | None = None,
    against: str | os.PathLike | None = None,
    **hub_options: "Unpack[HubOptions]",
) -> ParityReport:
    """Compare our outputs, from NumPy and from the C kernels, with upstream's.

    Parameters
    ----------
    model : path or str, optional
        A folder, or a name on the Hugging Face hub; None is the bundled checkpoint.
    texts : sequence of str, optional
        The inputs. Left out, four short texts in several scripts, or drawn ids for a checkpoint
        without a tokenizer.
    tolerance : float
        Largest |difference| of any number.
    save : path, optional
        Write inputs and upstream's outputs there, an .npz.
    against : path, optional
        Compare with such a file, on its inputs, in place of running upstream; needs no torch.
    **hub_options
        revision, cache_dir, local_files_only, subfolder, token and force_download: where the
        model is, as of `numpy_erniem.checkpoint.keywords.HubOptions`.

    Returns
    -------
    ParityReport

    Raises
    ------
    FileNotFoundError
        There is no such model, or no file `against`.
    ValueError
        torch or transformers is missing and `against` is not given; the file is for another
        model; `texts` or `save` are given together with `against`.
    TypeError
        An unknown keyword.
    """
    if against is not None and (texts is not None or save is not None):
        raise ValueError("against has its own inputs and outputs; leave out texts and save")
    folder = resolve_folder(model, **hub_options)
    ours = load(folder)
    if against is not None:
        inputs, reference, made_by = read_golden(against)
    else:
        inputs = _make_inputs(folder, ours, texts)
        reference, made_by = upstream_outputs(folder, ours.config, inputs), upstream_versions()
    if save is not None:
        write_golden(save, inputs, reference, made_by)
    rows = {}
    for backend in ("numpy", "native") if _native_is_built() else ("numpy",):
        with use_backend(backend):
            rows[backend] = compare(_our_outputs(ours, inputs), reference)
    return ParityReport(str(folder), made_by, tolerance, rows)


def compare(got: Arrays, want: Arrays) -> dict[str, Difference]:
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


def _make_inputs(folder: Path, model: ErnieMPreTrainedModel, texts: Sequence[str] | None) -> Arrays:
    """input_ids and attention_mask of texts, or drawn ones for a checkpoint without a tokenizer."""
    longest = model.config.max_length
    if (folder / "sentencepiece.bpe.model").is_file():
        from numpy_erniem.tokenizer import ErnieMTokenizer

        batch = ErnieMTokenizer.from_pretrained(folder)(
            take_texts(TEXTS if texts is None else texts)[0],
            padding=True,
            truncation=True,
            max_length=longest,
            return_tensors="np",
        )
        return {name: np.asarray(batch[name]) for name in ("input_ids", "attention_mask")}
    if texts is not None:
        raise ValueError(f"{folder} has no tokenizer, so it takes no texts; leave them out")
    T = min(16, longest)
    ids = np.random.default_rng(0).integers(0, model.config.vocab_size, (2, T))
    mask = np.ones_like(ids)
    mask[1, T // 2 :] = 0
    return {"input_ids": ids, "attention_mask": mask}


def _our_outputs(model: ErnieMPreTrainedModel, inputs: Arrays) -> Arrays:
    arguments = as_model_inputs(inputs, type(model).__name__)
    return layer_outputs(model(**arguments, output_hidden_states=True))
