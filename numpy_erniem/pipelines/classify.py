"""Texts, or pairs of texts, in; labels with their scores out."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from numpy_erniem.pipelines.base import Pipeline
from numpy_erniem.pipelines.estimator import TextPredictor
from numpy_erniem.pipelines.packing import BATCH_TOKENS
from numpy_erniem.pipelines.scores import (
    best_first,
    check_classes,
    check_top_k,
    labels_of,
    sigmoid,
    softmax,
    window_mean,
)
from numpy_erniem.pipelines.streaming import Prepared
from numpy_erniem.pipelines.texts import check_text
from numpy_erniem.pipelines.tokens import encode_texts, pieces_of
from numpy_erniem.tokenizer import ErnieMTokenizer

FUNCTIONS = ("softmax", "sigmoid", "none")
PAIR_KEYS = ("text", "text_pair")  # of a pair as a dict, as in upstream

Label = dict[str, Any]  # {"label": str, "score": float}


class Input(NamedTuple):
    """A text, or a pair of texts."""

    first: str
    second: str | None = None


class TextClassifier(Pipeline[Label | list[Label]], TextPredictor):
    """Gives texts, or pairs of texts, the labels of a model that was trained on them.

    Called with a text, or a pair `(a, b)`, it gives one result; with an iterable of them a list. It
    is also a classifier of scikit-learn: `predict`, `predict_proba`, `classes_`.

    Parameters
    ----------
    model : ErnieMForSequenceClassification, or callable with its outputs
    tokenizer : ErnieMTokenizer
    top_k : int, optional
        How many labels a result has, the best first; None is all. With 1 the result is one
        {"label", "score"}, else a list of them.
    function : {"softmax", "sigmoid", "none"}, optional
        What makes scores of the model's numbers, in float64; "none" leaves them as they are. Left
        out, by the config: "none" for problem_type "regression", "sigmoid" for
        "multi_label_classification" and for one label, else "softmax".
    on_overflow : {"window", "cut", "error"}
        What is done with a text that is longer than the model takes. "window": its numbers are the
        mean over windows, weighted by their tokens. "cut": its end is left out, with a warning. Of
        a pair only the first text is windowed or cut.
    batch_tokens : int
        Most tokens of a batch.

    Examples
    --------
    >>> from numpy_erniem import ErnieMConfig, ErnieMForSequenceClassification, bundled_checkpoint
    >>> folder = bundled_checkpoint()
    >>> config = ErnieMConfig.from_pretrained(folder, id2label={0: "menu", 1: "manual"})
    >>> model = ErnieMForSequenceClassification(config, seed=1)  # drawn, not trained
    >>> classifier = TextClassifier(model, ErnieMTokenizer.from_pretrained(folder))
    >>> sorted(classifier("Open a file"))
    ['label', 'score']
    >>> [len(labels) for labels in classifier(["Open a file", ("Open it", "Close it")], top_k=2)]
    [2, 2]
    """

    model_class = "ErnieMForSequenceClassification"
    checkpoints = "MoritzLaurer/ernie-m-base-mnli-xnli"
    text_outputs = ("logits",)

    def __init__(
        self,
        model: Any,
        tokenizer: ErnieMTokenizer,
        *,
        top_k: int | None = 1,
        function: str | None = None,
        on_overflow: str = "window",
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        super().__init__(model, tokenizer, batch_tokens=batch_tokens, on_overflow=on_overflow)
        self.top_k = top_k
        self.function = function

    def check_options(self) -> None:
        """Raise a ValueError for an option with a wrong value."""
        super().check_options()
        check_top_k(self.top_k)
        if self.function is not None and self.function not in FUNCTIONS:
            raise ValueError(f"function {self.function!r} is not one of {', '.join(FUNCTIONS)}")

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, by their numbers."""
        return labels_of(self.model.config)

    @property
    def problem(self) -> str:
        """What the model was trained for: the config's problem_type, or a guess without it."""
        named = getattr(self.model.config, "problem_type", None)
        single = "single_label_classification"
        return named or ("multi_label_classification" if len(self.labels) == 1 else single)

    @property
    def _function(self) -> str:
        if self.function is not None:
            return self.function
        if self.problem == "regression":
            return "none"
        has_one = len(self.labels) == 1
        return "sigmoid" if has_one or self.problem == "multi_label_classification" else "softmax"

    def iterate(self, items: Any) -> tuple[Iterator[Any], bool]:
        """Texts and pairs, not checked yet; a tuple of two str, or a dict, is one pair."""
        is_pair = isinstance(items, tuple) and [isinstance(t, str) for t in items] == [True, True]
        return (iter([items]), True) if is_pair or _is_dict(items) else super().iterate(items)

    def check(self, item: Any, where: str) -> Input:
        """A text, or a pair: (a, b), [a, b], or {"text": a, "text_pair": b}."""
        if _is_dict(item):
            item = tuple(item[key] for key in PAIR_KEYS)
        if not isinstance(item, list | tuple):
            return Input(check_text(item, where))
        if len(item) != 2:
            raise TypeError(f"{where} has {len(item)} items; a pair has two texts, (a, b)")
        return Input(*(check_text(text, f"{where}[{n}]") for n, text in enumerate(item)))

    def size_of(self, item: Any) -> int:
        """Characters of a text, or of both texts of a pair."""
        texts = item.values() if isinstance(item, dict) else item
        if isinstance(texts, str):
            return len(texts)
        return sum(len(text) for text in texts or () if isinstance(text, str))

    def prepare(self, items: list[Input]) -> list[Prepared]:
        """A row for each text or pair, or one for each of its windows."""
        firsts = encode_texts(self.tokenizer, [item.first for item in items])
        given = [item.second for item in items if item.second is not None]
        seconds = iter(encode_texts(self.tokenizer, given))
        prepared = []
        for item, first in zip(items, firsts, strict=True):
            second = None if item.second is None else next(seconds)
            pieces = pieces_of(self.tokenizer, first, second, self.longest, self.on_overflow)
            tokens = len(first) + len(second or ())
            prepared.append(Prepared(pieces.rows, tokens, pieces.cut, pieces.tokens))
        return prepared

    def finish(self, item: Input, prepared: Prepared, outputs: list[Any]) -> Label | list[Label]:
        """The labels of a text with their scores, the best first."""
        logits = window_mean([output["logits"] for output in outputs], prepared.data)
        names = self.labels
        scores = scores_of(check_classes(logits, len(names), 1), self._function)
        order = best_first(scores, self.top_k)
        labels = [{"label": names[n], "score": float(scores[n])} for n in order]
        return labels[0] if self.top_k == 1 else labels


def scores_of(logits: np.ndarray, function: str) -> np.ndarray:
    """Scores (K,) of the logits (K,) of a text, in float64."""
    functions = {"softmax": softmax, "sigmoid": sigmoid}
    return functions[function](logits) if function in functions else logits


def _is_dict(item: Any) -> bool:
    return isinstance(item, dict) and set(item) == set(PAIR_KEYS)
