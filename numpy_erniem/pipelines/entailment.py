"""Which classes of a model for natural language inference are entailment and contradiction."""

import re
from collections.abc import Sequence
from typing import Any

NOT_ENTAILED = re.compile(r"(?<![a-z])(not|non|no|un)[\W_]*entail")


def entailment_class(labels: Sequence[str], chosen: Any = None) -> int:
    """The class of a text that entails the other.

    Parameters
    ----------
    labels : sequence of str
        Names of the classes. One that is the word "entailment", "entailed" or "entail" is taken
        first, then one that contains it; one that negates it, such as "not_entailment", is not.
    chosen : int, optional
        The class, where its name does not tell.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        No name tells, more than one does, or there is no such class.
    """
    if chosen is not None:
        return _checked("entailment_id", chosen, labels)
    names = [label.strip().lower() for label in labels]
    words = [n for n, name in enumerate(names) if re.fullmatch(r"entail\w*", name)]
    others = [n for n, s in enumerate(names) if "entail" in s and not NOT_ENTAILED.search(s)]
    found = words or others
    if len(found) != 1:
        raise ValueError(
            f"{_count(found)} of the model names entailment: {_listed(labels)}; zero-shot "
            "classification needs a model for natural language inference, such as "
            "MoritzLaurer/ernie-m-base-mnli-xnli; if it is one, say which class is entailment, "
            "such as entailment_id=0"
        )
    return found[0]


def contradiction_class(labels: Sequence[str], entailment: int, chosen: Any = None) -> int:
    """The class of a text that contradicts the other; of two classes the one not entailment.

    Parameters
    ----------
    labels : sequence of str
    entailment : int
        From `entailment_class`.
    chosen : int, optional
        The class, where its name does not tell.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        No name tells, more than one does, or it is not another class than entailment.
    """
    if chosen is not None:
        if _checked("contradiction_id", chosen, labels) == entailment:
            raise ValueError(f"contradiction_id {chosen} is the class of entailment, too")
        return int(chosen)
    others = [n for n in range(len(labels)) if n != entailment]
    found = [n for n in others if "contra" in labels[n].lower()]
    if len(others) == 1:
        found = others
    if len(found) != 1:
        raise ValueError(
            f"{_count(found)} of the model names contradiction: {_listed(labels)}; say which "
            "class is contradiction, such as contradiction_id=2"
        )
    return found[0]


def _checked(name: str, chosen: Any, labels: Sequence[str]) -> int:
    is_class = isinstance(chosen, int) and not isinstance(chosen, bool)
    if not is_class or not 0 <= chosen < len(labels):
        raise ValueError(f"{name} {chosen!r} is not the number of a class: {_listed(labels)}")
    return int(chosen)


def _count(found: list[int]) -> str:
    return "more than one label" if found else "no label"


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(f"{n} {label}" for n, label in enumerate(labels))
