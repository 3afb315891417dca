"""Texts in, one vector per text out."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.hub import bundled_checkpoint, resolve_folder
from numpy_erniem.checkpoint.sentence_settings import read_settings
from numpy_erniem.checks import warn
from numpy_erniem.models import ErnieMModel
from numpy_erniem.tokenizer import ErnieMTokenizer

POOLINGS = ("mean", "cls", "pooler")
BATCH_TOKENS = 4096  # bounds the activations of a batch: 50 MB for the base model's widest


def pool(output: Any, attention_mask: np.ndarray, pooling: str) -> np.ndarray:
    """One vector per text from a model's output: (B, T, D) -> (B, D).

    "mean": the mean of the last hidden state over real tokens; "cls": its first token; "pooler":
    the model's pooler_output, tanh of a linear map of the first token.
    """
    if pooling == "cls":
        return output.last_hidden_state[:, 0]
    if pooling == "pooler":
        return output.pooler_output
    real = attention_mask[:, :, None].astype(output.last_hidden_state.dtype)  # (B, T, 1)
    return (output.last_hidden_state * real).sum(axis=1) / real.sum(axis=1)


def normalize_rows(vectors: np.ndarray) -> np.ndarray:
    """Scale every row to length 1; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, np.finfo(vectors.dtype).tiny)


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[np.ndarray]:
    """Indices in batches of similar length, longest first, each at most `batch_tokens` padded."""
    order = np.argsort([-n for n in lengths], kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, batch_tokens // lengths[order[start]])
        yield order[start : start + rows]
        start += rows


def model_ready_to_run(folder: str | os.PathLike) -> ErnieMModel:
    """Load a model and run it on one token, in which pass the kernels pack its weights."""
    model = ErnieMModel.from_pretrained(folder)
    model([[0]], attention_mask=[[1]])
    return model


class Embedder:
    """A model with its tokenizer, for turning texts into vectors.

    Parameters
    ----------
    model : ErnieMModel
    tokenizer : ErnieMTokenizer
    settings : dict, optional
        What the checkpoint records about its vectors: pooling, normalize, prefixes, max_length.

    Examples
    --------
    >>> embedder = Embedder.from_pretrained()
    >>> embedder(["Open a file", "Eine Datei öffnen"]).shape
    (2, 128)
    """

    def __init__(
        self,
        model: ErnieMModel,
        tokenizer: ErnieMTokenizer,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.settings = settings or {}

    @classmethod
    def from_pretrained(
        cls, name: str | os.PathLike | None = None, *, revision: str | None = None
    ) -> "Embedder":
        """Load model and tokenizer from a folder or hub name; None is the bundled checkpoint."""
        folder = bundled_checkpoint() if name is None else resolve_folder(name, revision=revision)
        with ThreadPoolExecutor(1) as beside:  # SentencePiece loads without holding the GIL
            model = beside.submit(copy_context().run, model_ready_to_run, folder)
            tokenizer = ErnieMTokenizer.from_pretrained(folder)
        return cls(model.result(), tokenizer, read_settings(folder))

    def __call__(
        self,
        texts: Sequence[str],
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        prefix: str | None = None,
        batch_tokens: int = BATCH_TOKENS,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Embed texts, in batches of similar length, results in the order given.

        Parameters
        ----------
        texts : sequence of str
            One longer than the model takes is cut at its end, with a warning.
        pooling : {"mean", "cls", "pooler"}, optional
            Left out, as the checkpoint records, else "mean".
        normalize : bool, optional
            Scale every vector to length 1, so that a dot product is the cosine similarity. Left
            out, as the checkpoint records, else False.
        prefix : str, optional
            Put before every text, or the name of a prefix that the checkpoint records, such as
            "passage". Left out, the checkpoint's default, else nothing.
        batch_tokens : int
            Most tokens, padding included, that are worked on at a time; bounds memory.
        progress : callable, optional
            Called with the numbers of texts done and in all after every batch.

        Returns
        -------
        (len(texts), D) float32 array

        Raises
        ------
        ValueError
            No texts, an unknown pooling, or "pooler" for a checkpoint without one.
        TypeError
            A text that is not a str.
        """
        _check_texts(texts)
        pooling = self.settings.get("pooling", "mean") if pooling is None else pooling
        normalize = self.settings.get("normalize", False) if normalize is None else normalize
        prefixes = self.settings.get("prefixes", {})
        prefix = self.settings.get("default_prefix") or "" if prefix is None else prefix
        prefix = prefixes.get(prefix, prefix)
        if pooling not in POOLINGS:
            raise ValueError(f"pooling {pooling!r} is not one of {', '.join(POOLINGS)}")
        if pooling == "pooler" and not self.model.pooling:
            raise ValueError("pooling 'pooler': this model has no pooler; use 'mean' or 'cls'")
        if batch_tokens < 1:
            raise ValueError(f"batch_tokens {batch_tokens} is not at least 1")
        ids = self._token_ids([prefix + text for text in texts])
        vectors = np.empty((len(texts), self.model.config.hidden_size), self.model.dtype)
        done = 0
        for rows in batches_by_length([len(i) for i in ids], batch_tokens):
            batch = self.tokenizer.pad({"input_ids": [ids[r] for r in rows]}, return_tensors="np")
            mask = batch["attention_mask"]
            output = self.model(batch["input_ids"], attention_mask=mask)
            vectors[rows] = pool(output, mask, pooling)  # (b, T, D) -> (b, D)
            done += len(rows)
            if progress:
                progress(done, len(texts))
        return normalize_rows(vectors) if normalize else vectors

    def _token_ids(self, texts: list[str]) -> list[list[int]]:
        """Token ids of every text, [CLS] X [SEP], at most as many as the model takes."""
        longest = self.model.config.max_length
        longest = min(longest, self.settings.get("max_length", longest))
        ids = self.tokenizer(texts, return_attention_mask=False, verbose=False)["input_ids"]
        too_long = [n for n, i in enumerate(ids) if len(i) > longest]
        for n in too_long:
            ids[n] = self.tokenizer(
                texts[n], truncation=True, max_length=longest, return_attention_mask=False
            )["input_ids"]
        if too_long:
            warn(
                f"{len(too_long)} of {len(texts)} texts have more than {longest} tokens and were "
                f"cut at their end, the first of them text {too_long[0]}"
            )
        return ids


def _check_texts(texts: Any) -> None:
    if isinstance(texts, str | bytes):
        raise TypeError(f"texts is one {type(texts).__name__}; give a list of str, such as [text]")
    if len(texts) == 0:
        raise ValueError("texts is empty; give at least one text")
    for n, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{n}] is a {type(text).__name__}, not a str")


def embed(
    texts: Sequence[str], model: str | os.PathLike | None = None, **options: Any
) -> np.ndarray:
    """Load a checkpoint and embed texts; `Embedder` keeps the checkpoint for further calls.

    Parameters
    ----------
    texts : sequence of str
    model : path, optional
        Folder of the checkpoint; None is the bundled one.
    **options
        As in `Embedder.__call__`: pooling, normalize, prefix, batch_tokens, progress.

    Returns
    -------
    (len(texts), D) float32 array
    """
    _check_texts(texts)
    return Embedder.from_pretrained(model)(texts, **options)
