"""Texts in, one vector per text out."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numpy_erniem.checkpoint.keywords import take_hub_keywords
from numpy_erniem.checkpoint.sentence_settings import (
    SentenceSettings,
    pooling_parts,
    read_sentence_settings,
)
from numpy_erniem.pipelines.base import Pipeline
from numpy_erniem.pipelines.estimator import TextTransformer
from numpy_erniem.pipelines.packing import BATCH_TOKENS, Batch
from numpy_erniem.pipelines.pooling import finish_vectors, pool_texts, warn_of_a_guess
from numpy_erniem.pipelines.prompts import choose_prompt, count_prompt_tokens
from numpy_erniem.pipelines.scores import check_whole
from numpy_erniem.pipelines.sentence_transformers import SentenceTransformersMethods
from numpy_erniem.pipelines.streaming import Prepared
from numpy_erniem.pipelines.token_vectors import TokenVectors
from numpy_erniem.pipelines.tokens import encode_texts, row_of, take_ranges
from numpy_erniem.tokenizer import ErnieMTokenizer

SPECIALS = 2  # tokens around a text: [CLS] and [SEP]


class Embedder(Pipeline[np.ndarray], TextTransformer, TokenVectors, SentenceTransformersMethods):
    """A model with its tokenizer, for turning texts into vectors.

    Called with a text it gives an array (W,), with n texts an array (n, W). `stream` yields a
    vector for each text while texts are read. It is also a step of a scikit-learn Pipeline, and
    `encode` has sentence-transformers' arguments.

    Parameters
    ----------
    model : ErnieMModel, or callable with its outputs
    tokenizer : ErnieMTokenizer
    settings : SentenceSettings, optional
        What the checkpoint records about its vectors; left out, the defaults of that class.
    pooling : str, optional
        How the vectors of tokens become one, as in `SentenceSettings`; left out, as the checkpoint
        records. Its Dense layers follow.
    layer : int, optional
        Which hidden states are pooled: 0 are the embeddings, -1 (the same as left out) those of
        the last layer.
    normalize : bool, optional
        Scale every vector to length 1, so that a dot product is the cosine similarity. Left out, as
        the checkpoint records.
    prompt_name : str, optional
        The name of a prompt that the checkpoint records, such as "passage". Left out, and `prompt`
        too, the checkpoint's default prompt, if it has one.
    prompt : str, optional
        Put before every text, such as "query: "; "" for nothing.
    dimensions : int, optional
        Numbers of a vector that are kept, from its start, before it is scaled.
    on_overflow : {"cut", "window", "error"}
        What is done with a text that is longer than the model takes. "cut": its end is left out,
        with a warning. "window": its vector is the mean over windows, weighted by their tokens.
    batch_tokens : int
        Most tokens of a batch; bounds memory.
    batch_size : int, optional
        Most texts of a batch; left out, as many as `batch_tokens` allows.

    Examples
    --------
    >>> embedder = Embedder.from_pretrained()
    >>> embedder(["Open a file", "Eine Datei öffnen"]).shape
    (2, 128)
    """

    def __init__(
        self,
        model: Any,
        tokenizer: ErnieMTokenizer,
        settings: SentenceSettings | None = None,
        *,
        pooling: str | None = None,
        layer: int | None = None,
        normalize: bool | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        dimensions: int | None = None,
        on_overflow: str = "cut",
        batch_tokens: int = BATCH_TOKENS,
        batch_size: int | None = None,
    ) -> None:
        super().__init__(model, tokenizer, batch_tokens=batch_tokens, on_overflow=on_overflow)
        self.settings = SentenceSettings() if settings is None else settings
        self.pooling = pooling
        self.layer = layer
        self.normalize = normalize
        self.prompt_name = prompt_name
        self.prompt = prompt
        self.dimensions = dimensions
        self.batch_size = batch_size

    @classmethod
    def _open(cls, folder: Path, dtype: str | None = None) -> "Embedder":
        embedder = super()._open(folder, dtype)
        embedder.settings = read_sentence_settings(folder)
        warn_of_a_guess(embedder.settings, folder)
        return embedder

    def _from_source(self) -> tuple[str, ...]:
        return (*super()._from_source(), "settings")

    def with_options(self, **options: Any) -> "Embedder":
        """The same with other options, of which None is one that is left out."""
        given = {name: value for name, value in options.items() if value is not None}
        if "prompt" in given or "prompt_name" in given:  # one replaces the other
            given = {"prompt": None, "prompt_name": None, **given}
        return super().with_options(**given)

    def check_options(self) -> None:
        """Raise a ValueError for an option with a wrong value."""
        super().check_options()
        if not isinstance(self.settings, SentenceSettings):
            name = type(self.settings).__name__
            raise TypeError(f"settings is a {name}, not SentenceSettings; options have names")
        for name in ("layer", "dimensions"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name))
        if self.normalize is not None and not isinstance(self.normalize, bool | np.bool_):
            raise ValueError(f"normalize {self.normalize!r} is not True or False")
        if self.prompt is not None and not isinstance(self.prompt, str):
            raise ValueError(f"prompt {self.prompt!r} is not a str")
        width = self.settings.width(self.model.config.hidden_size, self._pooling)
        if self._has_pooler and not getattr(self.model, "pooling", True):
            raise ValueError("pooling 'pooler': this model has no pooler; use 'mean' or 'cls'")
        layers = self.model.config.num_hidden_layers
        if self.layer is not None and not -layers - 1 <= self.layer <= layers:
            raise ValueError(f"layer {self.layer} is not in {-layers - 1}..{layers}")
        if self._has_pooler and self._layer != layers:
            raise ValueError(f"layer {self.layer}: pooling 'pooler' reads the last layer")
        if self.dimensions is not None and not 1 <= self.dimensions <= width:
            raise ValueError(f"dimensions {self.dimensions} is not in 1..{width}")
        self._prompt_text()

    @property
    def width(self) -> int:
        """Numbers of a vector, W."""
        return self.dimensions or self.settings.width(self.model.config.hidden_size, self._pooling)

    @property
    def longest(self) -> int:
        """Most tokens of a text, [CLS], [SEP] and the prompt included."""
        longest = super().longest
        return min(longest, self.settings.max_length or longest)

    @property
    def _pooling(self) -> str:
        return self.settings.pooling if self.pooling is None else self.pooling

    @property
    def _has_pooler(self) -> bool:
        return "pooler" in pooling_parts(self._pooling)

    @property
    def _layer(self) -> int:
        layers = int(self.model.config.num_hidden_layers)
        return layers if self.layer is None else self.layer % (layers + 1)

    @property
    def _hidden(self) -> str:
        """The output that holds the hidden states to pool."""
        is_last = self._layer == self.model.config.num_hidden_layers
        return "last_hidden_state" if is_last else f"hidden_states.{self._layer}"

    def _prompt_text(self) -> str:
        return choose_prompt(self.settings, self.prompt_name, self.prompt)

    def prepare(self, items: list[str]) -> list[Prepared]:
        """Rows of token ids: the prompt and the text, or the prompt and a window of the text."""
        before = self._prompt_text()
        prompt = encode_texts(self.tokenizer, [before])[0] if before else []
        prepared = []
        for ids in self.token_ids(items, before):
            fixed, ids = ids[: len(prompt)], ids[len(prompt) :]
            room = self.longest - SPECIALS - len(fixed)
            ranges, cut = take_ranges(self.tokenizer, len(ids), room, self.on_overflow)
            rows = [row_of(self.tokenizer, fixed + ids[r.start : r.stop]) for r in ranges]
            prepared.append(Prepared(rows, len(ids), cut, [len(r) for r in ranges]))
        return prepared

    def token_ids(self, items: list[str], before: str) -> list[list[int]]:
        """Token ids of each text with the prompt before it, without special tokens and whole."""
        return encode_texts(self.tokenizer, [before + text for text in items])

    @property
    def token_outputs(self) -> tuple[str, ...]:
        """Outputs of the model that are pooled."""
        return () if self._pooling == "pooler" else (self._hidden,)

    @property
    def text_outputs(self) -> tuple[str, ...]:
        """The pooler's output, if it is wanted."""
        return ("pooler_output",) if self._has_pooler else ()

    def arguments(self) -> dict[str, Any]:
        """Whether hidden states of all layers are kept."""
        return {} if self._hidden == "last_hidden_state" else {"output_hidden_states": True}

    def reduce(self, batch: Batch) -> list[np.ndarray]:
        """One vector for each row, of its tokens after the prompt's if they are left out."""
        skipped = count_prompt_tokens(self.settings, self.tokenizer, self._prompt_text())
        return list(
            pool_texts(
                batch.tokens.get(self._hidden),
                batch.starts,
                batch.texts.get("pooler_output"),
                self._pooling,
                skipped,
            )
        )

    def finish(self, item: str, prepared: Prepared, outputs: list[np.ndarray]) -> np.ndarray:
        """The vector of a text from those of its windows."""
        vector = outputs[0]
        if len(outputs) > 1:
            vector = np.average(outputs, axis=0, weights=prepared.data).astype(vector.dtype)
        return self._finish(vector[None])[0]

    def _finish(self, vectors: np.ndarray) -> np.ndarray:
        """Dense layers, `dimensions` and scaling of vectors: (n, D·poolings) -> (n, W)."""
        return finish_vectors(vectors, self.settings, self.normalize, self.dimensions)

    def collect(self, results: list[np.ndarray]) -> np.ndarray:
        """The vectors as one array (n, W)."""
        return np.stack(results)


def embed(
    texts: str | Iterable[Any],
    model: str | os.PathLike | None = None,
    *,
    dtype: DTypeLike | None = None,
    **options: Any,
) -> np.ndarray:
    """Load a checkpoint and embed texts; `Embedder` keeps the checkpoint for further calls.

    Parameters
    ----------
    texts : str or iterable of str
        As in `Embedder`'s call.
    model : path or str, optional
        As in `Embedder.from_pretrained`.
    dtype : {"float32", "bfloat16", "int8"}, optional
        As there.
    **options
        Where the model is, as in `Embedder.from_pretrained`, such as revision; and as in
        `Embedder`'s call: pooling, normalize, prompt_name, prompt, batch_tokens, batch_size,
        progress.

    Returns
    -------
    (number of texts, D) float32 array
        Of one str, a (D,) array.
    """
    hub = take_hub_keywords(options)
    return Embedder.from_pretrained(model, dtype=dtype, **hub)(texts, **options)
