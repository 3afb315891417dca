"""`POST /classify`, `/tag`, `/answer` and `/extract`: the pipelines with the same options."""

from typing import Any, ClassVar

from numpy_erniem.pipelines.answer import QuestionAnswerer
from numpy_erniem.pipelines.classify import FUNCTIONS, TextClassifier
from numpy_erniem.pipelines.extract import InformationExtractor
from numpy_erniem.pipelines.extraction_schema import LANGUAGES, SchemaItem, parse_schema
from numpy_erniem.pipelines.tag import AGGREGATIONS, TokenTagger
from numpy_erniem.serving.endpoint import TEXT_OR_TEXTS, Body, Endpoint, data_schema
from numpy_erniem.serving.errors import MISSING, RequestError
from numpy_erniem.serving.schemas import (
    BOOLEAN,
    COUNT,
    SHARE,
    STRING,
    Schema,
    any_of,
    list_of,
    one_of,
    record,
)

INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}
MOST_NAMES = 100  # of a schema: each is a question about every text
MOST_QUESTIONS = 10_000  # of one level of a schema, about the texts of a batch
PAIR = record(("text", "text_pair"), text=STRING, text_pair=STRING)
QUESTION = record(("question", "context"), question=STRING, context=STRING)
SPAN = {"start": INTEGER, "end": INTEGER, "score": NUMBER}


class Classify(Endpoint):
    """Labels of texts, or of pairs of texts."""

    path, task, summary = "/classify", "classify", "The labels of each text, with their scores"
    pipeline = TextClassifier
    fields: ClassVar[dict[str, Schema]] = {
        "input": any_of(STRING, PAIR, list_of(any_of(STRING, PAIR))),
        "top_k": COUNT,
        "function": one_of(*FUNCTIONS),
    }
    options = ("top_k", "function")
    label = record(("label", "score"), label=STRING, score=NUMBER)
    reply_schema = data_schema(labels={"type": "array", "items": label})

    def items(self, body: Body) -> list[Any]:
        """Texts and pairs; other keys of a pair are left out."""
        return [
            item if isinstance(item, str) else {key: item[key] for key in PAIR["required"]}
            for item in super().items(body)
        ]

    def option_values(self, body: Body) -> dict[str, Any]:
        """All labels, where `top_k` is left out."""
        return {"top_k": None} | super().option_values(body)

    def row(self, result: Any) -> dict[str, Any]:
        """The labels of a text."""
        return {"labels": result if isinstance(result, list) else [result]}


class Tag(Endpoint):
    """The entities of texts."""

    path, task, summary = "/tag", "tag", "The entities of each text, with their characters"
    pipeline = TokenTagger
    fields: ClassVar[dict[str, Schema]] = {
        "input": TEXT_OR_TEXTS,
        "aggregation": one_of(*AGGREGATIONS),
        "stride": {"type": "integer", "minimum": 0},
        "ignore_labels": {"type": "array", "items": STRING},
    }
    options = ("aggregation", "stride", "ignore_labels")
    entity = record(("label", "score", "word", "start", "end"), label=STRING, word=STRING, **SPAN)
    reply_schema = data_schema(entities={"type": "array", "items": entity})

    def row(self, result: Any) -> dict[str, Any]:
        """The entities of a text."""
        return {"entities": result}


class Answer(Endpoint):
    """The answers to questions."""

    path, task, summary = "/answer", "answer", "The answers to each question in its context"
    pipeline = QuestionAnswerer
    fields: ClassVar[dict[str, Schema]] = {
        "input": any_of(QUESTION, list_of(QUESTION)),
        "top_k": COUNT,
        "max_answer_len": COUNT,
        "handle_impossible_answer": BOOLEAN,
        "max_seq_len": COUNT,
        "doc_stride": {"type": "integer", "minimum": 0},
    }
    options = ("top_k", "max_answer_len", "handle_impossible_answer", "max_seq_len", "doc_stride")
    found = record(("answer", "score", "start", "end"), answer=STRING, **SPAN)
    reply_schema = data_schema(answers={"type": "array", "items": found})

    def parse(self, body: Any) -> Body:
        """The fields, where `question` and `context` of the request itself have become `input`.

        Raises
        ------
        RequestError
            As of `Endpoint.parse`.
        """
        keys = QUESTION["required"]
        if isinstance(body, dict) and body.get("input") is None:
            asked = {key: body[key] for key in keys if body.get(key) is not None}
            for key in keys:
                if asked and key not in asked:
                    raise RequestError(400, f"the request has no {key!r}", key, MISSING)
            body = body | {"input": asked or None}
        return super().parse(body)

    def items(self, body: Body) -> list[Any]:
        """Questions; other keys are left out."""
        return [{key: item[key] for key in QUESTION["required"]} for item in super().items(body)]

    def row(self, result: Any) -> dict[str, Any]:
        """The answers to a question."""
        return {"answers": result if isinstance(result, list) else [result]}


class BoundedExtractor(InformationExtractor):
    """An InformationExtractor that does not ask about more answers than a server has time for."""

    def ask(self, questions: list[Any], *arguments: Any) -> list[Any]:
        """The answers to each question.

        Raises
        ------
        RequestError
            There are too many questions.
        """
        if len(questions) > MOST_QUESTIONS:
            raise RequestError(
                400,
                f"the schema leads to {len(questions)} questions at once, of which at most "
                f"{MOST_QUESTIONS} are asked; give fewer levels, or a higher threshold",
                "schema",
                "too_many_questions",
            )
        return super().ask(questions, *arguments)


class Extract(Endpoint):
    """What a schema asks for."""

    path, task, summary = "/extract", "extract", "What a schema asks for, found in each text"
    pipeline = BoundedExtractor
    fields: ClassVar[dict[str, Schema]] = {
        "input": TEXT_OR_TEXTS,
        "schema": any_of(STRING, {"type": "array"}, {"type": "object"}),
        "language": one_of(*LANGUAGES),
        "threshold": SHARE,
        "max_length": COUNT,
        "cut_at_sentences": BOOLEAN,
    }
    required = ("input", "schema")
    options = ("schema", "language", "threshold", "max_length", "cut_at_sentences")
    reply_schema = data_schema(result={"type": "object"})

    def parse(self, body: Any) -> Body:
        """The fields, with a schema of a limited size.

        Raises
        ------
        RequestError
            The schema has a wrong form or too many names; or as of `Endpoint.parse`.
        """
        given = super().parse(body)
        try:
            count = _count_names(parse_schema(given["schema"]))
        except ValueError as error:
            raise RequestError(400, str(error), "schema") from None
        if count > MOST_NAMES:
            raise RequestError(
                400, f"schema has {count} names; at most {MOST_NAMES} are taken", "schema"
            )
        return given

    def row(self, result: Any) -> dict[str, Any]:
        """The answers of a text by the names of the schema."""
        return {"result": result}


def _count_names(items: tuple[SchemaItem, ...]) -> int:
    return sum(1 + _count_names(item.relations) for item in items)
