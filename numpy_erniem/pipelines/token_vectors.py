"""Vectors of the tokens of a text of any length, and of spans of it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from numpy_erniem.checks import nearest
from numpy_erniem.pipelines.packing import run_rows
from numpy_erniem.pipelines.pooling import pool
from numpy_erniem.pipelines.texts import check_text
from numpy_erniem.pipelines.tokens import TextTooLongError, encode_with_spans, row_of
from numpy_erniem.pipelines.windows import best_window, cut_windows
from numpy_erniem.tokenizer import ErnieMTokenizer

OF_TOKENS = ("layer", "prompt_name", "prompt", "batch_tokens", "batch_size")
OF_SPANS = (*OF_TOKENS, "pooling", "normalize", "dimensions")


class TokenVectors:
    """Methods of an `Embedder`: vectors of tokens and of spans."""

    def tokens(self: Any, text: str, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        """The vector of each token of a text, and the characters that it stands for.

        A text that is longer than the model takes is read in windows that overlap by a quarter;
        each token has its vector from the window in which it stands farthest from an edge.

        Parameters
        ----------
        text : str
        **options
            layer, prompt_name, prompt, batch_tokens, batch_size.

        Returns
        -------
        vectors : (tokens, D) float32 array
            Without special tokens and prompt; neither cut nor scaled.
        spans : (tokens, 2) int array
            `text[start:end]`.

        Raises
        ------
        TypeError
            The text is not a str, or another option is given.
        """
        _check_taken("tokens", options, OF_TOKENS)
        task = self.with_options(**options)
        text, before = check_text(text, "text"), task._prompt_text()
        read = read_in_windows(task.tokenizer, before, text, task.longest)
        rows = run_rows(
            task.model,
            read.rows,
            token_outputs=(task._hidden,),
            batch_tokens=task.batch_tokens,
            batch_size=task.batch_size,
            **task.arguments(),
        )
        return read.merge([row[task._hidden] for row in rows]), read.spans

    def spans(self: Any, text: str, spans: Any, **options: Any) -> np.ndarray:
        """One vector for each span of a text, which the model reads as a whole ("late chunking").

        Parameters
        ----------
        text : str
        spans : iterable of (int, int)
            Characters: start, and end behind the last one. A span has every token that overlaps it.
        **options
            As of `tokens`, and pooling, normalize, dimensions. The vectors of tokens are averaged;
            with pooling "max", their highest numbers are taken. Dense layers follow.

        Returns
        -------
        (spans, W) float32 array

        Raises
        ------
        TypeError
            The text is not a str, spans are no pairs, or another option is given.
        ValueError
            A span is empty, outside the text, or has no token; the pooling is another one.
        """
        _check_taken("spans", options, OF_SPANS)
        if options.get("pooling") not in (None, "mean", "max"):
            raise ValueError(f"pooling {options['pooling']!r}: of spans it is mean or max")
        task = self.with_options(**options)
        pooling = "max" if task._pooling == "max" else "mean"
        task.settings.width(task.model.config.hidden_size, pooling)
        return task._finish(span_vectors(*task.tokens(text), len(text), spans, pooling))


def _check_taken(method: str, options: Mapping[str, Any], taken: Sequence[str]) -> None:
    """Raise a TypeError for an option that a method would ignore."""
    for name, value in options.items():
        if value is not None and name not in taken:
            raise TypeError(f"{method} takes no option {name!r}{nearest(name, list(taken))}")


class TextWindows(NamedTuple):
    """A text as rows of token ids that a model can take.

    Attributes
    ----------
    rows : list of lists of int
        [CLS], the prompt, a window of the text, [SEP].
    windows : list of range
        The tokens of the text in each row.
    first : int
        Where in a row the text begins.
    spans : (n, 2) int array
        The characters of each token of the text: start, and end behind the last one.
    """

    rows: list[list[int]]
    windows: list[range]
    first: int
    spans: np.ndarray

    def merge(self, hidden: list[np.ndarray]) -> np.ndarray:
        """One vector for each token, from the window in which it stands farthest from an edge.

        Parameters
        ----------
        hidden : list of (tokens of the row, D) arrays

        Returns
        -------
        (n, D) array
        """
        best = best_window(len(self.spans), self.windows)
        vectors = np.empty((len(best), hidden[0].shape[1]), hidden[0].dtype)
        for n, (window, row) in enumerate(zip(self.windows, hidden, strict=True)):
            tokens = np.flatnonzero(best == n)
            vectors[tokens] = row[tokens - window.start + self.first]
        return vectors


def read_in_windows(
    tokenizer: ErnieMTokenizer, prompt: str, text: str, longest: int
) -> TextWindows:
    """Cut a text into windows that overlap by a quarter.

    Parameters
    ----------
    tokenizer : ErnieMTokenizer
    prompt : str
        Stands before the text in each row.
    text : str
    longest : int
        Most tokens of a row.

    Returns
    -------
    TextWindows

    Raises
    ------
    ValueError
        The prompt leaves no room for the text.
    """
    ids, spans = encode_with_spans(tokenizer, [prompt + text])[0]
    fixed = sum(end <= len(prompt) for _, end in spans) if prompt else 0
    room = longest - fixed - 2  # [CLS] and [SEP]
    if room < 1:
        raise TextTooLongError(
            f"the prompt has {fixed} tokens and leaves no room for a text; shorten it"
        )
    windows = cut_windows(len(ids) - fixed, room, room // 4)
    rows = [row_of(tokenizer, ids[:fixed] + ids[fixed + w.start : fixed + w.stop]) for w in windows]
    places = np.array(spans[fixed:], np.int64).reshape(-1, 2) - len(prompt)
    return TextWindows(rows, windows, 1 + fixed, np.maximum(places, 0))


def span_vectors(
    vectors: np.ndarray, places: np.ndarray, length: int, spans: Any, pooling: str
) -> np.ndarray:
    """One vector for each span of a text, from the vectors of its tokens.

    Parameters
    ----------
    vectors : (tokens, D) array
    places : (tokens, 2) int array
        The characters of each token.
    length : int
        Characters of the text.
    spans : iterable of (int, int)
        Start, and end behind the last character.
    pooling : str
        "max" takes the highest numbers of the tokens, any other the mean.

    Returns
    -------
    (spans, D) array

    Raises
    ------
    TypeError
        Spans are no pairs.
    ValueError
        A span is not two integers, is empty, outside the text, or has no token; no spans.
    """
    try:
        pairs = [tuple(span) for span in spans]
    except TypeError:
        raise TypeError(
            f"spans is {str(spans)[:40]!r}, not a list of pairs (start, end), such as [(0, 5)]"
        ) from None
    if not pairs:
        raise ValueError("spans is empty; give at least one pair (start, end)")
    pooled = []
    for n, pair in enumerate(pairs):
        if len(pair) != 2 or not all(isinstance(i, int | np.integer) for i in pair):
            raise ValueError(f"spans[{n}] is {pair}, not two integers (start, end)")
        start, end = pair
        if not 0 <= start < end <= length:
            raise ValueError(
                f"spans[{n}] is ({start}, {end}); give start < end, both in 0..{length}"
            )
        inside = (places[:, 0] < end) & (places[:, 1] > start)
        if not inside.any():
            raise ValueError(f"spans[{n}], ({start}, {end}), has no token: it holds only blanks")
        pooled.append(pool(vectors[inside], "max" if pooling == "max" else "mean"))
    return np.stack(pooled)
