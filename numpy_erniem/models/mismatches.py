"""Names of tensors in few words: those of the layers that differ by a number alone are counted."""

import re
from collections.abc import Iterable

Shape = tuple[int, ...]


def describe_names(names: Iterable[str]) -> str:
    """Name tensors, each kind once.

    Examples
    --------
    >>> describe_names(["layers.0.norm1.bias", "layers.1.norm1.bias", "pooler.dense.bias"])
    'layers.*.norm1.bias (2 of them), pooler.dense.bias'
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(re.sub(r"\.\d+\.", ".*.", name), []).append(name)
    return ", ".join(
        found[0] if len(found) == 1 else f"{pattern} ({len(found)} of them)"
        for pattern, found in groups.items()
    )


def describe_mismatches(mismatched: Iterable[tuple[str, Shape, Shape]]) -> str:
    """Say which tensors have another shape in the file.

    Parameters
    ----------
    mismatched : iterable of (name, shape in the file, shape in the model)

    Returns
    -------
    str

    Examples
    --------
    >>> describe_mismatches([(f"layers.{n}.linear1.bias", (4,), (8,)) for n in range(12)])
    'layers.*.linear1.bias (12 of them): (4,) in the file, (8,) here'
    """
    groups: dict[tuple[Shape, Shape], list[str]] = {}
    for name, there, here in mismatched:
        groups.setdefault((there, here), []).append(name)
    return "; ".join(
        f"{describe_names(names)}: {there} in the file, {here} here"
        for (there, here), names in groups.items()
    )
