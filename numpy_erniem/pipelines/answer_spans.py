"""Which tokens are an answer: the best spans over all windows of a context."""

import numpy as np


def window_scores(
    start_logits: np.ndarray, end_logits: np.ndarray, first: int, count: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Probabilities that an answer starts, or ends, at a token of a window.

    Parameters
    ----------
    start_logits, end_logits : (T,) arrays
        Of the row: [CLS] question [SEP] [SEP] window [SEP].
    first, count : int
        Where in the row the window begins, and how many tokens it has.

    Returns
    -------
    starts, ends : (count,) float64 arrays
        Softmax over [CLS] and the tokens of the window; the question takes no part.
    no_answer : float
        The product of the two probabilities of [CLS].
    """
    both = []
    for logits in (start_logits, end_logits):
        x = np.concatenate([logits[:1], logits[first : first + count]]).astype(np.float64)
        x = np.exp(x - x.max())
        both.append(x / x.sum())
    starts, ends = both
    return starts[1:], ends[1:], float(starts[0] * ends[0])


def score_spans(
    windows: list[range], scores: list[tuple[np.ndarray, np.ndarray]], longest: int
) -> np.ndarray:
    """The score of every span of tokens, the best over the windows that hold it.

    Parameters
    ----------
    windows : list of range
        Tokens of the context; together they cover it.
    scores : list of (starts, ends)
        Of each window, from `window_scores`.
    longest : int
        Most tokens of a span.

    Returns
    -------
    (n, longest) float64 array
        At [s, l] the span of l + 1 tokens that starts at token s; -1 where no window holds it.
    """
    longest = min(longest, max(map(len, windows)))
    best = np.full((windows[-1].stop, longest), -1.0)
    for window, (starts, ends) in zip(windows, scores, strict=True):
        for length in range(min(longest, len(window))):
            last = window.stop - length  # behind the last token at which such a span starts
            place = best[window.start : last, length]
            np.maximum(place, starts[: len(place)] * ends[length:], out=place)
    return best


def choose_spans(best: np.ndarray, top_k: int) -> list[tuple[int, int, float]]:
    """The best spans, no two of which share a token: the next best one again and again.

    Parameters
    ----------
    best : (n, longest) array
        From `score_spans`; it is changed.
    top_k : int
        Most spans.

    Returns
    -------
    list of (start, end, score)
        First and last token. Of equal scores the span that starts first, then the shorter one.
    """
    chosen: list[tuple[int, int, float]] = []
    of_start = best.max(axis=1)  # (n,): the best span that starts at each token
    while len(chosen) < top_k:
        start = int(of_start.argmax())
        score = float(of_start[start])
        if score < 0:
            break
        end = start + int(best[start].argmax())
        chosen.append((start, end, score))
        first = max(0, start - best.shape[1] + 1)
        best[start : end + 1] = -1
        for s in range(first, start):  # spans that would run into the one that was chosen
            best[s, start - s :] = -1
        of_start[first : end + 1] = best[first : end + 1].max(axis=1)
    return chosen
