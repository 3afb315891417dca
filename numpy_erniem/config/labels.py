"""Names of the classes: id2label and label2id, and what they are where a config leaves them out."""

from collections.abc import Mapping
from operator import index
from typing import Any

from numpy_erniem.config.checks import require_int

DEFAULT_NUM_LABELS = 2


def class_labels(
    num_labels: int | None, id2label: Mapping[Any, str] | None, label2id: Mapping[str, int] | None
) -> tuple[dict[int, str], dict[str, int]]:
    """Names of the classes by id, and ids by name, from what is given of three arguments.

    Parameters
    ----------
    num_labels : int, optional
    id2label : mapping of int to str, optional
    label2id : mapping of str to int, optional

    Returns
    -------
    names : dict of int to str
    ids : dict of str to int

    Raises
    ------
    ValueError
        A value of another kind, or two that contradict each other.

    Notes
    -----
    ========== ======== ======== =============================== ===========================
    num_labels id2label label2id names                           ids
    ========== ======== ======== =============================== ===========================
    -          -        -        LABEL_0, LABEL_1                of the names
    n          -        -        LABEL_0 to LABEL_n-1            of the names
    - or 2     -        given    LABEL_0, LABEL_1                as given
    other n    -        given    LABEL_0 to LABEL_n-1            of the names
    - or n     n names  -        as given                        of the names
    - or n     n names  given    as given                        as given
    n          m names           ValueError
    ========== ======== ======== =============================== ===========================
    """
    if num_labels is not None:
        require_int("num_labels", num_labels, least=1)
    if id2label is None:
        count = DEFAULT_NUM_LABELS if num_labels is None else num_labels
        names = {i: f"LABEL_{i}" for i in range(count)}
        if count != DEFAULT_NUM_LABELS:
            label2id = None
    else:
        names = checked_names(id2label)
        if num_labels not in (None, len(names)):
            raise ValueError(
                f"num_labels {num_labels} contradicts id2label with {len(names)} "
                "names; give one of them, or make them agree"
            )
    ids = {name: i for i, name in names.items()} if label2id is None else checked_ids(label2id)
    return names, ids


def overridden_labels(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> set[str]:
    """Keys of labels in a config.json that no longer hold after the overrides.

    ================================ ====================================
    overrides have                   keys of the file that no longer hold
    ================================ ====================================
    neither names nor number         none
    id2label                         label2id, the number
    the number that the file has     the number
    another number                   the number, id2label, label2id
    ================================ ====================================
    """
    number = {"num_labels", "num_classes"}
    if "id2label" in overrides:
        return {"label2id", *number}
    if not number & overrides.keys():
        return set()
    wanted = overrides.get("num_labels", overrides.get("num_classes"))
    in_file = values.get("num_labels", values.get("num_classes"))
    names, _ = class_labels(in_file, values.get("id2label"), values.get("label2id"))
    return number if len(names) == wanted else {"id2label", "label2id", *number}


def checked_names(id2label: Any) -> dict[int, str]:
    """Names by integers, which in JSON are strings."""
    try:
        names = {int(i) if isinstance(i, str) else index(i): n for i, n in id2label.items()}
    except (AttributeError, TypeError, ValueError):
        raise ValueError(
            f"id2label {id2label!r} is not a dict from numbers to names, such as {{0: 'no'}}"
        ) from None
    if len(names) < len(id2label):
        raise ValueError(f"id2label {id2label!r} names a class twice")
    return names


def checked_ids(label2id: Any) -> dict[str, int]:
    """Ids by names, of anything that `dict` takes."""
    try:
        return dict(label2id)
    except (TypeError, ValueError):
        raise ValueError(
            f"label2id {label2id!r} is not a dict from names to numbers, such as {{'no': 0}}"
        ) from None
