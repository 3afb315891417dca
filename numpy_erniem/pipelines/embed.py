"""Texts in, one vector per text out."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.hub import resolve_folder
from numpy_erniem.checkpoint.sentence_settings import read_sentence_settings
from numpy_erniem.checks import nearest, warn
from numpy_erniem.models import ErnieMModel
from numpy_erniem.pipelines.batching import batches_by_length
from numpy_erniem.pipelines.pooling import POOLINGS, normalize_rows, pool
from numpy_erniem.pipelines.texts import take_texts
from numpy_erniem.tokenizer import ErnieMTokenizer

BATCH_TOKENS = 4096  # bounds the activations of a batch: 50 MB for the base model's widest
Progress = Callable[[int, int], None]


class Embedder:
    """A model with its tokenizer, for turning texts into vectors.

    Parameters
    ----------
    model : ErnieMModel
    tokenizer : ErnieMTokenizer
    settings : dict, optional
        What the checkpoint records about its vectors: pooling, normalize, prompts,
        default_prompt_name, max_length.

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
        batch_tokens: int = BATCH_TOKENS,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Embed texts, in batches of similar length; the results are in the order of the texts.

        Parameters
        ----------
        texts : str or iterable of str
            One text, or texts in a list, an iterator, a NumPy array with one dimension, or a column
            of pandas, Arrow or datasets. A text that is longer than the model takes is cut at its
            end, with a warning.
        pooling : {"mean", "cls", "pooler"}, optional
            Left out, as the checkpoint records, else "mean".
        normalize : bool, optional
            Scale every vector to length 1, so that a dot product is the cosine similarity. Left
            out, as the checkpoint records, else False.
        prompt_name : str, optional
            The name of a prompt that the checkpoint records, such as "passage". Left out, and
            `prompt` too, the checkpoint's default prompt, if it has one.
        prompt : str, optional
            Put before every text, such as "query: "; "" for nothing.
        batch_tokens : int
            Most tokens, padding included, of a batch; bounds memory.
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
        pooling = self.settings.get("pooling", "mean") if pooling is None else pooling
        normalize = self.settings.get("normalize", False) if normalize is None else normalize
        if pooling not in POOLINGS:
            raise ValueError(f"pooling {pooling!r} is not one of {', '.join(POOLINGS)}")
        if pooling == "pooler" and not self.model.pooling:
            raise ValueError("pooling 'pooler': this model has no pooler; use 'mean' or 'cls'")
        if batch_tokens < 1:
            raise ValueError(f"batch_tokens {batch_tokens} is not at least 1")
        prompt = self._prompt(prompt_name, prompt)
        ids = self._token_ids([prompt + text for text in texts])
        vectors = self._vectors(ids, pooling, batch_tokens, progress)
        vectors = normalize_rows(vectors) if normalize else vectors
        return vectors[0] if single else vectors

    def _vectors(
        self, ids: list[list[int]], pooling: str, batch_tokens: int, progress: Progress | None
    ) -> np.ndarray:
        """Run the model batch by batch: a row of (n, D) for each text."""
        vectors = np.full((len(ids), self.model.config.hidden_size), np.nan, self.model.dtype)
        done = 0
        for rows in batches_by_length([len(i) for i in ids], batch_tokens):
            batch = self.tokenizer.pad({"input_ids": [ids[r] for r in rows]}, return_tensors="np")
            mask = batch["attention_mask"]
            output = self.model(batch["input_ids"], attention_mask=mask)
            vectors[rows] = pool(output, mask, pooling)  # (b, T, D) -> (b, D)
            done += len(rows)
            if progress:
                progress(done, len(ids))
        return vectors

    def _prompt(self, name: str | None, prompt: str | None) -> str:
        """The text to put before every text."""
        if name is not None and prompt is not None:
            raise ValueError(f"prompt_name {name!r} and prompt {prompt!r} are both given; give one")
        if prompt is not None:
            return prompt
        prompts = self.settings.get("prompts", {})
        if name is None:
            name = self.settings.get("default_prompt_name")
            return "" if name is None else prompts[name]
        if not prompts:
            raise ValueError(f"prompt_name {name!r}: the checkpoint records no prompts; use prompt")
        if name not in prompts:
            raise ValueError(f"prompt_name {name!r} is not recorded{nearest(name, list(prompts))}")
        return prompts[name]

    def _token_ids(self, texts: list[str]) -> list[list[int]]:
        """Token ids of every text, [CLS] X [SEP], at most as many as the model takes."""
        longest = self.model.config.max_length
        longest = min(longest, self.settings.get("max_length", longest))
        ids = self.tokenizer(texts, return_attention_mask=False, verbose=False)["input_ids"]
        too_long = [n for n, i in enumerate(ids) if len(i) > longest]
        for n in too_long:
            cut = self.tokenizer.prepare_for_model(
                ids[n][1:-1], truncation=True, max_length=longest, verbose=False
            )
            ids[n] = cut["input_ids"]
        if too_long:
            warn(
                f"{len(too_long)} of {len(texts)} texts have more than {longest} tokens and were "
                f"cut at their end, the first of them text {too_long[0]}"
            )
        return ids


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
        As in `Embedder`'s call: pooling, normalize, prompt_name, prompt, batch_tokens, progress.

    Returns
    -------
    (number of texts, D) float32 array
        Of one str, a (D,) array.
    """
    embedder = Embedder.from_pretrained(
        model, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only
    )
    return embedder(texts, **options)
