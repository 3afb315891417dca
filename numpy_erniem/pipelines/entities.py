"""Labels of tokens → labels of words → entities, with the characters that each stands for."""

from typing import Any, NamedTuple

import numpy as np

from numpy_erniem.pipelines.words import number_words

PREFIXES = "BIESLU"  # begin, inside, end, single; and last, unit for the latter two
BEGIN, INSIDE, LAST = "B", "IEL", "ESLU"
ZERO_WIDTH = "\u00ad\u200b\u200c\u200d\u2060\ufeff"


class Labelled(NamedTuple):
    """A token, a word or an entity with its label.

    Attributes
    ----------
    label : str
    score : float
    start, end : int
        Its characters in the text: the first, and the one behind the last.
    """

    label: str
    score: float
    start: int
    end: int


def split_label(label: str) -> tuple[str, str]:
    """The prefix and the name of a label; one without a prefix counts as inside.

    Parameters
    ----------
    label : str

    Returns
    -------
    prefix, name : str

    Examples
    --------
    >>> split_label("B-PER"), split_label("time-of-day")
    (('B', 'PER'), ('I', 'time-of-day'))
    """
    if len(label) > 2 and label[0] in PREFIXES and label[1] == "-":
        return label[0], label[2:]
    return "I", label


def visible_spans(text: str, spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The spans that hold more than white space, without the white space at their ends.

    Parameters
    ----------
    text : str
    spans : (n, 2) int array

    Returns
    -------
    kept : (m,) int array
        Which spans these are.
    spans : (m, 2) int array
    """
    kept, trimmed = [], []
    for n, (start, end) in enumerate(spans.tolist()):
        part = text[start:end]
        if all(c.isspace() or c in ZERO_WIDTH for c in part):
            continue
        kept.append(n)
        trimmed.append((start + len(part) - len(part.lstrip()), start + len(part.rstrip())))
    return np.array(kept, np.int64), np.array(trimmed, np.int64).reshape(-1, 2)


def group_words(text: str, spans: np.ndarray) -> list[range]:
    """The tokens of each word: those that stand in the same word, or share a character.

    Parameters
    ----------
    text : str
    spans : (n, 2) int array
        The characters of the tokens, in order.

    Returns
    -------
    list of range
        A token that is in no word, such as punctuation or a Han character, is one of its own.
    """
    word = number_words(text)
    groups: list[range] = []
    end = 0
    for n, (start, stop) in enumerate(spans.tolist()):
        goes_on = n > 0 and (start < end or (word[start] >= 0 and word[start] == word[end - 1]))
        first = groups.pop().start if goes_on else n
        groups.append(range(first, n + 1))
        end = max(end, stop)
    return groups


def scores_of_word(scores: np.ndarray, aggregation: str) -> np.ndarray:
    """The scores of a word from those of its tokens.

    Parameters
    ----------
    scores : (n, K) array
    aggregation : {"first", "average", "max"}
        Those of the first token, their mean, or those of the token with the highest one.

    Returns
    -------
    (K,) array
    """
    if aggregation == "average":
        mean: np.ndarray = scores.mean(axis=0)
        return mean
    row: np.ndarray = scores[0 if aggregation == "first" else scores.max(axis=1).argmax()]
    return row


def join_entities(units: list[Labelled]) -> list[Labelled]:
    """Entities from tokens or words that follow one another.

    B, S and U always begin an entity; I, E and L do where none of the same name is open. E, S, L
    and U end it. The score of an entity is the mean over its parts.

    Parameters
    ----------
    units : list of Labelled

    Returns
    -------
    list of Labelled
        Their labels are names without a prefix.
    """
    groups: list[tuple[str, list[Labelled]]] = []
    open_name = None
    for unit in units:
        prefix, name = split_label(unit.label)
        if name == open_name and prefix in INSIDE:
            groups[-1][1].append(unit)
        else:
            groups.append((name, [unit]))
        open_name = None if prefix in LAST else name
    return [
        Labelled(
            name,
            float(np.mean([p.score for p in parts])),
            parts[0].start,
            max(p.end for p in parts),
        )
        for name, parts in groups
    ]


def as_dicts(text: str, entities: list[Labelled]) -> list[dict[str, Any]]:
    """What a user gets: label, score, word, start and end of each."""
    return [
        {"label": e.label, "score": e.score, "word": text[e.start : e.end]}
        | {"start": e.start, "end": e.end}
        for e in entities
    ]
