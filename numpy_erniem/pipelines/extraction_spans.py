"""From the probabilities of a row to spans, and from the spans of all chunks to answers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

BETWEEN = 2  # [SEP] [SEP], between prompt and text


class Span(NamedTuple):
    """Tokens of a row: the first, the last, and how likely they are an answer."""

    first: int
    last: int
    probability: float


def find_spans(start_prob: np.ndarray, end_prob: np.ndarray, threshold: float) -> list[Span]:
    """The spans of a row, sorted by their first token.

    Parameters
    ----------
    start_prob, end_prob : (T,) arrays
        How likely a span starts and ends at each token.
    threshold : float
        Compared in float32: a token whose probability is greater is a start, or an end.

    Returns
    -------
    list of Span
        The probability is P(start) · P(end).
    """
    starts, ends = (np.asarray(p, np.float32) for p in (start_prob, end_prob))
    limit = np.float32(threshold)
    pairs = pair(np.flatnonzero(starts > limit), np.flatnonzero(ends > limit))
    return [Span(s, e, float(starts[s]) * float(ends[e])) for s, e in pairs]


def pair(starts: Sequence[int] | np.ndarray, ends: Sequence[int] | np.ndarray) -> list[Any]:
    """Pairs of start and end.

    Each end belongs to the nearest start before it that is behind the end before.

    Parameters
    ----------
    starts, ends : sequences of int
        Sorted.

    Returns
    -------
    list of (int, int)
        Sorted.

    References
    ----------
    `get_span` in PaddleNLP.

    Examples
    --------
    >>> pair([1, 3], [3]), pair([1, 2], [4]), pair([1], [2, 4])
    ([(3, 3)], [(2, 4)], [(1, 2)])
    """
    start_of: dict[int, int] = {}
    s = e = 0
    while s < len(starts) and e < len(ends):
        start, end = int(starts[s]), int(ends[e])
        if start <= end:
            start_of[end] = start
            s += 1
        if start >= end:
            e += 1
    return sorted((start, end) for end, start in start_of.items())


def answers_of_row(
    spans: list[Span], prompt: str, prompt_spans: list[Any], text: str, text_spans: list[Any]
) -> list[dict[str, Any]]:
    """What the spans of a row say.

    Parameters
    ----------
    spans : list of Span
        Of the row [CLS] prompt [SEP] [SEP] chunk of the text [SEP].
    prompt, text : str
    prompt_spans, text_spans : lists of (int, int)
        Characters of each token of the prompt, and of the chunk.

    Returns
    -------
    list of dict
        {"text", "start", "end", "probability"} of a span of the text, {"text", "probability"} of a
        span of the prompt. Spans that touch a special token, or go from the prompt into the text,
        are left out.
    """
    behind = 1 + len(prompt_spans)  # of the prompt
    first = behind + BETWEEN  # of the text
    answers: list[dict[str, Any]] = []
    for span in spans:
        if 1 <= span.first and span.last < behind:
            start, end = prompt_spans[span.first - 1][0], prompt_spans[span.last - 1][1]
            answers.append({"text": prompt[start:end], "probability": span.probability})
        elif first <= span.first and span.last < first + len(text_spans):
            start, end = text_spans[span.first - first][0], text_spans[span.last - first][1]
            place = {"start": start, "end": end}
            answers.append({"text": text[start:end], **place, "probability": span.probability})
    return [answer for answer in answers if answer["text"]]


def join_chunks(chunks: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The answers of all chunks of a text to one prompt.

    Parameters
    ----------
    chunks : list of lists of answers
        From `answers_of_row`, in the order of the text.

    Returns
    -------
    list of answers
        Spans of the prompt, which are the label of a classification, first. Of several chunks they
        are votes: the label with most votes is kept; of equal ones that with the largest sum of
        probabilities, then the one found first. Its probability is the mean over its votes.
    """
    if len(chunks) == 1:
        return chunks[0]
    votes: dict[str, list[float]] = {}
    for answers in chunks:
        for answer in answers:
            if "start" not in answer:
                votes.setdefault(answer["text"], []).append(answer["probability"])
    found = [answer for answers in chunks for answer in answers if "start" in answer]
    if not votes:
        return found
    label = max(votes, key=lambda text: (len(votes[text]), sum(votes[text])))
    return [{"text": label, "probability": sum(votes[label]) / len(votes[label])}, *found]
