"""Fine-tuning a reranker: how relevant a text is for a query, as one number."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from numpy_erniem.checks import warn
from numpy_erniem.models import ErnieMForSequenceClassification
from numpy_erniem.pipelines.tokens import encode_texts, row_of, take_ranges
from numpy_erniem.tokenizer import ErnieMTokenizer
from numpy_erniem.training.batches import collate, evaluate_in_batches
from numpy_erniem.training.finetuning.examples import NUMBER, TEXT, checked_examples
from numpy_erniem.training.finetuning.metrics import ranking_scores
from numpy_erniem.training.finetuning.preparation import (
    fingerprints,
    load_trainable,
    prepare_setup,
    row_length,
    warn_of_cuts,
)
from numpy_erniem.training.training_config import TrainingConfig
from numpy_erniem.training.training_setup import TrainingSetup

Ranked = Sequence[tuple[str, str, float]]  # query, text, score
FORM = {"query": TEXT, "text": TEXT, "score": NUMBER}
ONE_LABEL = ["LABEL_0"]  # as published rerankers name it


def reranking_setup(
    train: Ranked,
    evaluation: Ranked,
    config: TrainingConfig,
    *,
    model: str | os.PathLike | None = None,
    max_length: int | None = None,
    hub_options: Mapping[str, Any] | None = None,
) -> TrainingSetup:
    """Prepare the training of a reranker; `.train(folder)` runs it.

    Where all scores are in 0..1, such as the labels 0 and 1, the loss is binary cross entropy of
    the sigmoid of the model's number; else it is the mean squared error of the number itself. The
    measured scores are nDCG@10 and MRR@10, as means over the queries of the evaluation that have
    texts of different scores; the model with the best nDCG@10 is kept.

    Parameters
    ----------
    train, evaluation : sequences of (query, text, score)
    config : TrainingConfig
        Its batch_size counts pairs.
    model : path, optional
        The checkpoint to start from: folder or name on the hub; left out, the bundled one.
    max_length : int, optional
        A text that is longer, with its query, is cut to so many tokens, with a warning; a query is
        never cut. Left out, 256, or what the model takes if that is less.
    hub_options : dict, optional
        Where the checkpoint is: revision, subfolder and so on, as of `from_pretrained`.

    Returns
    -------
    TrainingSetup

    Raises
    ------
    ValueError
        No example, or one of another form, training scores that are all the same, no query in the
        evaluation with texts of different scores, a query that leaves no room for a text, or a
        max_length that the model does not take.
    """
    train, evaluation = checked_examples(train, evaluation, FORM)
    targets, wanted = _scores(train, "train"), _scores(evaluation, "evaluation")
    if len(set(targets.tolist())) < 2:
        raise ValueError(f"training has only the score {targets[0]:g}; at least two are needed")
    groups = _groups(evaluation, wanted)
    is_share = bool((targets >= 0).all() and (targets <= 1).all())
    loaded = load_trainable(
        ErnieMForSequenceClassification,
        model,
        config.seed,
        ONE_LABEL,
        hub_options,
        problem_type="multi_label_classification" if is_share else "regression",
    )
    max_length = row_length(max_length, 256, loaded[0].config, 6)
    rows, held_out = (_rows(loaded[1], part, max_length) for part in (train, evaluation))

    def batch_of(chosen: np.ndarray) -> dict[str, Any]:
        labels = targets[chosen, None]  # (B, 1)
        return collate([rows[n] for n in chosen], loaded[0].config, {"labels": labels})

    def evaluate(model: ErnieMForSequenceClassification) -> dict[str, float]:
        def numbers(chosen: np.ndarray) -> np.ndarray:
            return model(**collate([held_out[n] for n in chosen], model.config)).logits[:, 0]

        scores = evaluate_in_batches(held_out, numbers)
        relevance = wanted - min(0.0, float(wanted.min()))
        return ranking_scores([relevance[g] for g in groups], [scores[g] for g in groups])

    return prepare_setup(
        loaded,
        config,
        [len(row) for row in rows],
        batch_of,
        evaluate,
        data=fingerprints(train, evaluation) | {"max_length": max_length},
    )


def _scores(examples: Ranked, name: str) -> np.ndarray:
    """The scores of all examples: (n,) float32."""
    with np.errstate(over="ignore"):
        scores = np.array([score for *_, score in examples], np.float32)
    for n in np.flatnonzero(~np.isfinite(scores)):
        raise ValueError(f"{name}[{n}]: the score {examples[n][2]} is too large for float32")
    return scores


def _groups(examples: Ranked, scores: np.ndarray) -> list[np.ndarray]:
    """The examples of each query whose texts can be put in an order."""
    found: dict[str, list[int]] = {}
    for n, (query, *_) in enumerate(examples):
        found.setdefault(query, []).append(n)
    groups = [np.array(numbers) for numbers in found.values()]
    kept = [numbers for numbers in groups if len(set(scores[numbers].tolist())) > 1]
    if not kept:
        raise ValueError(
            "evaluation has no query with texts of different scores, so no order can be measured"
        )
    if len(kept) < len(groups):
        warn(
            f"{len(groups) - len(kept)} of {len(groups)} queries of the evaluation have no texts "
            "of different scores and are not measured"
        )
    return kept


def _rows(tokenizer: ErnieMTokenizer, examples: Ranked, max_length: int) -> list[list[int]]:
    """The rows [CLS] query [SEP] [SEP] text [SEP]."""
    queries = list(dict.fromkeys(query for query, *_ in examples))
    tokens_of = dict(zip(queries, encode_texts(tokenizer, queries), strict=True))
    texts = encode_texts(tokenizer, [text for _, text, _ in examples])
    rows, cut = [], 0
    for (asked, *_), ids in zip(examples, texts, strict=True):
        query = tokens_of[asked]
        room = max_length - len(row_of(tokenizer, query, []))
        if room < 1:
            raise ValueError(
                f"the query {asked[:40]!r} has {len(query)} tokens, which leaves no room for a "
                f"text in max_length {max_length}; shorten it"
            )
        (kept,), left_out = take_ranges(tokenizer, len(ids), room, "cut")
        rows.append(row_of(tokenizer, query, ids[kept.start : kept.stop]))
        cut += left_out > 0
    warn_of_cuts(cut, len(examples), max_length)
    return rows
