"""The scores of the fine-tuning tasks: functions of what is right and what was predicted."""

import string
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from numpy_erniem.pipelines.entities import Labelled, join_entities
from numpy_erniem.pipelines.words import is_unspaced

OUTSIDE = "O"  # the tag of a word that is no entity
ARTICLES = ("a", "an", "the")


def f1(right: float, predicted: float, wanted: float) -> tuple[float, float, float]:
    """Precision, recall, and F1, which is their harmonic mean; 0 where nothing is there to divide.

    Parameters
    ----------
    right : number
        How many of the predicted ones are wanted.
    predicted, wanted : number

    Returns
    -------
    precision, recall, f1 : float

    Examples
    --------
    >>> f1(1, 2, 1)
    (0.5, 1.0, 0.6666666666666666)
    """
    precision = right / predicted if predicted else 0.0
    recall = right / wanted if wanted else 0.0
    both = precision + recall
    return precision, recall, 2 * precision * recall / both if both else 0.0


def macro_f1(labels: np.ndarray, predicted: np.ndarray) -> float:
    """The mean over the classes of the F1 of each; of classes that occur on either side.

    Examples
    --------
    >>> round(macro_f1(np.array([0, 0, 1]), np.array([0, 1, 1])), 4)
    0.6667
    """
    scores = []
    for k in np.union1d(labels, predicted):
        mine, theirs = predicted == k, labels == k
        scores.append(f1(float((mine & theirs).sum()), float(mine.sum()), float(theirs.sum()))[2])
    return float(np.mean(scores))


def set_scores(
    wanted: Sequence[Iterable[Hashable]], predicted: Sequence[Iterable[Hashable]]
) -> dict[str, float]:
    """F1, precision and recall of sets, one for each text, counted over all texts together.

    Examples
    --------
    >>> set_scores([{1, 2}, {3}], [{1}, {4}])["precision"]
    0.5
    """
    pairs = [(set(a), set(b)) for a, b in zip(wanted, predicted, strict=True)]
    right = sum(len(a & b) for a, b in pairs)
    counts = sum(len(b) for _, b in pairs), sum(len(a) for a, _ in pairs)
    precision, recall, score = f1(right, *counts)
    return {"F1": score, "precision": precision, "recall": recall}


def entities_of(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """The entities of a sentence: name, first word and the word behind the last.

    B, S and U begin an entity; I, E and L do where none of the same name is open. E, S, L and U
    end it. A tag without such a prefix goes on while it is the same.

    References
    ----------
    The script conlleval, and `get_entities` in seqeval.

    Examples
    --------
    >>> sorted(entities_of(["B-PER", "I-PER", "O", "I-LOC"]))
    [('LOC', 3, 4), ('PER', 0, 2)]
    """
    units = [Labelled(tag, 1.0, n, n + 1) for n, tag in enumerate(tags)]
    return {(e.label, e.start, e.end) for e in join_entities(units) if e.label != OUTSIDE}


def answer_words(text: str) -> list[str]:
    """The words of an answer by which it is compared.

    Lower case, without punctuation and the English articles. A character of a script without
    spaces between words, such as Han or Thai, is a word.

    Examples
    --------
    >>> answer_words("The U.S., 中国")
    ['us', '中', '国']
    """
    kept = []
    for c in unicodedata.normalize("NFC", text).lower():
        if c not in string.punctuation and unicodedata.category(c)[0] != "P":
            kept.append(f" {c} " if is_unspaced(c) else c)
    return [word for word in "".join(kept).split() if word not in ARTICLES]


def answer_scores(text: str, wanted: Sequence[str]) -> tuple[float, float]:
    """Exact match, 0 or 1, and F1 of the words of an answer: the best over all right answers.

    Parameters
    ----------
    text : str
        "" for "no answer".
    wanted : sequence of str
        The right answers; none means that "no answer" is right.

    Returns
    -------
    exact_match, f1 : float

    References
    ----------
    The evaluation script of SQuAD 2.0.
    """
    mine, best = answer_words(text), (0.0, 0.0)
    for answer in wanted or [""]:
        theirs = answer_words(answer)
        same = sum((Counter(mine) & Counter(theirs)).values())
        both_empty = not mine and not theirs
        shared = 1.0 if both_empty else f1(same, len(mine), len(theirs))[2]
        best = (max(best[0], float(mine == theirs)), max(best[1], shared))
    return best


def ranking_scores(
    relevance: Sequence[np.ndarray], scores: Sequence[np.ndarray], depth: int = 10
) -> dict[str, float]:
    """nDCG and MRR among the first texts of each query, as means over the queries.

    Parameters
    ----------
    relevance : for each query an (n,) array
        How relevant its texts are, at least 0; not all alike.
    scores : for each query an (n,) array
        By which its texts are ordered; of equal scores the less relevant text comes first, so a
        model that gives all the same is not right by the order of the file.
    depth : int
        How many texts of an order count.

    Returns
    -------
    dict
        "nDCG@10": the gain is the relevance, divided by log2(place + 1). "MRR@10": one over the
        place of the first text that has the highest relevance of its query, 0 behind the tenth.

    References
    ----------
    Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002.

    Examples
    --------
    >>> ranking_scores([np.array([0, 1])], [np.array([0.9, 0.1])])["MRR@10"]
    0.5
    """
    gains, ranks = [], []
    for wanted, given in zip(relevance, scores, strict=True):
        ordered = wanted[np.lexsort((wanted, -np.asarray(given)))][:depth]
        ideal = np.sort(wanted)[::-1][:depth]
        discounts = 1 / np.log2(np.arange(len(ordered)) + 2)
        gains.append((ordered * discounts).sum() / (ideal * discounts).sum())
        at = np.flatnonzero(ordered == wanted.max())
        ranks.append(1 / (at[0] + 1) if len(at) else 0.0)
    return {f"nDCG@{depth}": float(np.mean(gains)), f"MRR@{depth}": float(np.mean(ranks))}
