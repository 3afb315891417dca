"""`POST /v1/rerank`, in the form that clients of Jina and Cohere share; `/rerank` in TEI's."""

from typing import Any, ClassVar

from numpy_erniem.pipelines.rerank import Reranker
from numpy_erniem.pipelines.scores import best_first
from numpy_erniem.serving.endpoint import NOTES, Body, Endpoint, as_json, notes_of
from numpy_erniem.serving.errors import RequestError
from numpy_erniem.serving.jobs import Job
from numpy_erniem.serving.schemas import BOOLEAN, COUNT, STRING, Schema, any_of, list_of, record

DOCUMENT = any_of(STRING, record(("text",), text=STRING))
NUMBER = {"type": "number"}
INTEGER = {"type": "integer"}


class Rerank(Endpoint):
    """Documents in the order of their scores for a query."""

    path, task = "/v1/rerank", "rerank"
    aliases: ClassVar[tuple[str, ...]] = ("/v2/rerank",)
    summary = "Documents in the order of their scores for a query, as Jina's and Cohere's API"
    pipeline = Reranker
    fields: ClassVar[dict[str, Schema]] = {
        "query": STRING,
        "documents": list_of(DOCUMENT),
        "top_n": COUNT,
        "return_documents": BOOLEAN,
        "raw_scores": BOOLEAN | {"description": "the model's number, not its sigmoid"},
    }
    required = ("query", "documents")
    on_overflow = "error"
    param = "documents"
    reply_schema = record(
        ("model", "results", "usage"),
        model=STRING,
        results={
            "type": "array",
            "items": record(
                ("index", "relevance_score"),
                index=INTEGER,
                relevance_score=NUMBER,
                document=record(("text",), text=STRING),
            ),
        },
        usage=record(("total_tokens",), total_tokens=INTEGER),
        **NOTES,
    )

    def documents(self, body: Body) -> list[str]:
        """The texts of a request."""
        return [d if isinstance(d, str) else d["text"] for d in body[self.param]]

    def items(self, body: Body) -> list[Any]:
        """The query with each document alone, so that many documents can be in several batches."""
        return [{"query": body["query"], "texts": [text]} for text in self.documents(body)]

    def option_values(self, body: Body) -> dict[str, Any]:
        """Whether scores are logits."""
        return {"scores": "logit" if body.get("raw_scores") else "sigmoid"}

    def ranked(self, body: Body, job: Job) -> list[tuple[int, float, str]]:
        """Index, score and text of the documents, the best first."""
        import numpy as np

        scores = np.array([result[0]["score"] for result in job.results])
        texts = self.documents(body)
        return [(n, float(scores[n]), texts[n]) for n in best_first(scores, body.get("top_n"))]

    def reply(self, body: Body, job: Job, model: str) -> bytes:
        """The results as Jina and Cohere give them.

        Parameters
        ----------
        body : dict
        job : Job
        model : str

        Returns
        -------
        bytes
        """
        rows: list[dict[str, Any]] = []
        for n, score, text in self.ranked(body, job):
            row: dict[str, Any] = {"index": n, "relevance_score": score}
            rows.append(
                row | ({"document": {"text": text}} if body.get("return_documents") else {})
            )
        usage = {"total_tokens": job.read}
        return as_json({"model": model, "results": rows, "usage": usage} | notes_of(job))


class TextsRerank(Rerank):
    """The same in the form of Hugging Face's text-embeddings-inference (TEI)."""

    path = "/rerank"
    aliases: ClassVar[tuple[str, ...]] = ()
    summary = "Texts in the order of their scores for a query, as text-embeddings-inference"
    fields: ClassVar[dict[str, Schema]] = {
        "query": STRING,
        "texts": list_of(STRING),
        "return_text": BOOLEAN,
        "raw_scores": BOOLEAN,
        "truncate": BOOLEAN | {"description": 'true is on_overflow "cut"'},
    }
    required = ("query", "texts")
    param = "texts"
    reply_schema: ClassVar[Schema] = {
        "type": "array",
        "items": record(
            ("index", "score"),
            index=INTEGER,
            score=NUMBER,
            text=STRING,
            cut=BOOLEAN | {"description": "the end was left out; absent if it was not"},
        ),
    }

    def parse(self, body: Any) -> Body:
        """The fields, where `truncate` has become `on_overflow`.

        Raises
        ------
        RequestError
            The two contradict each other.
        """
        given = super().parse(body)
        if "truncate" in given:
            wanted = "cut" if given["truncate"] else "error"
            if given.setdefault("on_overflow", wanted) != wanted:
                raise RequestError(400, "truncate and on_overflow are both given", "truncate")
        return given

    def reply(self, body: Body, job: Job, model: str) -> bytes:
        """The results as TEI gives them.

        Parameters
        ----------
        body : dict
        job : Job
        model : str
            Not part of this form.

        Returns
        -------
        bytes
        """
        cut = set(job.cut)
        rows: list[dict[str, Any]] = []
        for n, score, text in self.ranked(body, job):
            row: dict[str, Any] = {"index": n, "score": score}
            row |= {"text": text} if body.get("return_text") else {}
            rows.append(row | ({"cut": True} if n in cut else {}))
        return as_json(rows)
