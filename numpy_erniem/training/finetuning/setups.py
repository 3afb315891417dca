"""Fine-tuning: a file of examples and a checkpoint in, a trained head out.

    classify   a label for a text or a pair of texts
    tag        a label for every word
    retrieve   sentences that find their translations

Each task turns its files into a `Task`: the model, the loss of a step, a score.
"""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.hub import bundled_checkpoint
from numpy_erniem.losses import IGNORED
from numpy_erniem.models import (
    ErnieMForSequenceClassification,
    ErnieMForTokenClassification,
    ErnieMModel,
)
from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
from numpy_erniem.tokenizer import ErnieMTokenizer
from numpy_erniem.training.batches import Batches, pad
from numpy_erniem.training.data_files import read_labelled, read_pairs, read_tagged
from numpy_erniem.training.finetuning.retrieval import (
    TEMPERATURE,
    contrast,
    paired_batch,
    retrieval_scores,
)
from numpy_erniem.training.trainer import Evaluate, Grade, Plan, Trainer
from numpy_erniem.training.value_and_grad import trainable, value_and_grad

Labelled = Sequence[tuple[str, str | None, str]]
Tagged = Sequence[tuple[list[str], list[str]]]
Pairs = Sequence[tuple[str, str, str]]
EVALUATION_BATCH = 64


@dataclass
class Task:
    """A model with the tokenizer, what a step of training is, and how good it is."""

    plan: Plan
    model: ErnieMPreTrainedModel
    tokenizer: ErnieMTokenizer
    grade: Grade
    evaluate: Evaluate

    def train(self, out: str | os.PathLike, **options: Any) -> dict[str, Any]:
        """Run the plan in a folder; returns what report.json holds. Options as of `Trainer`."""
        out = Path(out)

        def save(model: ErnieMPreTrainedModel) -> None:
            model.save_pretrained(out)
            self.tokenizer.save_pretrained(out)

        trainer = Trainer(
            self.model, self.grade, self.plan, out, save=save, evaluate=self.evaluate, **options
        )
        return trainer.run()


def classify(
    train: Labelled, evaluation: Labelled, plan: Plan, *, base: Any = None, longest: int = 128
) -> Task:
    """A class for a text, or for a pair of texts.

    Parameters
    ----------
    train, evaluation : sequences of (text, second text or None, label)
    plan : Plan
    base : path, optional
        Folder of the checkpoint to start from; None is the bundled one.
    longest : int
        Texts are cut at so many tokens, with a warning.

    Raises
    ------
    ValueError
        Fewer than two labels, a label in evaluation that training does not have, or texts that
        are longer than the model takes.
    """
    names = _names("label", [label for *_, label in train], [label for *_, label in evaluation])
    model, tokenizer = _load(ErnieMForSequenceClassification, base, plan, names, longest)
    number = {name: n for n, name in enumerate(names)}
    data = [
        (_framed(tokenizer, examples, longest), np.array([number[y] for *_, y in examples]))
        for examples in (train, evaluation)
    ]
    padding = tokenizer.pad_token_id

    def batch(part: int, chosen: Any) -> dict[str, Any]:
        ids, labels = data[part]
        rows = [ids[n] for n in chosen]
        return {"input_ids": pad(rows, padding), "labels": labels[chosen]}

    def evaluate(model: ErnieMPreTrainedModel) -> dict[str, float]:
        right = _in_batches(
            data[1][0],
            lambda chosen: (
                model(batch(1, chosen)["input_ids"]).logits.argmax(axis=1) == data[1][1][chosen]
            ),
        )
        return {"accuracy": float(right.mean())}

    batches = Batches([len(i) for i in data[0][0]], plan.batch, plan.seed)
    return Task(plan, model, tokenizer, _grade(batches, batch, plan), evaluate)


def tag(
    train: Tagged, evaluation: Tagged, plan: Plan, *, base: Any = None, longest: int = 128
) -> Task:
    """A label for every word; its first token carries it, the others do not count.

    train and evaluation hold (words, tags); the rest is as in `classify`. The score is the share
    of words that got the right tag; a word beyond `longest` tokens counts as wrong.
    """
    names = _names("tag", *([y for _, tags in part for y in tags] for part in (train, evaluation)))
    model, tokenizer = _load(ErnieMForTokenClassification, base, plan, names, longest)
    number = {name: n for n, name in enumerate(names)}
    data = [_tagged(tokenizer, examples, number, longest) for examples in (train, evaluation)]
    words = sum(len(tags) for _, tags in evaluation)
    padding = tokenizer.pad_token_id

    def batch(part: int, chosen: Any) -> dict[str, Any]:
        ids, labels = (
            pad([data[part][n][k] for n in chosen], f) for k, f in ((0, padding), (1, IGNORED))
        )
        return {"input_ids": ids, "labels": labels}

    def right(model: ErnieMPreTrainedModel, chosen: Any) -> np.ndarray:
        given = batch(1, chosen)
        return (model(given["input_ids"]).logits.argmax(axis=2) == given["labels"]).sum(axis=1)

    def evaluate(model: ErnieMPreTrainedModel) -> dict[str, float]:
        ids = [ids for ids, _ in data[1]]
        return {
            "accuracy": float(_in_batches(ids, lambda chosen: right(model, chosen)).sum() / words)
        }

    batches = Batches([len(ids) for ids, _ in data[0]], plan.batch, plan.seed)
    return Task(plan, model, tokenizer, _grade(batches, batch, plan), evaluate)


def retrieve(
    train: Pairs,
    evaluation: Pairs,
    plan: Plan,
    *,
    base: Any = None,
    longest: int = 64,
    temperature: float = TEMPERATURE,
) -> Task:
    """Sentences that find their translations by the cosine of mean-pooled last hidden states.

    train and evaluation hold (language of the target, source, target); the score is P@1 in both
    directions, a mean over the languages. The loss is `contrast`.
    """
    if plan.batch < 2 or len(train) < 2:
        raise ValueError("retrieve needs at least two pairs in a batch: others are its negatives")
    model, tokenizer = _load(ErnieMModel, base, plan, None, longest)
    sides = [
        [_framed(tokenizer, [(row[n], None, "") for row in part], longest) for n in (1, 2)]
        for part in (train, evaluation)
    ]
    held_out = [(row[0], *ids) for row, *ids in zip(evaluation, *sides[1], strict=True)]
    padding = tokenizer.pad_token_id

    def grade(model: Any, step: int, rng: np.random.Generator) -> Any:
        chosen = batches[step]
        rows = [[ids[n] for n in chosen] for ids in sides[0]]
        given = paired_batch(*rows, padding, temperature)
        return value_and_grad(
            model,
            given,
            head=contrast,
            rng=rng,
            threads=plan.threads,
            gradient_checkpointing=plan.recompute,
        )

    lengths = [len(x) + len(y) for x, y in zip(*sides[0], strict=True)]
    batches = Batches(lengths, plan.batch, plan.seed)
    return Task(plan, model, tokenizer, grade, lambda model: retrieval_scores(model, held_out))


TASKS: dict[str, tuple[Callable, Callable]] = {  # how its files are read, what it is
    "classify": (read_labelled, classify),
    "tag": (read_tagged, tag),
    "retrieve": (read_pairs, retrieve),
}


def _load(kind: type, base: Any, plan: Plan, names: Any, longest: int) -> tuple[Any, Any]:
    """A trainable model with a fresh head, and its tokenizer."""
    folder = bundled_checkpoint() if base is None else base
    options = {} if names is None else {"id2label": dict(enumerate(names))}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*drawn at random.*")  # a new head is meant to be new
        warnings.filterwarnings("ignore", ".*unexpected.*|.*not used.*")
        model = kind.from_pretrained(
            folder, seed=plan.seed, ignore_mismatched_sizes=True, **options
        )
    if longest > model.config.max_length:
        raise ValueError(
            f"{longest} tokens are more than the {model.config.max_length} that the model takes"
        )
    return trainable(model), ErnieMTokenizer.from_pretrained(folder)


def _names(what: str, train: Sequence[str], evaluation: Sequence[str]) -> list[str]:
    """All labels of training, sorted; those of evaluation must be among them."""
    names = sorted(set(train))
    unseen = sorted(set(evaluation) - set(names))
    if unseen:
        raise ValueError(
            f"evaluation has the {what} {unseen[0]!r}, which training does not have; it has "
            f"{', '.join(names[:20])}"
        )
    if len(names) < 2:
        raise ValueError(f"training has only the {what} {names[0]!r}; two are needed at least")
    return names


def _framed(tokenizer: ErnieMTokenizer, examples: Labelled, longest: int) -> list[list[int]]:
    """[CLS] x [SEP] or [CLS] x [SEP] [SEP] y [SEP], cut at `longest` tokens."""
    texts, seconds = [text for text, *_ in examples], [pair for _, pair, _ in examples]
    given = {"return_attention_mask": False, "verbose": False}
    if any(seconds):
        framed = [
            tokenizer(*both, **given)["input_ids"] for both in zip(texts, seconds, strict=True)
        ]
    else:
        framed = tokenizer(texts, **given)["input_ids"]
    too_long = [n for n, ids in enumerate(framed) if len(ids) > longest]
    for n in too_long:
        cut_off = tokenizer(texts[n], seconds[n], truncation=True, max_length=longest, **given)
        framed[n] = cut_off["input_ids"]
    _warn_of_cuts(len(too_long), len(examples), longest)
    return framed


def _tagged(
    tokenizer: ErnieMTokenizer, examples: Tagged, number: dict[str, int], longest: int
) -> list[tuple[list[int], list[int]]]:
    """Ids and labels: the first token of each word has the label of its tag."""
    rows, cut_off = [], 0
    for words, tags in examples:
        ids, labels = [tokenizer.cls_token_id], [IGNORED]
        for word, name in zip(words, tags, strict=True):
            pieces = tokenizer(word, add_special_tokens=False, return_attention_mask=False)
            pieces = pieces["input_ids"] or [tokenizer.unk_token_id]
            ids += pieces
            labels += [number[name]] + [IGNORED] * (len(pieces) - 1)
        cut_off += len(ids) >= longest
        ids, labels = ids[: longest - 1], labels[: longest - 1]
        rows.append(([*ids, tokenizer.sep_token_id], [*labels, IGNORED]))
    _warn_of_cuts(cut_off, len(examples), longest)
    return rows


def _warn_of_cuts(cut_off: int, count: int, longest: int) -> None:
    if cut_off:
        warnings.warn(
            f"{cut_off} of {count} examples have more than {longest} tokens and were cut",
            stacklevel=4,
        )


def _grade(batches: Batches, batch: Callable, plan: Plan) -> Grade:
    def grade(model: Any, step: int, rng: np.random.Generator) -> Any:
        return value_and_grad(
            model,
            batch(0, batches[step]),
            rng=rng,
            threads=plan.threads,
            gradient_checkpointing=plan.recompute,
        )

    return grade


def _in_batches(ids: Sequence[Sequence[int]], work: Callable) -> np.ndarray:
    """work(indices) -> one number each, of batches of similar length; in the order of ids."""
    order = np.argsort([len(row) for row in ids], kind="stable")
    results = np.empty(len(ids))
    for at in range(0, len(order), EVALUATION_BATCH):
        chosen = order[at : at + EVALUATION_BATCH]
        results[chosen] = work(chosen)
    return results
