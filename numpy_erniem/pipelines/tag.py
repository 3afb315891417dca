"""Texts in, labelled spans out: names of persons and places, parts of speech."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from numpy_erniem.checks import nearest
from numpy_erniem.pipelines.base import Pipeline
from numpy_erniem.pipelines.entities import (
    Labelled,
    as_dicts,
    group_words,
    join_entities,
    scores_of_word,
    split_label,
    visible_spans,
)
from numpy_erniem.pipelines.packing import BATCH_TOKENS
from numpy_erniem.pipelines.scores import check_classes, check_whole, labels_of, softmax
from numpy_erniem.pipelines.streaming import Prepared
from numpy_erniem.pipelines.token_vectors import TextWindows
from numpy_erniem.pipelines.tokens import encode_with_spans, row_of, take_ranges
from numpy_erniem.tokenizer import ErnieMTokenizer

AGGREGATIONS = ("none", "simple", "first", "average", "max")
OUTSIDE = "O"  # the label of what is no entity, in most checkpoints
SPECIALS = 2  # tokens around a text: [CLS] and [SEP]


class TokenTagger(Pipeline[list[dict[str, Any]]]):
    """Finds the entities of a text, with their characters, by a model that labels tokens.

    Called with a text it gives a list of {"label", "score", "word", "start", "end"} in the order of
    the text, where `word` is `text[start:end]`. Tokens of white space are left out.

    Parameters
    ----------
    model : ErnieMForTokenClassification, or callable with its outputs
        Its config has the labels, `id2label`.
    tokenizer : ErnieMTokenizer
    aggregation : {"none", "simple", "first", "average", "max"}
        What becomes of tokens. "none": one result for each, with its label as it is. "simple":
        neighbours with the same name are one entity. "first", "average" and "max" first give all
        tokens of a word the same label: that of its first token, that of the mean of their scores,
        or that of the token with the highest score. Prefixes such as B- and I- are then left out.
    stride : int, optional
        Tokens that two windows over a long text share; left out, a quarter of a window. Each token
        has its label from the window in which it stands farthest from an edge.
    ignore_labels : iterable of str, optional
        Labels that are left out of the result: "O", where nothing is given. With "none" they are
        compared as they are, otherwise without prefix.
    on_overflow : {"window", "cut", "error"}
        What is done with a text that is longer than the model takes. "window": it is read in
        windows. "cut": its end is left out, with a warning.
    batch_tokens : int
        Most tokens of a batch.
    """

    model_class = "ErnieMForTokenClassification"
    checkpoints = "FacebookAI/xlm-roberta-large-finetuned-conll03-english after `erniem convert`"
    token_outputs = ("logits",)

    def __init__(
        self,
        model: Any,
        tokenizer: ErnieMTokenizer,
        *,
        aggregation: str = "none",
        stride: int | None = None,
        ignore_labels: Iterable[str] | None = None,
        on_overflow: str = "window",
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        super().__init__(model, tokenizer, batch_tokens=batch_tokens, on_overflow=on_overflow)
        self.aggregation = aggregation
        self.stride = stride
        self.ignore_labels = _labels(ignore_labels)

    def check_options(self) -> None:
        """Raise a ValueError for an option with a wrong value."""
        super().check_options()
        if self.aggregation not in AGGREGATIONS:
            allowed = ", ".join(AGGREGATIONS)
            raise ValueError(f"aggregation {self.aggregation!r} is not one of {allowed}")
        check_whole("stride", 0 if self.stride is None else self.stride)
        if self.stride is not None and not 0 <= self.stride < self._room:
            raise ValueError(
                f"stride {self.stride} is not in 0..{self._room - 1}: a window has "
                f"{self._room} tokens of the text"
            )
        self.ignore_labels = _labels(self.ignore_labels)
        labels = list(labels_of(self.model.config))
        if self.aggregation != "none":
            labels = sorted({split_label(label)[1] for label in labels})
        for label in self.ignore_labels:
            if label not in (OUTSIDE, *labels):
                raise ValueError(f"ignore_labels has {label!r}, no label{nearest(label, labels)}")

    @property
    def _room(self) -> int:
        """Most tokens of a text in a row."""
        return self.longest - SPECIALS

    def prepare(self, items: list[str]) -> list[Prepared]:
        """Rows of token ids for each text: one, or one for each window."""
        overlap = self._room // 4 if self.stride is None else self.stride
        prepared = []
        for ids, spans in encode_with_spans(self.tokenizer, items):
            ranges, cut = take_ranges(
                self.tokenizer, len(ids), self._room, self.on_overflow, overlap
            )
            rows = [row_of(self.tokenizer, ids[r.start : r.stop]) for r in ranges]
            first, last = ranges[0].start, ranges[-1].stop
            windows = [range(r.start - first, r.stop - first) for r in ranges]
            places = np.array(spans[first:last], np.int64).reshape(-1, 2)
            data = TextWindows(rows, windows, 1, places)
            prepared.append(Prepared(rows, len(ids), cut, data))
        return prepared

    def finish(self, item: str, prepared: Prepared, outputs: list[Any]) -> list[dict[str, Any]]:
        """The entities of a text, from the logits of its windows."""
        labels = labels_of(self.model.config)
        logits = prepared.data.merge(
            [check_classes(output["logits"], len(labels), 2) for output in outputs]
        )
        kept, spans = visible_spans(item, prepared.data.spans)
        scores = softmax(logits[kept])  # (tokens, K)
        if self.aggregation in ("none", "simple"):
            words = [range(n, n + 1) for n in range(len(spans))]
        else:
            words = group_words(item, spans)
        units = [
            self._label(scores[w.start : w.stop], spans[w.start : w.stop], labels) for w in words
        ]
        entities = units if self.aggregation == "none" else join_entities(units)
        return as_dicts(item, [e for e in entities if e.label not in self.ignore_labels])

    def _label(self, scores: np.ndarray, spans: np.ndarray, labels: tuple[str, ...]) -> Labelled:
        """A word, or a token where that counts as a word, with its best label."""
        of_word = scores_of_word(scores, self.aggregation)
        best = int(of_word.argmax())
        return Labelled(
            labels[best], float(of_word[best]), int(spans[0, 0]), int(spans[:, 1].max())
        )


def _labels(labels: Iterable[str] | None) -> tuple[str, ...]:
    """The labels to leave out, as an argument gives them."""
    if isinstance(labels, str):
        raise ValueError(f"ignore_labels is the str {labels!r}; give a list of str")
    return (OUTSIDE,) if labels is None else tuple(labels)
