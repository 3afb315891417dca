"""A question and a context in, the part of the context that answers it out."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from numpy_erniem.pipelines.answer_spans import choose_spans, score_spans, window_scores
from numpy_erniem.pipelines.base import Pipeline, Report
from numpy_erniem.pipelines.packing import BATCH_TOKENS
from numpy_erniem.pipelines.scores import check_whole, one_per_token
from numpy_erniem.pipelines.streaming import Prepared
from numpy_erniem.pipelines.texts import check_text
from numpy_erniem.pipelines.tokens import (
    TextTooLongError,
    encode_texts,
    encode_with_spans,
    longest_row,
    row_of,
    take_ranges,
)
from numpy_erniem.tokenizer import ErnieMTokenizer

SPECIALS = 4  # [CLS] question [SEP] [SEP] context [SEP]
KEYS = ("question", "context")
MAX_SEQ_LEN, DOC_STRIDE = 384, 128  # upstream's defaults, where the model takes as much

Answer = dict[str, Any]  # {"answer": str, "score": float, "start": int, "end": int}


class Question(NamedTuple):
    """A question and the text that may hold the answer."""

    question: str
    context: str


class Windows(NamedTuple):
    """A context as rows behind a question.

    Attributes
    ----------
    windows : list of range
        The tokens of the context in each row.
    first : int
        Where in a row the context begins.
    spans : list of (int, int)
        The characters of each token of the context.
    """

    windows: list[range]
    first: int
    spans: list[tuple[int, int]]


class QuestionAnswerer(Pipeline[Answer | list[Answer]]):
    """Finds the part of a text that answers a question.

    Called with `question=` and `context=`, or with a dict of both, it gives one result; with an
    iterable of such dicts a list. A result is {"answer", "score", "start", "end"}, where the answer
    is `context[start:end]`.

    Parameters
    ----------
    model : ErnieMForQuestionAnswering, or callable with its outputs
    tokenizer : ErnieMTokenizer
    top_k : int
        Most answers of a question. With 1 the result is one answer, else a list of them, the best
        first. No two of them share a token.
    max_answer_len : int
        Most tokens of an answer.
    handle_impossible_answer : bool
        Whether "no answer" is one: {"answer": "", "start": 0, "end": 0}. Its score is the smallest
        over the windows.
    max_seq_len : int, optional
        Most tokens of a row: question, window and special tokens. Left out, 384, or what the model
        takes if that is less.
    doc_stride : int, optional
        Tokens that two windows over a long context share. Left out, 128, or half of `max_seq_len`
        if that is less; fewer where the question leaves less room.
    on_overflow : {"window", "cut", "error"}
        What is done with a context that is longer than there is room for. "window": it is read in
        windows, and the answers of all windows compete. "cut": its end is left out, with a warning.
        The question is never cut.
    batch_tokens : int
        Most tokens of a batch.
    """

    model_class = "ErnieMForQuestionAnswering"
    checkpoints = "deepset/xlm-roberta-large-squad2 after `erniem convert`"
    item, items = "question", "questions"
    token_outputs = ("start_logits", "end_logits")

    def __init__(
        self,
        model: Any,
        tokenizer: ErnieMTokenizer,
        *,
        top_k: int = 1,
        max_answer_len: int = 15,
        handle_impossible_answer: bool = False,
        max_seq_len: int | None = None,
        doc_stride: int | None = None,
        on_overflow: str = "window",
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        super().__init__(model, tokenizer, batch_tokens=batch_tokens, on_overflow=on_overflow)
        self.top_k = top_k
        self.max_answer_len = max_answer_len
        self.handle_impossible_answer = handle_impossible_answer
        self.max_seq_len = max_seq_len
        self.doc_stride = doc_stride

    def check_options(self) -> None:
        """Raise a ValueError for an option with a wrong value."""
        super().check_options()
        for name in ("top_k", "max_answer_len"):
            check_whole(name, getattr(self, name), 1)
        for name in ("max_seq_len", "doc_stride"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name))
        most = longest_row(self.model.config)
        if self.max_seq_len is not None and not SPECIALS + 2 <= self.max_seq_len <= most:
            raise ValueError(
                f"max_seq_len {self.max_seq_len} is not in {SPECIALS + 2}..{most}, which this "
                "model takes"
            )
        if self.doc_stride is not None and not 0 <= self.doc_stride < self.longest - SPECIALS:
            raise ValueError(
                f"doc_stride {self.doc_stride} is not in 0..{self.longest - SPECIALS - 1}: a row "
                f"has {self.longest} tokens"
            )

    @property
    def longest(self) -> int:
        """Most tokens of a row, question and special tokens included."""
        return self.max_seq_len or min(longest_row(self.model.config), MAX_SEQ_LEN)

    def __call__(
        self,
        items: Any = None,
        *,
        question: str | None = None,
        context: str | None = None,
        progress: Report | None = None,
        **options: Any,
    ) -> Any:
        """Answer a question, or many.

        Parameters
        ----------
        items : dict, or iterable of dicts, optional
            {"question": str, "context": str}; in place of the two arguments.
        question, context : str
        progress : callable, optional
            Called after every batch with the number of questions done and of all questions.
        **options
            Of the constructor; they hold for this call.

        Returns
        -------
        answer, or list of answers
            Of many questions a list of these.

        Raises
        ------
        TypeError
            An item is no question with a context, or there is no such option.
        ValueError
            A question or a context is empty, a question leaves no room for the context, or an
            option has a wrong value.
        """
        if (items is None) == (question is None and context is None):
            raise TypeError("give question= and context=, or dicts of both, one of them")
        if items is None:
            items = {"question": question, "context": context}
        return super().__call__(items, progress=progress, **options)

    def iterate(self, items: Any) -> tuple[Iterator[Any], bool]:
        """Questions with contexts, not checked yet; a dict is one."""
        if isinstance(items, str):
            raise TypeError("one str is no question with a context; give question= and context=")
        return (iter([items]), True) if isinstance(items, dict) else super().iterate(items)

    def check(self, item: Any, where: str) -> Question:
        """A question with its context, from a dict {"question": str, "context": str}."""
        if not isinstance(item, dict) or set(item) != set(KEYS):
            there = f"has the keys {', '.join(map(str, item))}" if isinstance(item, dict) else None
            raise TypeError(
                f"{where} {there or f'is a {type(item).__name__}'}; give a dict "
                '{"question": a text, "context": a text}'
            )
        before = "" if where == self.items else f"{where}: "
        for key in KEYS:
            if not check_text(item[key], before + key).strip():
                raise ValueError(f"{before}{key} is empty; give a text")
        return Question(*(item[key] for key in KEYS))

    def size_of(self, item: Any) -> int:
        """Characters of a question and its context."""
        if not isinstance(item, dict | Question):  # which `check` refuses
            return super().size_of(item)
        texts = item.values() if isinstance(item, dict) else item
        return sum(len(text) for text in texts if isinstance(text, str))

    def prepare(self, items: list[Question]) -> list[Prepared]:
        """For each question a row with each window of its context."""
        questions = encode_texts(self.tokenizer, [item.question for item in items])
        contexts = encode_with_spans(self.tokenizer, [item.context for item in items])
        return [
            self._prepare(question, *context)
            for question, context in zip(questions, contexts, strict=True)
        ]

    def _prepare(
        self, question: list[int], ids: list[int], spans: list[tuple[int, int]]
    ) -> Prepared:
        room = self.longest - SPECIALS - len(question)
        if room < 1:
            raise TextTooLongError(
                f"the question has {len(question)} tokens and leaves no room for a context in "
                f"{self.longest}; shorten it"
            )
        if not ids:
            raise ValueError("the context has no token; give a text")
        stride = self._stride(room) if len(ids) > room else 0
        ranges, cut = take_ranges(self.tokenizer, len(ids), room, self.on_overflow, stride)
        rows = [row_of(self.tokenizer, question, ids[r.start : r.stop]) for r in ranges]
        first, last = ranges[0].start, ranges[-1].stop
        windows = [range(r.start - first, r.stop - first) for r in ranges]
        place = len(rows[0]) - len(ranges[0]) - 1
        return Prepared(rows, len(ids), cut, Windows(windows, place, spans[first:last]))

    def _stride(self, room: int) -> int:
        """Tokens that two windows share, with room for so many in each."""
        if self.doc_stride is None:
            return min(self.longest // 2, DOC_STRIDE, room - 1)
        if self.doc_stride >= room:
            raise ValueError(
                f"doc_stride {self.doc_stride} is not below {room}, the tokens of the context for "
                "which the question leaves room; give a smaller one"
            )
        return self.doc_stride

    def finish(
        self, item: Question, prepared: Prepared, outputs: list[Any]
    ) -> Answer | list[Answer]:
        """The answers to a question, from the logits of all its windows."""
        windows, first, spans = prepared.data
        scores = [
            window_scores(
                *(one_per_token(output[k]) for k in self.token_outputs), first, len(window)
            )
            for window, output in zip(windows, outputs, strict=True)
        ]
        best = score_spans(windows, [(s, e) for s, e, _ in scores], self.max_answer_len)
        answers = [
            _answer(item.context, score, spans[s][0], spans[e][1])
            for s, e, score in choose_spans(best, self.top_k)
        ]
        if self.handle_impossible_answer:
            answers.append(_answer("", min(score for *_, score in scores), 0, 0))
            order = np.argsort([-answer["score"] for answer in answers], kind="stable")
            answers = [answers[n] for n in order[: self.top_k]]
        return answers[0] if self.top_k == 1 else answers


def _answer(context: str, score: float, start: int, end: int) -> Answer:
    return {"answer": context[start:end], "score": score, "start": start, "end": end}
