"""How much each class counts in the loss."""

from collections.abc import Mapping, Sequence

import numpy as np

from numpy_erniem.checks import check_range, nearest

BALANCED = "balanced"
ClassWeights = str | dict[str, float]


def weights_of_classes(given: ClassWeights, names: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """The weights of the classes.

    Parameters
    ----------
    given : "balanced", or dict of str to float
        "balanced": n / (K · n_k), for n examples, of which n_k have class k: all classes count
        alike. A dict: weights by name; a class that it leaves out weighs 1.
    names : K sequence of str
    labels : integer array
        The classes of the training examples.

    Returns
    -------
    (K,) float64 array

    Raises
    ------
    ValueError
        A name that is no class, or a weight that is not above 0 and finite.

    Examples
    --------
    >>> weights_of_classes("balanced", ["a", "b"], np.array([0, 0, 1, 1, 1, 1])).tolist()
    [1.5, 0.75]
    """
    if isinstance(given, str):
        if given != BALANCED:
            raise ValueError(
                f"class_weights {given!r} is neither {BALANCED!r} nor weights by label"
            )
        counts = np.maximum(np.bincount(labels, minlength=len(names)), 1)  # 0: all were cut
        return len(labels) / (len(names) * counts)
    if not isinstance(given, Mapping):
        raise ValueError(f"class_weights is {given!r}, neither {BALANCED!r} nor weights by label")
    weights = np.ones(len(names))
    for name, weight in given.items():
        if name not in names:
            raise ValueError(f"class_weights has {name!r}, no label{nearest(name, list(names))}")
        check_range(f"class_weights of {name!r}", weight, "(0, inf)")
        weights[list(names).index(name)] = weight
    return weights


def recorded(given: ClassWeights | None) -> ClassWeights | None:
    """Weights that were checked, as run.json has them: numbers of NumPy become floats."""
    if given is None or isinstance(given, str):
        return given
    return {name: float(weight) for name, weight in given.items()}
