"""A packed batch: texts of different lengths one after the other in one row, without padding.

    texts   [0, 5, 2]  [0, 7, 8, 9, 2]
    ids     0 5 2 0 7 8 9 2            (1, N)
    starts  0     3         8          (n + 1,): where each text starts, then N

Elsewhere `starts` is called cu_seqlens. All layers but attention work token by token, so they
need not know it.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from numpy_erniem.backend.independent_rows import independent_rows
from numpy_erniem.checks import as_array

Model = TypeVar("Model")
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def pack_texts(texts: Iterable[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Lay texts one after the other: token ids of n texts -> (1, N) ids and (n + 1,) starts.

    Parameters
    ----------
    texts : iterable of sequences of int
        The token ids of each text, such as `tokenizer(texts)["input_ids"]`.

    Returns
    -------
    input_ids : (1, N) int64 array
    starts : (n + 1,) int64 array
        Text t has the tokens starts[t] to starts[t + 1] - 1.

    Raises
    ------
    ValueError
        No text, a text without a token, or ids that are not a sequence of integers.

    Examples
    --------
    >>> from numpy_erniem import ErnieMConfig, ErnieMModel, pack_texts
    >>> input_ids, starts = pack_texts([[0, 5, 2], [0, 7, 8, 9, 2]])
    >>> input_ids.tolist(), starts.tolist()
    ([[0, 5, 2, 0, 7, 8, 9, 2]], [0, 3, 8])
    >>> config = ErnieMConfig(vocab_size=99, hidden_size=12, num_attention_heads=3,
    ...                       num_hidden_layers=2, intermediate_size=37)
    >>> output = ErnieMModel(config)(input_ids, starts=starts)
    >>> output.last_hidden_state.shape, output.pooler_output.shape
    ((1, 8, 12), (2, 12))
    """
    rows = []
    for n, text in enumerate(texts):
        row = as_array(f"texts[{n}]", text, "if")
        if row.ndim != 1 or not row.size:
            raise ValueError(
                f"texts[{n}] has shape {row.shape}; give each text as a sequence of at least one "
                "token id, for example [0, 2] for an empty text"
            )
        rows.append(as_array(f"texts[{n}]", row, "i").astype(np.int64, copy=False))
    if not rows:
        raise ValueError("there is no text to pack; give at least one")
    starts = np.cumsum([0, *map(len, rows)])
    return np.concatenate(rows)[None, :], starts.astype(np.int64, copy=False)


def checked_starts(value: Any, B: int, N: int) -> np.ndarray | None:
    """The starts of a packed batch as int64, of B rows of N tokens; None if it is not packed.

    Parameters
    ----------
    value : (n + 1,) integers, or None
    B, N : int
        Of the input_ids or inputs_embeds.

    Returns
    -------
    (n + 1,) int64 array of its own, or None

    Raises
    ------
    ValueError
        Anything but integers that rise from 0 to N, or more than one row.
    """
    if value is None:
        return None
    starts = as_array("starts", value, "if")
    if B != 1:
        raise ValueError(
            f"starts is for a packed batch, whose input_ids are (1, tokens); there are {B} rows; "
            "leave starts out, or join the rows with pack_texts"
        )
    if starts.ndim != 1 or len(starts) < 2:
        raise ValueError(
            f"starts has shape {starts.shape}, not (texts + 1,): where each text starts, and "
            f"then the number of tokens, {N}"
        )
    starts = np.array(as_array("starts", starts, "i"), np.int64)
    if starts[0] != 0 or starts[-1] != N:
        raise ValueError(
            f"starts begins with {starts[0]} and ends with {starts[-1]}; it must begin with 0 and "
            f"end with the number of tokens, {N}"
        )
    lengths = np.diff(starts)
    if (lengths < 1).any():
        t = int(np.argmax(lengths < 1))
        raise ValueError(
            f"starts[{t}] is {starts[t]} and starts[{t + 1}] is {starts[t + 1]}; each text has at "
            "least one token, so starts must rise"
        )
    return starts


def refuse_for_packed(
    past_key_values: Any,
    use_cache: bool,
    output_attentions: bool,
    head_masks: Sequence[np.ndarray | None],
) -> None:
    """Refuse what a packed batch cannot have.

    Parameters
    ----------
    past_key_values : any
        None is right.
    use_cache, output_attentions : bool
        False is right.
    head_masks : sequence of array or None
        Factors of each layer, with the axes (B, H, T, S); all but H must be 1.

    Raises
    ------
    ValueError
        With the argument and the remedy.
    """
    wrong = None
    if past_key_values is not None:
        wrong = "past_key_values: texts of a packed batch have no past"
    elif use_cache:
        wrong = "use_cache=True; pass use_cache=False"
    elif output_attentions:
        wrong = "output_attentions=True; pass output_attentions=False, or run padded texts"
    for factors in head_masks:
        if factors is not None and (factors.shape[0], *factors.shape[2:]) != (1, 1, 1):
            wrong = f"a head_mask of {factors.shape} per layer; give (heads,) or (layers, heads)"
    if wrong:
        raise ValueError(f"a packed batch, with starts, does not take {wrong}")


def checked_key_bias(value: Any, B: int, S: int, dtype: np.dtype) -> np.ndarray | None:
    """The bias of the keys in the dtype of the model.

    Parameters
    ----------
    value : (B or 1, S) finite numbers, or None
    B, S : int
    dtype : {"float32", "float64"}

    Returns
    -------
    (B or 1, S) array, or None

    Raises
    ------
    ValueError
        Another shape, or numbers that are not finite.
    """
    if value is None:
        return None
    bias = as_array("key_bias", value, "fi")
    if bias.shape not in ((B, S), (1, S)):
        raise ValueError(f"key_bias has shape {bias.shape}, not ({B}, {S}) or (1, {S})")
    bias = bias.astype(dtype, copy=False)
    if not np.isfinite(bias).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(bias))[0])
        raise ValueError(
            f"key_bias{list(where)} is {bias[where]}, not finite; attention_mask hides a key"
        )
    return bias


def refuse_labels_of(starts: Any, **labels: Any) -> None:
    """Raise ValueError where texts are packed and a label is given whose loss is by row."""
    given = [name for name, value in labels.items() if value is not None]
    if starts is not None and given:
        raise ValueError(
            f"{given[0]} of a packed batch: this model has a loss for padded texts alone; leave "
            "starts out, or compute the loss from the scores"
        )


def whatever_the_batch(
    forward: Callable[Concatenate[Model, Arguments], Result],
) -> Callable[Concatenate[Model, Arguments], Result]:
    """Mark a forward pass whose `starts` promise the same bits for a text in any packed batch."""

    @functools.wraps(forward)
    def marked(self: Model, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if kwargs.get("starts") is None:
            return forward(self, *args, **kwargs)
        with independent_rows():
            return forward(self, *args, **kwargs)

    return marked
