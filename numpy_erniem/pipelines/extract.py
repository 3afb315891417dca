"""Texts and a schema in; the spans that the schema asks for out: UIE-M."""

import copy
from collections.abc import Iterator
from numbers import Real
from typing import Any, NamedTuple

from numpy_erniem.checks import warn
from numpy_erniem.pipelines.base import Pipeline
from numpy_erniem.pipelines.chunks import ChunkedText
from numpy_erniem.pipelines.extraction_schema import (
    LANGUAGES,
    SchemaItem,
    levels,
    parse_schema,
    prompt_language,
    relation_prompt,
    root_prompt,
)
from numpy_erniem.pipelines.extraction_spans import Span, answers_of_row, find_spans, join_chunks
from numpy_erniem.pipelines.packing import BATCH_TOKENS, Batch
from numpy_erniem.pipelines.scores import check_whole, one_per_token
from numpy_erniem.pipelines.streaming import Done, Prepared
from numpy_erniem.pipelines.tokens import (
    Encoded,
    TextTooLongError,
    encode_texts,
    encode_with_spans,
    row_of,
    take_ranges,
)
from numpy_erniem.tokenizer import ErnieMTokenizer

SPECIALS = 4  # [CLS] prompt [SEP] [SEP] text [SEP]

Answers = list[dict[str, Any]]
Result = dict[str, Answers]


class Question(NamedTuple):
    """A prompt that is asked about a text.

    Attributes
    ----------
    text : int
        Which of the texts.
    item : SchemaItem
    prompt : str
    about : dict, optional
        The answer that it is asked about; None for a name of the first level.
    """

    text: int
    item: SchemaItem
    prompt: str
    about: dict[str, Any] | None = None


class InformationExtractor(Pipeline[Result]):
    """Finds what a schema asks for, by UIE-M: entities, relations, events, opinions, labels.

    Parameters
    ----------
    model : ErnieMForInformationExtraction, or callable with its outputs
        The outputs start_prob and end_prob are used, (B, T) each. A checkpoint that came from
        PaddleNLP gives what it gives there, where [CLS] is hidden and padding is not.
    tokenizer : ErnieMTokenizer
        It is used with bare_underline="paddle", as UIE-M was trained.
    schema : str, list or dict
        What to look for: "Time"; ["Person", "Time"]; {"Person": ["Company", "Position"]} asks for
        company and position of each person; "Sentiment [negative, positive]" chooses a label.
    language : {"auto", "zh", "en"}
        Of the prompts about an answer: "Company of Steve" or its Chinese form. "auto" is Chinese
        where the schema has a Chinese character.
    threshold : float
        A token is the start, or the end, of an answer where its probability is greater.
    max_length : int, optional
        Most tokens of a row with a prompt and a chunk of the text; left out, what the model takes.
        PaddleNLP calls it max_seq_len.
    cut_at_sentences : bool
        Whether a long text is cut at ends of sentences where possible, or only at white space.
    on_overflow : {"window", "cut", "error"}
        What is done with a text that does not fit into a row beside the prompts of the first level.
        "window": it is read in chunks, which do not overlap. "cut": its end is left out, with a
        warning.
    batch_tokens : int
        Most tokens of a batch.
    """

    model_class = "ErnieMForInformationExtraction"
    checkpoints = "PaddlePaddle/uie-m-base"
    token_outputs = ("start_prob", "end_prob")

    def __init__(
        self,
        model: Any,
        tokenizer: ErnieMTokenizer,
        *,
        schema: Any = None,
        language: str = "auto",
        threshold: float = 0.5,
        max_length: int | None = None,
        cut_at_sentences: bool = True,
        on_overflow: str = "window",
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        if tokenizer.bare_underline != "paddle":
            tokenizer = copy.copy(tokenizer)
            tokenizer.bare_underline = "paddle"
        super().__init__(model, tokenizer, batch_tokens=batch_tokens, on_overflow=on_overflow)
        self.schema = schema
        self.language = language
        self.threshold = threshold
        self.max_length = max_length
        self.cut_at_sentences = cut_at_sentences
        if schema is not None:
            parse_schema(schema)

    def check_options(self) -> None:
        """Raise a ValueError for an option with a wrong value, or a prompt that is too long."""
        super().check_options()
        if self.language not in LANGUAGES:
            raise ValueError(f"language {self.language!r} is not one of {', '.join(LANGUAGES)}")
        if not isinstance(self.threshold, Real) or not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold {self.threshold!r} is not a number in 0..1")
        if self.max_length is not None:
            check_whole("max_length", self.max_length)
        if self.max_length is not None and not 1 <= self.max_length <= self.longest:
            raise ValueError(f"max_length {self.max_length} is not in 1..{self.longest}")
        if self.schema is not None:
            self._root_room()

    def iterate(self, items: Any) -> tuple[Iterator[Any], bool]:
        """Texts, not checked yet; ValueError where there is no schema."""
        parse_schema(self.schema)
        return super().iterate(items)

    @property
    def row_length(self) -> int:
        """Most tokens of a row."""
        return self.longest if self.max_length is None else self.max_length

    def _root_room(self) -> int:
        """Tokens of a text that fit beside every prompt of the first level."""
        prompts = [root_prompt(item.name) for item in parse_schema(self.schema)]
        tokens = max(map(len, encode_texts(self.tokenizer, prompts)))
        if self._room(tokens) < 1:
            raise TextTooLongError(
                f"schema: a name has {tokens} tokens, which leaves no room for a text in "
                f"{self.row_length} tokens; shorten it"
            )
        return self._room(tokens)

    def _room(self, prompt_tokens: int) -> int:
        return self.row_length - SPECIALS - prompt_tokens

    def prepare(self, items: list[str]) -> list[Prepared]:
        """The tokens of each text; its rows depend on the prompts."""
        room = self._root_room()
        prepared = []
        for text, encoded in zip(items, encode_with_spans(self.tokenizer, items), strict=True):
            count, cut = len(encoded.ids), 0
            if self.on_overflow != "window":
                (kept,), cut = take_ranges(self.tokenizer, count, room, self.on_overflow)
                part = slice(kept.start, kept.stop)
                encoded = Encoded(encoded.ids[part], encoded.spans[part])
            chunked = ChunkedText(text, encoded, self.cut_at_sentences)
            prepared.append(Prepared([], count, cut, chunked))
        return prepared

    def run(self, items: list[str], prepared: list[Prepared], done: Done) -> list[Result]:
        """The answers of some texts: the model runs once for each level of the schema.

        Parameters
        ----------
        items : list of str
        prepared : list of Prepared
        done : function
            Told which part of the work is done, from 0 to 1.

        Returns
        -------
        list of {name: answers}
        """
        schema = parse_schema(self.schema)
        language, depth = prompt_language(self.language, schema), levels(schema)
        results: list[Result] = [{} for _ in items]
        questions = [
            Question(n, item, root_prompt(item.name)) for n in range(len(items)) for item in schema
        ]
        for level in range(depth):

            def done_below(part: float, level: int = level) -> None:
                done((level + part) / depth)

            found = self.ask(questions, items, prepared, done_below)
            following = []
            for question, answers in zip(questions, found, strict=True):
                if not answers:
                    continue
                if question.about is None:
                    results[question.text][question.item.name] = answers
                else:
                    question.about.setdefault("relations", {})[question.item.name] = answers
                following += [
                    Question(
                        question.text,
                        child,
                        relation_prompt(child.name, answer["text"], language),
                        answer,
                    )
                    for answer in answers
                    for child in question.item.relations
                ]
            questions = following
        return results

    def ask(
        self, questions: list[Question], texts: list[str], prepared: list[Prepared], done: Done
    ) -> list[Answers]:
        """The answers to each question. What is asked twice about a text is computed once.

        Parameters
        ----------
        questions : list of Question
            Of one level of the schema.
        texts : list of str
        prepared : list of Prepared
            What `prepare` made of each text.
        done : function
            Told which part of the questions is answered, from 0 to 1.

        Returns
        -------
        list of lists of dict
        """
        prompts = list(dict.fromkeys(question.prompt for question in questions))
        encoded = dict(zip(prompts, encode_with_spans(self.tokenizer, prompts), strict=True))
        asked = dict.fromkeys((question.text, question.prompt) for question in questions)
        pieces = [
            (n, prompt, chunk)
            for n, prompt in asked
            for chunk in self._chunks(prompt, encoded[prompt], prepared[n].data)
        ]
        rows = [
            row_of(self.tokenizer, encoded[prompt].ids, prepared[n].data.ids[c.start : c.stop])
            for n, prompt, c in pieces
        ]
        if not rows:  # no answer to ask about, or texts without tokens
            done(1.0)
        by_chunk: dict[tuple[int, str], list[Answers]] = {key: [] for key in asked}
        for (n, prompt, c), spans in zip(pieces, self.compute(rows, done), strict=True):
            text_spans = prepared[n].data.spans[c.start : c.stop]
            answers = answers_of_row(spans, prompt, encoded[prompt].spans, texts[n], text_spans)
            by_chunk[n, prompt].append(answers)
        joined = {key: join_chunks(answers) for key, answers in by_chunk.items()}
        return [[dict(answer) for answer in joined[q.text, q.prompt]] for q in questions]

    def _chunks(self, prompt: str, encoded: Encoded, chunked: ChunkedText) -> list[range]:
        """The chunks of a text for a prompt; none, with a warning, where the prompt is too long."""
        room = self._room(len(encoded.ids))
        if room < 1:
            warn(
                f"the prompt {prompt[:60]!r}... has {len(encoded.ids)} tokens, which leaves no "
                f"room for the text in {self.row_length} tokens; it is not asked"
            )
            return []
        return chunked.chunks(room)

    def arguments(self) -> dict[str, Any]:
        """The padding that UIE-M was trained with, for a checkpoint that came from PaddleNLP."""
        paddle = getattr(self.model.config, "mask_convention", "padding") == "paddle"
        return {"visible_padding": self.row_length} if paddle else {}

    def reduce(self, batch: Batch) -> list[list[Span]]:
        """The spans of each row of a batch."""
        starts, ends = (one_per_token(batch.tokens[name]) for name in self.token_outputs)
        return [
            find_spans(starts[a:b], ends[a:b], self.threshold)
            for a, b in zip(batch.starts[:-1], batch.starts[1:], strict=True)
        ]
