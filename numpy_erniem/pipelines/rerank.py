"""A query and texts in; the texts in the order of their scores out."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from numpy_erniem.pipelines.base import Pipeline, Report
from numpy_erniem.pipelines.packing import BATCH_TOKENS
from numpy_erniem.pipelines.scores import best_first, check_top_k, labels_of, one_number, sigmoid
from numpy_erniem.pipelines.streaming import Prepared
from numpy_erniem.pipelines.texts import check_text, take_texts
from numpy_erniem.pipelines.tokens import TextTooLongError, encode_texts, row_of, take_ranges
from numpy_erniem.tokenizer import ErnieMTokenizer

SCORES = ("logit", "sigmoid")
SPECIALS = 4  # [CLS] query [SEP] [SEP] text [SEP]


class Query(NamedTuple):
    """A query and the texts that are ordered by it."""

    query: str
    texts: list[str]


class Reranker(Pipeline[list[dict[str, Any]]]):
    """Orders texts by how well each answers a query, by a model that reads the two together.

    Parameters
    ----------
    model : ErnieMForSequenceClassification, or callable with its outputs
        With one label, such as bge-reranker-v2-m3.
    tokenizer : ErnieMTokenizer
    top_k : int, optional
        How many texts are returned; left out, all.
    scores : {"logit", "sigmoid"}
        The model's number as it is, or σ of it, computed in float64.
    on_overflow : {"cut", "window", "error"}
        What is done with a text that is longer than the model takes. "cut": its end is left out,
        with a warning. "window": it has the score of its best window. The query is never cut.
    batch_tokens : int
        Most tokens of a batch.
    """

    model_class = "ErnieMForSequenceClassification"
    checkpoints = "BAAI/bge-reranker-v2-m3, after erniem convert"
    item, items = "query", "queries"
    text_outputs = ("logits",)

    def __init__(
        self,
        model: Any,
        tokenizer: ErnieMTokenizer,
        *,
        top_k: int | None = None,
        scores: str = "logit",
        on_overflow: str = "cut",
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        super().__init__(model, tokenizer, batch_tokens=batch_tokens, on_overflow=on_overflow)
        self.top_k = top_k
        self.scores = scores

    def check_options(self) -> None:
        """Raise a ValueError for an option with a wrong value, or a model with several labels."""
        super().check_options()
        check_top_k(self.top_k)
        if self.scores not in SCORES:
            raise ValueError(f"scores {self.scores!r} is not one of {', '.join(SCORES)}")
        config = self.model.config
        labels = getattr(config, "num_labels", None) or len(labels_of(config))
        if labels != 1:
            raise ValueError(
                f"the model has {labels} labels; a reranker has one, whose number is the score, "
                f"such as {self.checkpoints}"
            )

    def __call__(
        self, query: str, texts: Iterable[str], *, progress: Report | None = None, **options: Any
    ) -> list[dict[str, Any]]:
        """Order texts by their scores for a query.

        Parameters
        ----------
        query : str
        texts : iterable of str
        progress : callable, optional
            Called after every batch; one query is one item.
        **options
            Of the constructor; they hold for this call.

        Returns
        -------
        list of {"index", "score", "text"}
            The best first; of equal scores the one that comes first in `texts`.

        Raises
        ------
        TypeError, ValueError
            A text is not a str, there are none, or an option has a wrong value.
        """
        item = {"query": query, "texts": texts}
        result: list[dict[str, Any]] = super().__call__(item, progress=progress, **options)
        return result

    def iterate(self, items: Any) -> tuple[Iterator[Any], bool]:
        """Queries with texts, not checked yet; a dict is one."""
        return (iter([items]), True) if isinstance(items, dict) else super().iterate(items)

    def check(self, item: Any, where: str) -> Query:
        """A query with its texts, from a dict {"query": str, "texts": iterable of str}."""
        if not isinstance(item, dict) or set(item) != {"query", "texts"}:
            raise TypeError(f'{where} is not {{"query": a text, "texts": a list of texts}}')
        at = "" if where == self.items else f"{where}: "
        texts, single = take_texts(item["texts"], f"{at}texts")
        if single:
            raise TypeError(f"{at}texts is one str; give a list of texts")
        return Query(check_text(item["query"], f"{at}query"), texts)

    def size_of(self, item: Any) -> int:
        """Characters of the texts, as far as they are known before an iterator is read."""
        texts = item.get("texts") if isinstance(item, dict) else getattr(item, "texts", None)
        if not isinstance(texts, list | tuple):
            return super().size_of(item)
        return sum(map(super().size_of, texts))

    def prepare(self, items: list[Query]) -> list[Prepared]:
        """For each text a row with the query, or one for each of its windows."""
        return [self._prepare(item) for item in items]

    def _prepare(self, item: Query) -> Prepared:
        query, *texts = encode_texts(self.tokenizer, [item.query, *item.texts])
        room = self.longest - SPECIALS - len(query)
        if room < 1:
            raise TextTooLongError(
                f"the query has {len(query)} tokens and leaves no room for a text in "
                f"{self.longest}; shorten it"
            )
        rows, counts, cut = [], [], 0
        for ids in texts:
            ranges, left_out = take_ranges(self.tokenizer, len(ids), room, self.on_overflow)
            rows += [row_of(self.tokenizer, query, ids[r.start : r.stop]) for r in ranges]
            counts.append(len(ranges))
            cut += left_out
        return Prepared(rows, sum(map(len, texts)), cut, counts)

    def finish(self, item: Query, prepared: Prepared, outputs: list[Any]) -> list[dict[str, Any]]:
        """The texts of a query, ordered."""
        logits = np.array([one_number(output["logits"])[0] for output in outputs], np.float64)
        starts = np.cumsum([0, *prepared.data[:-1]])
        scores = np.maximum.reduceat(logits, starts)
        order = best_first(scores, self.top_k)  # by the logits: the highest have the sigmoid 1.0
        if self.scores == "sigmoid":
            scores = sigmoid(scores)
        return [{"index": n, "score": float(scores[n]), "text": item.texts[n]} for n in order]
