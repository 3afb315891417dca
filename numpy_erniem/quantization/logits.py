"""How far the logits of a model's heads move where its encoder is narrow."""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from numpy_erniem.models.packed_batch import pack_texts
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.models.schema import PREFIX
from numpy_erniem.models.weights import encoder_weights, flatten

PACK = 256  # tokens, whose logits are in memory at a time
SCORES = ("logits", "start_logits", "end_logits")

Model = ErnieMPreTrainedModel[Any]


class Moved(NamedTuple):
    """What a narrow encoder does to the logits of a head.

    Attributes
    ----------
    apart : float
        The largest difference of two logits.
    largest : float
        The largest magnitude of a logit in float32.
    changed : float
        The part of the predictions that differ; see `predictions`.
    """

    apart: float
    largest: float
    changed: float


def with_encoder_of(narrow: Model, heads: Sequence[Model]) -> list[tuple[Model, Model]]:
    """Float models with a head, each beside a copy that has the encoder of a narrow model."""
    encoder = flatten(encoder_weights(narrow.weights), PREFIX)
    pairs = []
    for head in heads:
        model = copy.copy(head)
        model.config = copy.deepcopy(head.config)
        model.config.quantization = copy.deepcopy(narrow.config.quantization)
        model.precision = narrow.precision
        model._set_weights(flatten(head.weights) | encoder)
        pairs.append((head, model))
    return pairs


def compare_logits(wide: Model, narrow: Model, rows: Sequence[list[int]]) -> Moved | None:
    """Run two models with a head on rows of token ids.

    Parameters
    ----------
    wide, narrow : models of one class
    rows : sequence of list of int

    Returns
    -------
    Moved, or None where the models have no head
    """
    if wide.base_model is wide:
        return None
    apart = most = 0.0
    changed: list[np.ndarray] = []
    for pack in _packs(rows):
        ids, starts = pack_texts(pack)
        outputs = wide(ids, starts=starts), narrow(ids, starts=starts)
        for name in SCORES:
            if outputs[0].get(name) is None:
                continue
            a, b = (np.asarray(output[name]) for output in outputs)
            apart, most = max(apart, np.abs(a - b).max()), max(most, np.abs(a).max())
            best = (predictions(x, wide, list(map(len, pack))) for x in (a, b))
            changed.append(np.not_equal(*best).ravel())
    each = np.concatenate(changed)
    return Moved(float(apart), float(most), float(each.mean()) if each.size else 0.0)


def predictions(logits: np.ndarray, model: Model, lengths: Sequence[int]) -> np.ndarray:
    """What is taken from the logits of a packed batch.

    Parameters
    ----------
    logits : array
    model : model with a head
    lengths : sequence of int
        Tokens of each text.

    Returns
    -------
    array
        Of an answer, the token where it starts or ends; of one label, which of two neighbouring
        texts has more; of labels that may be there together, and of extracted spans, which are
        there; else the best of several labels or tokens.
    """
    kind = model.schema.name
    if kind == "ErnieMForQuestionAnswering":
        texts = np.split(logits.ravel(), np.cumsum(lengths)[:-1])
        return np.array([text.argmax() for text in texts])
    several = model.config.problem_type == "multi_label_classification"
    if several or kind == "ErnieMForInformationExtraction":
        return logits > 0
    return logits[:-1] > logits[1:] if logits.shape[-1] == 1 else logits.argmax(axis=-1)


def _packs(rows: Sequence[list[int]]) -> list[list[list[int]]]:
    """Rows in groups of about PACK tokens."""
    packs: list[list[list[int]]] = [[]]
    for row in rows:
        if packs[-1] and sum(map(len, packs[-1])) + len(row) > PACK:
            packs.append([])
        packs[-1].append(row)
    return packs
