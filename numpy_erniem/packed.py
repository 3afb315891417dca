"""The texts of a packed batch: one after the other in one row, text t from starts[t] on.

`models.packed_batch` shows one. All primitives but attention work token by token.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np


def longest_text(starts: np.ndarray | None, T: int) -> int:
    """Tokens of the longest text: T, unless texts are packed."""
    return T if starts is None else int(np.diff(starts).max())


def by_text(
    qkv: tuple[np.ndarray, ...], starts: np.ndarray, options: Mapping[str, Any]
) -> Iterator[tuple[slice, list[np.ndarray], dict[str, Any]]]:
    """Divide the arguments of `attention` of a packed batch among its texts.

    Parameters
    ----------
    qkv : three (1, H, N, d) arrays
    starts : (n + 1,) integers
    options : dict
        "mask", "head_mask", "query_distance", "key_distance" and others, as of `attention`.

    Yields
    ------
    text : slice
        The tokens of a text.
    qkv : three (1, H, T, d) arrays
    options : dict
        Its own.

    Raises
    ------
    ValueError
        Starts that do not rise from 0 to N, or a mask of another shape.
    """
    (B, _, N, _), S, bounds = qkv[0].shape, qkv[1].shape[2], np.asarray(starts).tolist()
    if B != 1 or S != N or bounds[:1] + bounds[-1:] != [0, N] or (np.diff(bounds) < 1).any():
        raise ValueError(f"starts must rise from 0 to {N}, the tokens of one row, not {starts}")
    rows = {"mask": ((1, N), (N, int(np.diff(bounds).max()))), "head_mask": ((1, 1),)}
    for name, shapes in rows.items():
        if options[name] is not None and options[name].shape[2:] not in shapes:
            raise ValueError(f"with starts, {name} has rows of {shapes}, not {options[name].shape}")
    for first, end in pairwise(bounds):
        text, n, own = slice(first, end), end - first, dict(options)
        for name, x in options.items():
            if name in ("mask", "key_bias") and x is not None:
                own[name] = x[:, :, text, :n] if x.shape[-2] > 1 else x[..., text]
            elif name.endswith("distance") and x is not None:  # those of -(n - 1) to n - 1
                own[name] = x[len(x) // 2 - n + 1 : len(x) // 2 + n]
        yield text, [x[:, :, text] for x in qkv], own
