"""Which examples are drawn how often when the bundled checkpoint is trained."""

from collections.abc import Sequence

import numpy as np

from numpy_erniem.training.pretraining import Corpus


def repeated(
    languages: Sequence[str], balance: float, shares: dict[str, float] | None = None
) -> np.ndarray:
    """Indices of all examples, those of small languages several times.

    Parameters
    ----------
    languages : sequence of str
        Of the examples.
    balance : float
        A language with n examples gets a number in proportion to n ** balance.
    shares : dict of str to float, optional
        Languages that get this share of all instead.
    """
    names = np.array(languages)
    counts = dict(
        zip(*(part.tolist() for part in np.unique(names, return_counts=True)), strict=True)
    )
    shares = shares or {}
    weights = {name: n**balance for name, n in counts.items() if name not in shares}
    rest = (1 - sum(shares.values())) / sum(weights.values())
    shares = {**{name: weight * rest for name, weight in weights.items()}, **shares}
    total = len(names)
    parts = []
    for name in sorted(counts):
        own = np.flatnonzero(names == name)
        parts.append(np.resize(own, max(1, round(shares[name] * total))))
    return np.concatenate(parts)


def translations_together(
    pairs: Corpus, chosen: np.ndarray, count: int, seed: int
) -> list[np.ndarray]:
    """Groups of `count` pairs with the same English sentence, drawn among its translations.

    Pairs of an English sentence with fewer translations are repeated.

    Parameters
    ----------
    pairs : Corpus
    chosen : array of int
        The pairs, with repetitions.
    count : int
    seed : int
    """
    of_sentence: dict[tuple[int, ...], list[int]] = {}
    for n in chosen:
        of_sentence.setdefault(tuple(pairs.sentences[n][0]), []).append(int(n))
    rng, groups = np.random.default_rng(seed), []
    for members in of_sentence.values():
        mixed = rng.permutation(members)
        whole = -(-len(mixed) // count) * count
        groups += list(np.resize(mixed, whole).reshape(-1, count))
    return groups
