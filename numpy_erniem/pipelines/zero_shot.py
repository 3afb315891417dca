"""Texts and any labels in, the labels by score out, by a model for natural language inference."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from numpy_erniem.pipelines.base import Pipeline, Report
from numpy_erniem.pipelines.entailment import contradiction_class, entailment_class
from numpy_erniem.pipelines.packing import BATCH_TOKENS
from numpy_erniem.pipelines.scores import (
    best_first,
    check_classes,
    labels_of,
    sigmoid,
    softmax,
    window_mean,
)
from numpy_erniem.pipelines.streaming import Prepared
from numpy_erniem.pipelines.texts import check_text, iterate
from numpy_erniem.pipelines.tokens import encode_texts, pieces_of
from numpy_erniem.tokenizer import ErnieMTokenizer

TEMPLATE = "This example is {}."


class ZeroShotClassifier(Pipeline[dict[str, Any]]):
    """Orders any labels by how well each fits a text; the model was not trained on these labels.

    The model tells whether a text entails a sentence. For each label this sentence is the template
    with the label in it, such as "This example is politics.".

    Parameters
    ----------
    model : ErnieMForSequenceClassification, or callable with its outputs
        Trained for natural language inference.
    tokenizer : ErnieMTokenizer
    labels : iterable of str, optional
        For calls that give none. One str is one label.
    multi_label : bool
        False: one label is right, and the scores of all add up to 1: the softmax of their
        entailment logits. True: each label is right or not, and its score is the softmax of
        entailment against contradiction; so it is for a single label, too.
    template : str
        The sentence, with {} in the place of the label.
    entailment_id : int, optional
        The class of entailment; left out, the one whose name says so.
    contradiction_id : int, optional
        The class of contradiction; left out, the one whose name says so, or the other one of two.
    on_overflow : {"window", "cut", "error"}
        What is done with a text that is longer than the model takes beside the sentence. "window":
        its logits are the mean over windows, weighted by their tokens. "cut": its end is left out,
        with a warning. The sentence is never cut.
    batch_tokens : int
        Most tokens of a batch.

    Examples
    --------
    >>> from numpy_erniem import ErnieMConfig, ErnieMForSequenceClassification, bundled_checkpoint
    >>> folder = bundled_checkpoint()
    >>> names = {0: "entailment", 1: "neutral", 2: "contradiction"}
    >>> config = ErnieMConfig.from_pretrained(folder, id2label=names)
    >>> model = ErnieMForSequenceClassification(config, seed=1)  # drawn, not trained
    >>> classifier = ZeroShotClassifier(model, ErnieMTokenizer.from_pretrained(folder))
    >>> result = classifier("Open a file", ["computers", "sports"])
    >>> result["sequence"], sorted(result["labels"]), round(sum(result["scores"]), 6)
    ('Open a file', ['computers', 'sports'], 1.0)
    """

    model_class = "ErnieMForSequenceClassification"
    checkpoints = "MoritzLaurer/ernie-m-base-mnli-xnli"
    text_outputs = ("logits",)

    def __init__(
        self,
        model: Any,
        tokenizer: ErnieMTokenizer,
        *,
        labels: Iterable[str] | None = None,
        multi_label: bool = False,
        template: str = TEMPLATE,
        entailment_id: int | None = None,
        contradiction_id: int | None = None,
        on_overflow: str = "window",
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        super().__init__(model, tokenizer, batch_tokens=batch_tokens, on_overflow=on_overflow)
        self.labels = labels
        self.multi_label = multi_label
        self.template = template
        self.entailment_id = entailment_id
        self.contradiction_id = contradiction_id

    @property
    def labels(self) -> Any:
        """The labels to choose from, as a tuple; None where only calls give them."""
        return self._labels

    @labels.setter
    def labels(self, labels: Iterable[str] | None) -> None:
        self._labels = None if labels is None else take_labels(labels)

    def check_options(self) -> None:
        """Raise a ValueError for an option with a wrong value, or a model for another task."""
        super().check_options()
        if not isinstance(self.template, str) or self.template.count("{}") != 1:
            raise ValueError(
                f"template {self.template!r} has not the place of the label, {{}}, once; such as "
                f"{TEMPLATE!r}"
            )
        self._classes()

    def _classes(self) -> tuple[int, int | None]:
        """The classes of entailment and, where it is needed, of contradiction."""
        names = labels_of(self.model.config)
        entailment = entailment_class(names, self.entailment_id)
        needed = self._one_by_one or self.contradiction_id is not None
        if not needed:
            return entailment, None
        return entailment, contradiction_class(names, entailment, self.contradiction_id)

    @property
    def _one_by_one(self) -> bool:
        """Whether each label has a score of its own."""
        return self.multi_label or (self.labels is not None and len(self.labels) == 1)

    def __call__(
        self,
        texts: Any,
        labels: Iterable[str] | None = None,
        *,
        progress: Report | None = None,
        **options: Any,
    ) -> Any:
        """Order labels by their scores for each text.

        Parameters
        ----------
        texts : str, or iterable of str
        labels : iterable of str, optional
            Left out, those of the constructor. One str is one label.
        progress : callable, optional
            Called after every batch with the number of texts done and of all texts.
        **options
            Of the constructor; they hold for this call.

        Returns
        -------
        {"sequence", "labels", "scores"}, or a list of them
            The text, and its labels with their scores, the best first; of equal scores the label
            that comes first.

        Raises
        ------
        TypeError, ValueError
            There are no texts or no labels, a label is there twice, or an option has a wrong value.
        """
        if labels is not None:
            options["labels"] = labels
        return super().__call__(texts, progress=progress, **options)

    def iterate(self, items: Any) -> tuple[Iterator[Any], bool]:
        """Texts, not checked yet; ValueError where there are no labels."""
        if self.labels is None:
            raise ValueError(
                'there are no labels; give some, such as labels=["politics", "sports"]'
            )
        return super().iterate(items)

    def prepare(self, items: list[str]) -> list[Prepared]:
        """A row for each label, or for each label and window: the text and the sentence."""
        sentences = encode_texts(
            self.tokenizer, [self.template.replace("{}", label) for label in self.labels]
        )
        return [self._prepare(ids, sentences) for ids in encode_texts(self.tokenizer, items)]

    def _prepare(self, ids: list[int], sentences: list[list[int]]) -> Prepared:
        made = [
            pieces_of(
                self.tokenizer,
                ids,
                sentence,
                self.longest,
                self.on_overflow,
                f"the sentence of label {label!r}",
            )
            for label, sentence in zip(self.labels, sentences, strict=True)
        ]
        rows = [row for pieces in made for row in pieces.rows]
        cut = max(pieces.cut for pieces in made)
        return Prepared(rows, len(ids), cut, [pieces.tokens for pieces in made])

    def finish(self, item: str, prepared: Prepared, outputs: list[Any]) -> dict[str, Any]:
        """The labels of a text, ordered."""
        rows = iter(output["logits"] for output in outputs)
        logits = np.array(
            [window_mean([next(rows) for _ in tokens], tokens) for tokens in prepared.data]
        )  # (labels, K)
        check_classes(logits, len(labels_of(self.model.config)), 2)
        entailment, contradiction = self._classes()
        if self._one_by_one:
            scores = sigmoid(logits[:, entailment] - logits[:, contradiction])
        else:
            scores = softmax(logits[:, entailment])
        order = best_first(scores)
        return {
            "sequence": item,
            "labels": [self.labels[n] for n in order],
            "scores": [float(scores[n]) for n in order],
        }


def take_labels(labels: Any) -> tuple[str, ...]:
    """The labels of an argument, checked.

    Raises
    ------
    TypeError
        One is not a str.
    ValueError
        There are none, or one is blank or there twice.
    """
    values, _ = iterate(labels, "labels")
    taken = tuple(check_text(label, f"labels[{n}]") for n, label in enumerate(values))
    if not taken:
        raise ValueError("labels is empty; give at least one label")
    for n, label in enumerate(taken):
        if not label.strip():
            raise ValueError(f"labels[{n}] is blank; give it a name, or leave it out")
        if label in taken[:n]:
            raise ValueError(f"label {label!r} is there twice; give each label once")
    return taken
