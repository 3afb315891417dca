"""check_parity(): our outputs against upstream's on the same inputs, layer by layer."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numpy_erniem.backend.dispatch import backend_report, use_backend
from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checkpoint.sentence_settings import read_sentence_settings
from numpy_erniem.models import ErnieMModel, load
from numpy_erniem.models.padding import check_pad_token
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.parity.family import (
    Opened,
    family_outputs,
    library_token_ids,
    opened,
    without_padding,
)
from numpy_erniem.parity.golden import Arrays, read_golden, write_golden
from numpy_erniem.parity.sentences import MODULES_FILE, sentence_vectors
from numpy_erniem.parity.upstream import (
    as_model_inputs,
    layer_outputs,
    upstream_outputs,
    upstream_versions,
)
from numpy_erniem.pipelines.embed import Embedder
from numpy_erniem.pipelines.texts import take_texts

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from numpy_erniem.checkpoint.keywords import HubOptions

TOLERANCE = 1e-4  # twelve float32 layers with hidden states of size 10
TOKEN_IDS, VECTORS = "token ids", "sentence vectors"
OF_TEXTS = (TOKEN_IDS, VECTORS)  # not in a golden file, which has no texts
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
    notes : list of str
        What could not be compared, and why.
    """

    model: str
    reference: str
    tolerance: float
    rows: dict[str, dict[str, Difference]]
    notes: list[str] = field(default_factory=list)

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
        lines.append(f"{'':16}{heads}")
        for name in next(iter(self.rows.values())):
            row = f"{name:16}"
            for differences in self.rows.values():
                d = differences[name]
                row += f" | {d.largest:12.2e} {d.mean:8.2e} {d.cosine:8.6f}"
            lines.append(row)
        lines.append("")
        for backend in self.rows:
            first = self.first_outside(backend)
            verdict = f"outside the tolerance from: {first}" if first else "all within tolerance"
            lines.append(f"{backend}: {verdict}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


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
        A folder, or a name on the Hugging Face hub; None is the bundled checkpoint. A model of the
        XLM-RoBERTa family is converted into a temporary folder, and compared with its own class:
        token ids, every layer, the head, and sentence vectors (without prompts). Numbers at padding
        are left out.
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
    folder = resolve_folder(model, family=True, **hub_options)
    with opened(folder) as checkpoint:
        ours = load(checkpoint.folder)
        if against is not None:
            inputs, reference, made_by = read_golden(against)
            run = Run(checkpoint, ours, inputs, [])
        else:
            run = _make_inputs(checkpoint, ours, texts)
            reference, made_by = _reference(run), upstream_versions()
        if save is not None:
            saved = {name: x for name, x in reference.items() if name not in OF_TEXTS}
            write_golden(save, run.inputs, saved, made_by)
        rows = {}
        for backend in ("numpy", "native") if _native_is_built() else ("numpy",):
            with use_backend(backend):
                rows[backend] = compare(_our_outputs(run, reference), reference)
    return ParityReport(str(folder), made_by, tolerance, rows, checkpoint.notes)


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


class Run(NamedTuple):
    """A checkpoint, our model of it, and its inputs; `texts` is empty where ids were drawn."""

    checkpoint: Opened
    model: ErnieMPreTrainedModel
    inputs: Arrays
    texts: list[str]


def _make_inputs(
    checkpoint: Opened, model: ErnieMPreTrainedModel, texts: Sequence[str] | None
) -> Run:
    """input_ids and attention_mask of texts, or drawn ones for a checkpoint without a tokenizer."""
    folder, longest = checkpoint.folder, model.config.max_length
    if (folder / "sentencepiece.bpe.model").is_file():
        from numpy_erniem.tokenizer import ErnieMTokenizer

        longest = min(longest, read_sentence_settings(folder).max_length or longest)
        given = take_texts(TEXTS if texts is None else texts)[0]
        tokenizer = ErnieMTokenizer.from_pretrained(folder)
        check_pad_token(model.config, tokenizer)
        batch = tokenizer(
            given,
            padding=True,
            truncation=True,
            max_length=longest,
            return_attention_mask=True,
            return_tensors="np",
        )
        inputs = {name: np.asarray(batch[name]) for name in ("input_ids", "attention_mask")}
        return Run(checkpoint, model, inputs, list(given))
    if texts is not None:
        raise ValueError(
            f"{checkpoint.source} has no tokenizer, so it takes no texts; leave them out"
        )
    T = min(16, longest)
    ids = np.random.default_rng(0).integers(0, model.config.vocab_size, (2, T))
    mask = np.ones_like(ids)
    mask[1, T // 2 :] = 0
    padding = model.config.pad_token_id
    if checkpoint.is_converted and padding is not None:  # XLM-R's positions depend on padding
        ids = np.where(mask == 0, padding, np.where(ids == padding, padding + 1, ids))
    return Run(checkpoint, model, {"input_ids": ids, "attention_mask": mask}, [])


def _reference(run: Run) -> Arrays:
    """What the library's own class gives, with token ids and sentence vectors where it has them."""
    source, encoder = run.checkpoint.source, run.checkpoint.encoder
    config, inputs = run.model.config, run.inputs
    if not run.checkpoint.is_converted:
        return upstream_outputs(source, config, inputs)
    found = family_outputs(encoder, config, inputs)
    if run.texts:
        try:
            ids = library_token_ids(encoder, run.texts, inputs["input_ids"].shape[1])
            found = {TOKEN_IDS: _as_array(ids)} | found
        except ValueError as error:
            run.checkpoint.notes.append(f"token ids were not compared: {error}")
        if isinstance(run.model, ErnieMModel) and (source / MODULES_FILE).is_file():
            last = found[f"layer {config.num_hidden_layers}"]
            found[VECTORS] = sentence_vectors(source, last, inputs["attention_mask"])
    return found


def _our_outputs(run: Run, reference: Arrays) -> Arrays:
    arguments = as_model_inputs(
        run.inputs, type(run.model).__name__, positions=not run.checkpoint.is_converted
    )
    found = layer_outputs(run.model(**arguments, output_hidden_states=True))
    if run.checkpoint.is_converted:
        found = without_padding(found, run.inputs["attention_mask"])
    if TOKEN_IDS in reference:
        rows = zip(run.inputs["input_ids"], run.inputs["attention_mask"], strict=True)
        found[TOKEN_IDS] = _as_array([ids[mask == 1].tolist() for ids, mask in rows])
    if VECTORS in reference:
        found[VECTORS] = Embedder.from_pretrained(run.checkpoint.folder)(run.texts, prompt="")
    return found


def _as_array(rows: list[list[int]]) -> np.ndarray:
    """Token ids of texts as one array, filled up with -1."""
    longest = max(map(len, rows))
    return np.array([row + [-1] * (longest - len(row)) for row in rows])
