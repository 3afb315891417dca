"""How near a narrow model is to the float model that it was made of."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.sentence_settings import SentenceSettings
from numpy_erniem.pipelines.embed import Embedder
from numpy_erniem.quantization.by_layer import first_rows, layer_errors
from numpy_erniem.quantization.logits import Model, Moved, compare_logits
from numpy_erniem.tokenizer import ErnieMTokenizer

LEAST_COSINE = 0.999  # of a sentence vector with that of float32; below it, layers are named
DRAWN_ROWS, DRAWN_TOKENS = 24, 12  # of random token ids, where there is no tokenizer


@dataclass
class Texts:
    """What is compared: token ids, and the texts that they are of.

    Attributes
    ----------
    rows : list of list of int
        Cut to what the model takes.
    names : list of str
        For each row its language, or "" if that is not known.
    texts : list of str
        Empty where there is no tokenizer, and the rows are drawn.
    tokenizer : ErnieMTokenizer, optional
    settings : SentenceSettings
        How a sentence vector is made.
    cut : int
        Rows that were cut.
    """

    rows: list[list[int]]
    names: list[str]
    texts: list[str] = field(default_factory=list)
    tokenizer: ErnieMTokenizer | None = None
    settings: SentenceSettings = field(default_factory=SentenceSettings)
    cut: int = 0

    def vectors(self, model: Model) -> np.ndarray:
        """A vector of length 1 for each row: (n, W)."""
        encoder: Any = model.base_model
        if self.tokenizer is not None:
            embedder = Embedder(encoder, self.tokenizer, self.settings)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*were cut at their")  # `Agreement` tells it
                return embedder(self.texts, normalize=True)
        vectors = np.stack([encoder([row]).last_hidden_state[0].mean(axis=0) for row in self.rows])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@dataclass
class Agreement:
    """What a narrow model costs; str() tells it in lines.

    Attributes
    ----------
    precision : str
        "int8" or "bfloat16".
    texts : int
        That were compared.
    are_drawn : bool
        Whether they are random token ids.
    cut : int
        How many of the texts are longer than the model takes, so that only a part was compared.
    mean, lowest : float
        Cosine of the sentence vectors of both models.
    by_language : dict of str to float
        The lowest cosine of each language, where languages are known.
    logits : dict of str to Moved
        For each class whose head the checkpoint has, what happens to its logits.
    layers : dict of str to float
        The relative error of a layer's output where this map alone is narrow, largest first.
    layer_texts : int
        How many of the texts the layers were measured by.
    keep_float : list of str
        Layers that are floats.
    advised : list of str
        More layers that have to be, for the lowest cosine to reach `LEAST_COSINE`; or none.
    """

    precision: str
    texts: int
    are_drawn: bool
    cut: int
    mean: float
    lowest: float
    by_language: dict[str, float] = field(default_factory=dict)
    logits: dict[str, Moved] = field(default_factory=dict)
    layers: dict[str, float] = field(default_factory=dict)
    layer_texts: int = 0
    keep_float: list[str] = field(default_factory=list)
    advised: list[str] = field(default_factory=list)

    @property
    def is_enough(self) -> bool:
        """Whether no vector is further away than `LEAST_COSINE`."""
        return self.lowest >= LEAST_COSINE

    def __str__(self) -> str:
        of = "rows of random token ids" if self.are_drawn else "texts"
        if self.by_language:
            of += f" in {len(self.by_language)} languages"
        lines = [
            f"{self.precision} beside float32, {self.texts} {of}: cosine of the vectors "
            f"{self.mean:.5f} in the mean, {self.lowest:.5f} the lowest"
        ]
        if self.cut:
            lines.append(f"{self.cut} of the texts were cut to what the model takes")
        if self.by_language:
            worst = sorted(self.by_language.items(), key=lambda item: item[1])[:5]
            lines.append(f"lowest by language: {', '.join(f'{n} {v:.5f}' for n, v in worst)}")
        lines += [
            f"logits of {name}: largest difference {moved.apart:.3g}, of logits up to "
            f"{moved.largest:.3g}; {moved.changed:.1%} of the predictions differ"
            for name, moved in self.logits.items()
        ]
        largest = list(self.layers.items())[:3]
        if largest:
            told = ", ".join(f"{name} {error:.2%}" for name, error in largest)
            few = (
                f", on the first {self.layer_texts} texts" if self.layer_texts < self.texts else ""
            )
            lines.append(f"largest errors of a layer{few}: {told}")
        if self.keep_float:
            lines.append(f"floats are kept in {len(self.keep_float)} layers")
        if self.advised:
            names = " ".join([*self.keep_float, *self.advised])
            lines.append(
                f"a cosine is below {LEAST_COSINE}: keep these layers in floats, with "
                f"--keep-float auto or --keep-float {names}"
            )
        return "\n".join(lines)


def drawn_texts(vocab_size: int, longest: int) -> Texts:
    """Random token ids, for a model without a tokenizer."""
    shape = (DRAWN_ROWS, max(1, min(DRAWN_TOKENS, longest)))
    rows = np.random.default_rng(0).integers(0, vocab_size, shape)
    return Texts(rows.tolist(), [""] * DRAWN_ROWS)


def measure(
    wide: Model,
    narrow: Model,
    texts: Texts,
    heads: Sequence[tuple[Model, Model]] = (),
) -> Agreement:
    """Compare a narrow model with the float model that it was made of.

    Parameters
    ----------
    wide, narrow : models of one class
    texts : Texts
    heads : sequence of (wide, narrow)
        Models of other classes, whose heads are in the same checkpoint.

    Returns
    -------
    Agreement
        Without advice.

    Raises
    ------
    ValueError
        A vector of one of the models has NaN or infinity.
    """
    with np.errstate(all="ignore"):  # it is told below
        cosines = (texts.vectors(wide) * texts.vectors(narrow)).sum(axis=1, dtype=np.float64)
    if not np.isfinite(cosines).all():
        raise ValueError(
            f"text {int(np.argmin(np.isfinite(cosines)))} has no finite vector in float32 or in "
            f"{narrow.precision}, so they cannot be compared: the weights are too large, or the "
            "checkpoint is damaged"
        )
    by_language: dict[str, float] = {}
    for name, cosine in zip(texts.names, cosines, strict=True):
        if name:
            by_language[name] = min(by_language.get(name, 1.0), float(cosine))
    first = first_rows(texts.rows)
    quantization = narrow.config.quantization
    pairs = [(wide, narrow), *heads]
    moved = {whole.schema.name: compare_logits(whole, other, texts.rows) for whole, other in pairs}
    return Agreement(
        narrow.precision,
        len(cosines),
        texts.tokenizer is None,
        texts.cut,
        float(cosines.mean()),
        float(cosines.min()),
        by_language,
        logits={name: told for name, told in moved.items() if told is not None},
        layers=layer_errors(wide, narrow, first),
        layer_texts=len(first),
        keep_float=quantization["keep_float"] if quantization else [],
    )
