"""Texts in, the three outputs of BGE-M3 out: a vector, weights of tokens, a vector per token."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from numpy_erniem.backend.frozen import freeze
from numpy_erniem.checkpoint.hybrid_layers import (
    HYBRID_FILE,
    SOURCE_FILES,
    HybridLayers,
    read_hybrid_layers,
)
from numpy_erniem.checkpoint.sentence_settings import DenseLayer, SentenceSettings
from numpy_erniem.checks import nearest
from numpy_erniem.ops import linear
from numpy_erniem.pipelines.base import Pipeline
from numpy_erniem.pipelines.embed import Embedder
from numpy_erniem.pipelines.hybrid_scores import WEIGHTS, hybrid_score
from numpy_erniem.pipelines.packing import BATCH_TOKENS, Batch
from numpy_erniem.pipelines.pooling import normalize_rows
from numpy_erniem.pipelines.streaming import Prepared
from numpy_erniem.tokenizer import ErnieMTokenizer

OUTPUTS = ("dense", "sparse", "multi")


class HybridVectors(TypedDict):
    """The outputs of a text; an output that was not asked for is not there.

    Attributes
    ----------
    dense : (W,) array
    sparse : dict of int to float
        The weight of each token of the text, by token id; a weight of 0 is left out.
    multi : (T - 1, M) array
        A vector for each token after [CLS], of length 1.
    """

    dense: np.ndarray
    sparse: dict[int, float]
    multi: np.ndarray


class HybridEmbedder(Pipeline[HybridVectors]):
    """The three outputs of BGE-M3 for texts, from one pass of the model.

    Called with a text it gives `HybridVectors`, a dict; with many texts a list of them.

    Parameters
    ----------
    model : ErnieMModel, or callable with its outputs
    tokenizer : ErnieMTokenizer
    settings : SentenceSettings, optional
        How the dense vector is made; left out, the defaults of that class.
    layers : HybridLayers, optional
        What makes the other outputs of the vectors of tokens; left out, there is "dense" alone.
    outputs : sequence of {"dense", "sparse", "multi"}
        What is computed. "dense": the vector that `Embedder` gives. "sparse": for each token
        ReLU(w · h + b), of a token that is there several times the highest; without [CLS], [SEP],
        [PAD] and [UNK]. "multi": for each token after [CLS] W h + b, scaled to length 1.
    prompt_name, prompt : str, optional
        As in `Embedder`. Tokens of a prompt count as tokens of the text in "sparse" and "multi".
    on_overflow : {"cut", "window", "error"}
        What is done with a text that is longer than the model takes. "cut": its end is left out,
        with a warning. "window": the mean of the dense vectors of its windows, weighted by their
        tokens; the highest weights; the vectors of all windows.
    batch_tokens : int
        Most tokens of a batch; bounds memory.
    batch_size : int, optional
        Most texts of a batch; left out, as many as `batch_tokens` allows.

    References
    ----------
    Chen et al., "M3-Embedding", arXiv:2402.03216, section 3.2.
    """

    checkpoints = "BAAI/bge-m3"
    token_outputs = ("last_hidden_state",)

    def __init__(
        self,
        model: Any,
        tokenizer: ErnieMTokenizer,
        settings: SentenceSettings | None = None,
        layers: HybridLayers | None = None,
        *,
        outputs: Sequence[str] = OUTPUTS,
        prompt_name: str | None = None,
        prompt: str | None = None,
        on_overflow: str = "cut",
        batch_tokens: int = BATCH_TOKENS,
        batch_size: int | None = None,
    ) -> None:
        super().__init__(model, tokenizer, batch_tokens=batch_tokens, on_overflow=on_overflow)
        self.settings = SentenceSettings() if settings is None else settings
        self.layers = HybridLayers() if layers is None else HybridLayers(*map(_frozen, layers))
        self.outputs = outputs
        self.prompt_name = prompt_name
        self.prompt = prompt
        self.batch_size = batch_size

    @classmethod
    def _open(cls, folder: Path, dtype: str | None = None) -> "HybridEmbedder":
        embedder = Embedder._open(folder, dtype)
        model = embedder.model
        layers = read_hybrid_layers(folder, model.config.hidden_size)
        pipeline = cls(model, embedder.tokenizer, embedder.settings, layers)
        pipeline._source, pipeline._dtype, pipeline._loaded = folder, dtype, model
        return pipeline

    def _from_source(self) -> tuple[str, ...]:
        return (*super()._from_source(), "settings", "layers")

    def with_options(self, **options: Any) -> "HybridEmbedder":
        """The same with other options, of which None is one that is left out."""
        given = {name: value for name, value in options.items() if value is not None}
        if "prompt" in given or "prompt_name" in given:  # one replaces the other
            given = {"prompt": None, "prompt_name": None, **given}
        return super().with_options(**given)

    def check_options(self) -> None:
        """Raise a ValueError for an option with a wrong value, or an output without its layer."""
        super().check_options()
        self.embedder.check_options()
        check_outputs(self.outputs)
        for name in self.outputs:
            if name != "dense":
                self._check_layer(name)

    def _check_layer(self, output: str) -> None:
        layer, where = getattr(self.layers, output), self._source or "this model"
        if layer is None:
            has = f"{HYBRID_FILE} there has no {output}.weight"
            raise ValueError(
                f"{where} has no {output!r} output: "
                f"{has if self.layers.outputs else f'{HYBRID_FILE} is missing'}; convert "
                f"{self.checkpoints} with {SOURCE_FILES[output]} beside its weights, or leave "
                f"{output!r} out of outputs"
            )
        hidden_size = self.model.config.hidden_size
        if layer.in_features != hidden_size:
            raise ValueError(
                f"the layer of the {output!r} output takes {layer.in_features} numbers, the model "
                f"gives hidden_size {hidden_size}"
            )

    @property
    def embedder(self) -> Embedder:
        """What cuts the texts and makes the dense vectors."""
        return Embedder(
            self.model,
            self.tokenizer,
            self.settings,
            prompt_name=self.prompt_name,
            prompt=self.prompt,
            on_overflow=self.on_overflow,
        )

    @property
    def longest(self) -> int:
        """Most tokens of a text, [CLS], [SEP] and the prompt included."""
        return self.embedder.longest

    @property
    def text_outputs(self) -> tuple[str, ...]:
        """The pooler's output, if the dense vector is made of it."""
        return self.embedder.text_outputs if "dense" in self.outputs else ()

    def prepare(self, items: list[str]) -> list[Prepared]:
        """Rows of token ids, as `Embedder` makes them."""
        return self.embedder.prepare(items)

    def reduce(self, batch: Batch) -> list[HybridVectors]:
        """For each row its dense vector, the weight of each token (T,), the vectors (T - 1, M)."""
        found: list[Any] = [{} for _ in batch.rows]
        if "dense" in self.outputs:
            for made, vector in zip(found, self.embedder.reduce(batch), strict=True):
                made["dense"] = vector
        hidden = batch.tokens["last_hidden_state"]
        for made, (start, end) in zip(found, pairwise(batch.starts), strict=True):
            text = hidden[start:end]  # (T, D); each text alone, so that others do not change it
            if "sparse" in self.outputs:
                made["sparse"] = self._apply("sparse", text)[:, 0]  # (T, D) -> (T,)
            if "multi" in self.outputs:
                made["multi"] = normalize_rows(self._apply("multi", text[1:]))
        return found

    def _apply(self, output: str, x: np.ndarray) -> np.ndarray:
        """The layer of an output, act(x Wᵀ + b): (T, D) -> (T, M)."""
        layer: DenseLayer = getattr(self.layers, output)
        return linear(x, {"weight": layer.weight, "bias": layer.bias}, layer.activation)

    def finish(self, item: str, prepared: Prepared, outputs: list[HybridVectors]) -> HybridVectors:
        """The outputs of a text from those of its windows."""
        result: Any = {}
        if "dense" in self.outputs:
            result["dense"] = self.embedder.finish(item, prepared, [o["dense"] for o in outputs])
        if "sparse" in self.outputs:
            ids = np.concatenate([np.asarray(row, np.int64) for row in prepared.rows])
            weights = np.concatenate([o["sparse"] for o in outputs])
            result["sparse"] = token_weights(ids, weights, self._left_out())
        if "multi" in self.outputs:
            result["multi"] = np.concatenate([o["multi"] for o in outputs])
        vectors: HybridVectors = result
        return vectors

    def _left_out(self) -> set[int | None]:
        """Token ids that have no weight."""
        t = self.tokenizer
        return {t.cls_token_id, t.sep_token_id, t.pad_token_id, t.unk_token_id}

    @staticmethod
    def score(
        a: Mapping[str, Any],
        b: Mapping[str, Any],
        weights: Sequence[float] = WEIGHTS,
        *,
        mean: bool = True,
    ) -> float:
        """How well a text answers a query: the weighted mean of the scores of the outputs.

        Parameters
        ----------
        a, b : HybridVectors
            Of the query and of the text.
        weights : (float, float, float)
            Of the dense, the sparse and the multi-vector score, each at least 0. An output whose
            weight is 0 need not be there.
        mean : bool
            Divide by the sum of the weights; False: the plain sum.

        Returns
        -------
        float

        Raises
        ------
        TypeError, ValueError
            As of `hybrid_score`, which has the formulas.
        """
        return hybrid_score(a, b, weights, mean=mean)


def check_outputs(outputs: Sequence[str]) -> None:
    """Raise a ValueError unless these are names of outputs, each once."""
    if isinstance(outputs, str) or not isinstance(outputs, Collection) or not outputs:
        raise ValueError(f'outputs {outputs!r} is not a list of names such as ["dense", "sparse"]')
    for name in outputs:
        if name not in OUTPUTS:
            raise ValueError(f"{name!r} is not an output{nearest(str(name), list(OUTPUTS))}")
    if len(set(outputs)) < len(outputs):
        raise ValueError(f"outputs {', '.join(outputs)} has a name twice; give each once")


def token_weights(
    ids: np.ndarray, weights: np.ndarray, left_out: set[int | None]
) -> dict[int, float]:
    """The highest weight of each token id, in the order of the ids.

    Parameters
    ----------
    ids : (T,) integer array
    weights : (T,) float array
        Not negative; 0 is no weight.
    left_out : set of int
        Token ids without a weight.

    Returns
    -------
    dict of int to float
    """
    tokens, places = np.unique(ids, return_inverse=True)
    highest = np.zeros(len(tokens), weights.dtype)
    np.maximum.at(highest, places.reshape(-1), weights)
    pairs = zip(tokens.tolist(), highest.tolist(), strict=True)
    return {token: weight for token, weight in pairs if weight > 0 and token not in left_out}


def _frozen(layer: DenseLayer | None) -> DenseLayer | None:
    """The layer with arrays that nobody can write to, so that C packs them once."""
    if layer is None:
        return None
    return replace(layer, weight=freeze(layer.weight), bias=freeze(layer.bias))
