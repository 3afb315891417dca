"""Texts in, one vector per text out."""

import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checkpoint.sentence_settings import read_sentence_settings
from numpy_erniem.models import ErnieMModel
from numpy_erniem.pipelines.batching import batches_by_length
from numpy_erniem.pipelines.estimator import TextTransformer
from numpy_erniem.pipelines.pooling import POOLINGS, normalize_rows, pool
from numpy_erniem.pipelines.progress import Progress
from numpy_erniem.pipelines.prompts import choose_prompt
from numpy_erniem.pipelines.sentence_transformers import check_encode_arguments
from numpy_erniem.pipelines.texts import take_texts
from numpy_erniem.pipelines.tokens import cut_token_ids
from numpy_erniem.tokenizer import ErnieMTokenizer

BATCH_TOKENS = 4096  # bounds the activations of a batch: 50 MB for the base model's widest
Report = Callable[[int, int], None]


class Embedder(TextTransformer):
    """A model with its tokenizer, for turning texts into vectors.

    It is also a step of a scikit-learn Pipeline, and `encode` has sentence-transformers' arguments.

    Parameters
    ----------
    model : ErnieMModel
    tokenizer : ErnieMTokenizer
    settings : dict, optional
        What the checkpoint records about its vectors: pooling, normalize, prompts,
        default_prompt_name, max_length.
    pooling, normalize, prompt_name, prompt, batch_tokens
        As in the call; they hold where a call leaves them out.

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
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.settings = {} if settings is None else settings
        self.pooling = pooling
        self.normalize = normalize
        self.prompt_name = prompt_name
        self.prompt = prompt
        self.batch_tokens = batch_tokens

    @property
    def width(self) -> int:
        """Numbers of a vector, D."""
        return self.model.config.hidden_size

    @classmethod
    def from_pretrained(
        cls,
        model: str | os.PathLike | None = None,
        *,
        revision: str | None = None,
        cache_dir: str | os.PathLike | None = None,
        local_files_only: bool = False,
    ) -> "Embedder":
        """Load a model, its tokenizer and its settings.

        Parameters
        ----------
        model : path or str, optional
            A folder, or a name on the Hugging Face hub; None is the bundled checkpoint.
        revision : str, optional
            Branch, tag or commit on the hub; left out, its main branch.
        cache_dir : path, optional
            Where downloads are kept; left out, in the cache of huggingface_hub.
        local_files_only : bool
            Do not use the network; find the model in the cache.

        Returns
        -------
        Embedder

        Raises
        ------
        FileNotFoundError
            There is no such model, or a file of it is missing.
        ValueError
            A file is damaged.
        """
        folder = resolve_folder(
            model, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only
        )
        with ThreadPoolExecutor(1) as executor:  # SentencePiece releases the GIL while it loads
            loading = executor.submit(copy_context().run, ErnieMTokenizer.from_pretrained, folder)
            loaded = ErnieMModel.from_pretrained(folder).prepare()  # its warnings name the caller
        return cls(loaded, loading.result(), read_sentence_settings(folder))

    def __call__(
        self,
        texts: str | Iterable[Any],
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_tokens: int | None = None,
        batch_size: int | None = None,
        progress: Report | None = None,
    ) -> np.ndarray:
        """Embed texts, in batches of similar length; the results are in the order of the texts.

        Parameters
        ----------
        texts : str or iterable of str
            One text, or texts in a list, an iterator, a NumPy array with one dimension, or a column
            of pandas, Arrow or datasets. A text that is longer than the model takes is cut at its
            end, with a warning.
        pooling : {"mean", "cls", "pooler"}, optional
            Left out, as the constructor was told, else as the checkpoint records, else "mean".
        normalize : bool, optional
            Scale every vector to length 1, so that a dot product is the cosine similarity. Left
            out, as the constructor was told, else as the checkpoint records, else False.
        prompt_name : str, optional
            The name of a prompt that the checkpoint records, such as "passage". Left out, and
            `prompt` too, the constructor's, else the checkpoint's default prompt, if it has one.
        prompt : str, optional
            Put before every text, such as "query: "; "" for nothing.
        batch_tokens : int, optional
            Most tokens, padding included, of a batch; bounds memory. Left out, as the constructor
            was told, else 4096.
        batch_size : int, optional
            Most texts of a batch. Left out, as many as `batch_tokens` allows.
        progress : callable, optional
            Called after every batch with the number of texts done and of all texts.

        Returns
        -------
        (number of texts, D) float32 array
            Of one str, a (D,) array.

        Raises
        ------
        ValueError
            There are no texts; the pooling is unknown, or "pooler" for a checkpoint without one;
            `prompt_name` is not recorded, or given together with `prompt`.
        TypeError
            A text is not a str, or `texts` is bytes, a table, a mapping or a set.
        """
        texts, single = take_texts(texts)
        pooling = _first(pooling, self.pooling, self.settings.get("pooling"), "mean")
        normalize = _first(normalize, self.normalize, self.settings.get("normalize"), False)
        batch_tokens = _first(batch_tokens, self.batch_tokens)
        if prompt_name is None and prompt is None:
            prompt_name, prompt = self.prompt_name, self.prompt
        if pooling not in POOLINGS:
            raise ValueError(f"pooling {pooling!r} is not one of {', '.join(POOLINGS)}")
        if pooling == "pooler" and not self.model.pooling:
            raise ValueError("pooling 'pooler': this model has no pooler; use 'mean' or 'cls'")
        if batch_tokens < 1:
            raise ValueError(f"batch_tokens {batch_tokens} is not at least 1")
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size {batch_size} is not at least 1")
        before = choose_prompt(self.settings, prompt_name, prompt)
        longest = self.model.config.max_length
        longest = min(longest, self.settings.get("max_length", longest))
        ids = cut_token_ids(self.tokenizer, [before + text for text in texts], longest)
        batches = batches_by_length([len(i) for i in ids], batch_tokens, batch_size)
        vectors = self._vectors(ids, pooling, batches, progress)
        vectors = normalize_rows(vectors) if normalize else vectors
        return vectors[0] if single else vectors

    def encode(
        self,
        sentences: str | Iterable[Any],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        *,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        **others: Any,
    ) -> np.ndarray:
        """Embed texts, with the arguments of sentence-transformers' `SentenceTransformer.encode`.

        Parameters
        ----------
        sentences, prompt_name, prompt, batch_size
            As `texts` and these in a call of the Embedder.
        show_progress_bar : bool, optional
            Tell on standard error how far the work is, if it takes longer than two seconds.
        normalize_embeddings : bool
            Scale every vector to length 1. False: as the checkpoint records.
        truncate_dim : int, optional
            Keep that many numbers of each vector, from its start, before it is scaled.
        **others
            convert_to_numpy, convert_to_tensor, device, output_value and precision, with the value
            that they have here anyway.

        Returns
        -------
        (number of texts, D) float32 array
            Of one str, a (D,) array. With `truncate_dim`, D is that number.

        Raises
        ------
        ValueError
            As in a call, or an argument of sentence-transformers has a value that is not accepted.
        TypeError
            As in a call, or an argument is unknown.
        """
        check_encode_arguments(others)
        if truncate_dim is not None and not 1 <= truncate_dim <= self.width:
            raise ValueError(f"truncate_dim {truncate_dim} is not between 1 and {self.width}")
        vectors = self(
            sentences,
            normalize=False if normalize_embeddings else None,
            prompt_name=prompt_name,
            prompt=prompt,
            batch_size=batch_size,
            progress=Progress(sys.stderr, "texts") if show_progress_bar else None,
        )[..., :truncate_dim]
        return normalize_rows(vectors) if normalize_embeddings else vectors

    def _vectors(
        self,
        ids: list[list[int]],
        pooling: str,
        batches: Iterable[np.ndarray],
        progress: Report | None,
    ) -> np.ndarray:
        """Run the model batch by batch: a row of (n, D) for each text."""
        vectors = np.full((len(ids), self.width), np.nan, self.model.dtype)
        done = 0
        for rows in batches:
            batch = self.tokenizer.pad({"input_ids": [ids[r] for r in rows]}, return_tensors="np")
            mask = batch["attention_mask"]
            output = self.model(batch["input_ids"], attention_mask=mask)
            vectors[rows] = pool(output, mask, pooling)  # (b, T, D) -> (b, D)
            done += len(rows)
            if progress:
                progress(done, len(ids))
        return vectors


def _first(*values: Any) -> Any:
    """The first value that is not None."""
    return next(value for value in values if value is not None)


def embed(
    texts: str | Iterable[Any],
    model: str | os.PathLike | None = None,
    *,
    revision: str | None = None,
    cache_dir: str | os.PathLike | None = None,
    local_files_only: bool = False,
    **options: Any,
) -> np.ndarray:
    """Load a checkpoint and embed texts; `Embedder` keeps the checkpoint for further calls.

    Parameters
    ----------
    texts : str or iterable of str
        As in `Embedder`'s call.
    model, revision, cache_dir, local_files_only
        As in `Embedder.from_pretrained`.
    **options
        As in `Embedder`'s call: pooling, normalize, prompt_name, prompt, batch_tokens,
        batch_size, progress.

    Returns
    -------
    (number of texts, D) float32 array
        Of one str, a (D,) array.
    """
    embedder = Embedder.from_pretrained(
        model, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only
    )
    return embedder(texts, **options)
