"""`POST /v1/embeddings`, as OpenAI defines it."""

import base64
from typing import Any, ClassVar

import numpy as np

from numpy_erniem.pipelines.embed import Embedder
from numpy_erniem.pipelines.texts import check_text
from numpy_erniem.serving.endpoint import NOTES, Body, Endpoint, as_json, notes_of
from numpy_erniem.serving.jobs import Job
from numpy_erniem.serving.schemas import COUNT, STRING, Schema, any_of, list_of, one_of, record

ID = {"type": "integer", "minimum": 0}
TEXT = STRING | {"minLength": 1}
USAGE = record(
    ("prompt_tokens", "total_tokens"),
    prompt_tokens={"type": "integer"},
    total_tokens={"type": "integer"},
)


class TokenEmbedder(Embedder):
    """An Embedder that also takes the token ids of a text, without special ones, as an item."""

    def check(self, item: Any, where: str) -> Any:
        """A text, or a list of token ids.

        Parameters
        ----------
        item : str or list of int
        where : str
            What an error calls it.

        Raises
        ------
        ValueError
            An id is not of the vocabulary.
        """
        if not isinstance(item, list):
            return check_text(item, where)
        size, largest = self.model.config.vocab_size, max(item)
        if min(item) < 0 or largest >= size:
            wrong = min(item) if largest < size else largest
            place = f"{where}[{item.index(wrong)}]"
            raise ValueError(f"{place}: token id {wrong} is not in 0..{size - 1}")
        return item

    def size_of(self, item: Any) -> int:
        """Characters of a text; a token id counts as two."""
        return 2 * len(item) if isinstance(item, list) else len(item)

    def token_ids(self, items: list[Any], before: str) -> list[list[int]]:
        """Token ids of the prompt and each item."""
        texts = super().token_ids([item for item in items if isinstance(item, str)], before)
        prompt = super().token_ids([""], before)[0] if before else []
        of_text = iter(texts)
        return [next(of_text) if isinstance(item, str) else prompt + item for item in items]


class Embeddings(Endpoint):
    """A vector for each text."""

    path, task, summary = "/v1/embeddings", "embeddings", "A vector for each text, as OpenAI's API"
    pipeline = TokenEmbedder
    fields: ClassVar[dict[str, Schema]] = {
        "input": any_of(TEXT, list_of(TEXT), list_of(ID), list_of(list_of(ID))),
        "encoding_format": one_of("float", "base64"),
        "dimensions": COUNT,
        "prompt": STRING,
        "prompt_name": STRING,
    }
    options = ("dimensions", "prompt", "prompt_name")
    run_options = ("prompt", "prompt_name")
    on_overflow = "error"
    reply_schema = record(
        ("object", "data", "model", "usage"),
        object=one_of("list"),
        data={
            "type": "array",
            "items": record(
                ("object", "index", "embedding"),
                object=one_of("embedding"),
                index={"type": "integer"},
                embedding=any_of({"type": "array", "items": {"type": "number"}}, STRING),
            ),
        },
        model=STRING,
        usage=USAGE,
        **NOTES,
    )

    def items(self, body: Body) -> list[Any]:
        """Texts, or lists of token ids; a flat list of ids is one."""
        given = body["input"]
        return given if isinstance(given, list) and not isinstance(given[0], int) else [given]

    def place(self, n: int, body: Body) -> str:
        """What an error calls an item."""
        several = isinstance(body["input"], list) and not isinstance(body["input"][0], int)
        return f"input[{n}]" if several else "input"

    def reply(self, body: Body, job: Job, model: str) -> bytes:
        """The vectors, as numbers or as base64 of little-endian float32.

        Parameters
        ----------
        body : dict
        job : Job
        model : str

        Returns
        -------
        bytes
            Each number is the shortest that stands for the same float32.
        """
        write = encode_base64 if body.get("encoding_format") == "base64" else encode_numbers
        rows = b",".join(
            b'{"object":"embedding","index":%d,"embedding":%s}' % (n, write(vector))
            for n, vector in enumerate(job.results)
        )
        tokens = sum(job.tokens)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        rest = as_json({"model": model, "usage": usage} | notes_of(job))
        return b'{"object":"list","data":[%s],%s' % (rows, rest[1:])


def encode_numbers(vector: np.ndarray) -> bytes:
    """A vector as a JSON list."""
    return f"[{','.join(vector.astype(np.float32).astype('U').tolist())}]".encode()


def encode_base64(vector: np.ndarray) -> bytes:
    """A vector as a JSON string: base64 of its float32 numbers, little-endian."""
    return b'"%s"' % base64.b64encode(vector.astype("<f4").tobytes())
