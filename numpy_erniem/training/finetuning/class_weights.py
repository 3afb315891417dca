"""How much each class counts in the loss."""

from collections.abc import Sequence

import numpy as np

from numpy_erniem.checks import nearest

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
        The classes of the training examples; every class occurs.

    Returns
    -------
    (K,) float32 array

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
        counts = np.bincount(labels, minlength=len(names))
        return (len(labels) / (len(names) * counts)).astype(np.float32)
    weights = np.ones(len(names), np.float32)
    for name, weight in given.items():
        if name not in names:
            raise ValueError(f"class_weights has {name!r}, no label{nearest(name, list(names))}")
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not is_number or not 0 < weight < np.inf:
            raise ValueError(
                f"class_weights of {name!r} is {weight!r}, not a finite number above 0"
            )
        weights[list(names).index(name)] = weight
    return weights
