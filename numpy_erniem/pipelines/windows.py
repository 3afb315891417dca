"""Windows over a sequence of tokens that is longer than a model takes."""

import numpy as np


def cut_windows(length: int, size: int, overlap: int = 0) -> list[range]:
    """Ranges of tokens that cover a sequence, each of at most `size` tokens.

    Parameters
    ----------
    length : int
        Tokens of the sequence; 0 gives one empty window.
    size : int
        Most tokens of a window, at least 1.
    overlap : int
        Tokens that a window shares with the one before it, less than `size`.

    Returns
    -------
    list of range

    Raises
    ------
    ValueError
        The overlap leaves no step from window to window.
    """
    if not 0 <= overlap < size:
        raise ValueError(
            f"an overlap of {overlap} tokens is not in 0..{size - 1}: a window holds {size}"
        )
    starts = range(0, max(1, length - overlap), size - overlap)
    return [range(start, min(start + size, length)) for start in starts]


def best_window(length: int, windows: list[range]) -> np.ndarray:
    """For each token, the window in which it stands farthest from an edge; the first, if several.

    Parameters
    ----------
    length : int
        Tokens of the sequence.
    windows : list of range
        Together they cover the sequence.

    Returns
    -------
    (length,) integer array
        Indices into `windows`.
    """
    best, distance = np.zeros(length, np.int64), np.full(length, -1)
    for n, window in enumerate(windows):
        tokens = np.arange(window.start, window.stop)
        edge = np.minimum(tokens - window.start, window.stop - 1 - tokens)
        better = edge > distance[tokens]
        best[tokens[better]] = n
        distance[tokens[better]] = edge[better]
    return best
