"""Token ids of many texts through a model, in batches that are cut by their number of tokens."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from numpy_erniem.models.padding import batch_mask
from numpy_erniem.pipelines.visible_padding import add_padding_token, pad_fully

BATCH_TOKENS = 1024  # most tokens of a batch; more need more memory and are not faster


class Batch(NamedTuple):
    """What a model computed for n rows, whose N tokens stand one after another.

    Attributes
    ----------
    rows : (n,) integer array
        Which rows these are.
    starts : (n + 1,) integer array
        Row rows[t] has the tokens starts[t] to starts[t + 1] - 1.
    tokens : dict of str to (N, ...) array
        Outputs that the model has for each token, by name.
    texts : dict of str to (n, ...) array
        Outputs that the model has for each text, by name.
    """

    rows: np.ndarray
    starts: np.ndarray
    tokens: Mapping[str, np.ndarray]
    texts: Mapping[str, np.ndarray]

    def split(self) -> list[dict[str, np.ndarray]]:
        """The outputs of each row, copied: (tokens of the row, ...) and (...) arrays by name."""
        pairs = list(zip(self.starts[:-1], self.starts[1:], strict=True))
        return [
            {name: value[start:end].copy() for name, value in self.tokens.items()}
            | {name: value[t].copy() for name, value in self.texts.items()}
            for t, (start, end) in enumerate(pairs)
        ]


Reduce = Callable[[Batch], Sequence[Any]]


def run_rows(
    model: Any,
    rows: Sequence[Sequence[int]],
    reduce: Reduce = Batch.split,
    *,
    token_outputs: Sequence[str] = (),
    text_outputs: Sequence[str] = (),
    batch_tokens: int = BATCH_TOKENS,
    batch_size: int | None = None,
    visible_padding: int | None = None,
    **arguments: Any,
) -> list[Any]:
    """Run a model on rows of token ids; the results are in the order of the rows.

    Parameters
    ----------
    model : model of this package, or callable
        A model of this package takes the rows packed, without padding, so that what it computes for
        a row does not depend on the others. Any other callable is called with padded input_ids
        (B, T), filled up with `config.pad_token_id`, and attention_mask (B, T). A row has the
        numbers that it has alone: what the model hides without a mask is hidden.
    rows : sequence of sequences of int
        Each with at least one token.
    reduce : function
        From a `Batch` to one result for each of its rows.
    token_outputs, text_outputs : sequences of str
        Outputs to read, such as "last_hidden_state"; "hidden_states.3" is item 3 of a tuple.
    batch_tokens : int
        Most tokens of a batch. A row that is longer is a batch of its own.
    batch_size : int, optional
        Most rows of a batch; left out, as many as `batch_tokens` allows.
    visible_padding : int, optional
        Each row has the numbers that it has when it is padded to so many tokens, which are not
        hidden: see `visible_padding`. The padding has no outputs.
    **arguments
        Further arguments of the model, the same for all rows.

    Returns
    -------
    list
        What `reduce` gave for each row.
    """
    packed = takes_packed(model)
    run = _run_packed if packed else _run_padded
    results: list[Any] = [None] * len(rows)
    lengths = [len(row) for row in rows]
    if visible_padding is not None:  # with one padding token, or with all of them
        lengths = [n + 1 if packed else max(n, visible_padding) for n in lengths]
    for chosen in cut_batches(lengths, batch_tokens, batch_size, not packed):
        ids = [np.asarray(rows[r], np.int64) for r in chosen]
        starts = np.concatenate([[0], np.cumsum([len(i) for i in ids])])
        outputs = token_outputs, text_outputs
        tokens, texts = run(model, ids, starts, *outputs, visible_padding, arguments)
        batch = Batch(chosen, starts, tokens, texts)
        for r, result in zip(chosen, reduce(batch), strict=True):
            results[r] = result
    return results


def takes_packed(model: Any) -> bool:
    """Whether a model is one of this package, which takes rows one after another, not padded."""
    return "starts" in getattr(model, "_forward_arguments", ())


def cut_batches(
    lengths: Sequence[int], batch_tokens: int, batch_size: int | None = None, padded: bool = False
) -> Iterator[np.ndarray]:
    """Indices of rows in batches of similar length, longest first.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each row, at least 1.
    batch_tokens : int
        Most tokens of a batch. A row that is longer is a batch of its own.
    batch_size : int, optional
        Most rows of a batch.
    padded : bool
        Whether every row of a batch counts as long as the longest.

    Yields
    ------
    (n,) integer array
        Indices into `lengths`.
    """
    order = np.argsort(-np.asarray(lengths, np.int64), kind="stable")
    batch: list[int] = []
    tokens = 0
    for r in order:
        length = lengths[batch[0]] if padded and batch else lengths[r]
        if batch and (tokens + length > batch_tokens or len(batch) == batch_size):
            yield np.array(batch)
            batch, tokens, length = [], 0, lengths[r]
        batch.append(int(r))
        tokens += length
    if batch:
        yield np.array(batch)


Outputs = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


def _run_packed(
    model: Any,
    ids: list[np.ndarray],
    starts: np.ndarray,
    token_outputs: Sequence[str],
    text_outputs: Sequence[str],
    visible_padding: int | None,
    arguments: Mapping[str, Any],
) -> Outputs:
    real: Any = slice(None)
    if visible_padding is not None:
        pad_token_id = model.config.pad_token_id
        ids, real, more = add_padding_token(ids, visible_padding, pad_token_id)
        starts = np.concatenate([[0], np.cumsum([len(i) for i in ids])])
        arguments = {**arguments, **more}
    packed = np.concatenate(ids)[None]  # (1, N)
    if visible_padding is None:  # a [PAD] that stands in a text is a token like others
        mask = batch_mask(model.config, packed, np.ones(packed.shape, bool))
        arguments = {**arguments, "attention_mask": mask}
    output = model(packed, starts=starts, return_dict=True, **arguments)
    shape = packed.shape  # (1, N)
    tokens = {name: _finite(_read(output, name, shape)[0][real], name) for name in token_outputs}
    return tokens, {name: _of_texts(output, name, len(ids)) for name in text_outputs}


def _run_padded(
    model: Any,
    ids: list[np.ndarray],
    starts: np.ndarray,
    token_outputs: Sequence[str],
    text_outputs: Sequence[str],
    visible_padding: int | None,
    arguments: Mapping[str, Any],
) -> Outputs:
    lengths = np.diff(starts)
    mask = np.arange(max(lengths.max(), visible_padding or 0)) < lengths[:, None]  # (B, T)
    if visible_padding is not None:
        padded, more = pad_fully(ids, visible_padding, model.config)
    else:
        padding = getattr(model.config, "pad_token_id", None) or 0  # masked: any token will do
        padded = np.full(mask.shape, padding, np.int64)
        padded[mask] = np.concatenate(ids)
        more = {"attention_mask": batch_mask(model.config, padded, mask).astype(np.int64)}
    output = model(padded, **more, **arguments)
    shape = mask.shape  # (B, T)
    tokens = {name: _finite(_read(output, name, shape)[mask], name) for name in token_outputs}
    return tokens, {name: _of_texts(output, name, len(ids)) for name in text_outputs}


def _of_texts(output: Any, name: str, count: int) -> np.ndarray:
    """An output of so many texts, checked."""
    return _finite(_read(output, name, (count,)), name)


def _read(output: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """An output by its name, from an object with attributes or from a dict.

    Raises
    ------
    ValueError
        It is not there, or its shape does not begin with `shape`.
    """
    key, _, item = name.partition(".")
    value = getattr(output, key, None)
    if value is None and isinstance(output, Mapping):
        value = output.get(key)
    if value is None:
        raise ValueError(
            f"the model's output, a {type(output).__name__}, has no {key!r}, which this task "
            "needs; give a model with the head of the task"
        )
    array = np.asarray(value[int(item)] if item else value)
    if array.shape[: len(shape)] != shape:
        wanted = ", ".join(map(str, shape))
        raise ValueError(
            f"the model gives {name} of the shape {array.shape}, where this task needs "
            f"({wanted}, ...); give a model with the head of the task"
        )
    return array


def _finite(values: np.ndarray, name: str) -> np.ndarray:
    """The values; ValueError where one is NaN or +inf, of which no score can be made."""
    if values.size and not values.max() < np.inf:  # the maximum is NaN where a value is
        raise ValueError(
            f"the model gives NaN or infinity as {name}; a weight may be damaged or too large: "
            "check the checkpoint, or download it again"
        )
    return values
