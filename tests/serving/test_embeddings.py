"""/v1/embeddings: the vectors are the Embedder's to the bit, the form is OpenAI's."""

import base64
from dataclasses import replace

import numpy as np
import pytest

from numpy_erniem import Embedder, ErnieMConfig, bundled_checkpoint
from numpy_erniem.serving.app import build_app
from numpy_erniem.serving.models import ServedModel
from tests.serving.conftest import Client

LAST_ID = ErnieMConfig.from_pretrained(bundled_checkpoint()).vocab_size - 1

pytestmark = pytest.mark.usefixtures("same_bits")
TEXTS = ["Open a file", "打开文件", "Datei öffnen " * 9]
PATH = "/v1/embeddings"


@pytest.fixture(scope="session")
def reference():
    return Embedder.from_pretrained()


def vectors(response):
    assert response.status_code == 200, response.text
    rows = response.json()["data"]
    assert [row["index"] for row in rows] == list(range(len(rows)))
    return np.array([row["embedding"] for row in rows], np.float32)


def ids_of(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_a_text_has_the_vector_of_the_embedder(serve, reference):
    found = vectors(serve().post(PATH, {"input": TEXTS[1], "model": "bundled"}))
    assert np.array_equal(found, reference(TEXTS[1])[None])


def test_texts_have_the_vectors_of_the_embedder(serve, reference):
    assert np.array_equal(vectors(serve().post(PATH, {"input": TEXTS})), reference(TEXTS))


def test_token_ids_have_the_vector_of_their_text(serve, reference, tokenizer):
    found = vectors(serve().post(PATH, {"input": ids_of(tokenizer, TEXTS[0])}))
    assert np.array_equal(found, reference(TEXTS[0])[None])


def test_lists_of_token_ids_have_the_vectors_of_their_texts(serve, reference, tokenizer):
    ids = [ids_of(tokenizer, text) for text in TEXTS]
    assert np.array_equal(vectors(serve().post(PATH, {"input": ids})), reference(TEXTS))


def test_a_prompt_is_put_before_token_ids(serve, reference, tokenizer):
    body = {"input": ids_of(tokenizer, "file"), "prompt": "query: "}
    want = reference("file", prompt="query: ")
    assert np.array_equal(vectors(serve().post(PATH, body)), want[None])


def test_base64_is_little_endian_float32(serve, reference):
    response = serve().post(PATH, {"input": TEXTS, "encoding_format": "base64"})
    rows = [base64.b64decode(row["embedding"]) for row in response.json()["data"]]
    assert np.array_equal([np.frombuffer(row, "<f4") for row in rows], reference(TEXTS))


def test_many_texts_are_in_their_order(serve, reference):
    texts = [f"{n} files in folder {n % 7}" * (1 + n % 5) for n in range(300)]
    assert np.array_equal(vectors(serve().post(PATH, {"input": texts})), reference(texts))


def test_dimensions_are_those_of_the_embedder(serve, reference):
    found = vectors(serve().post(PATH, {"input": TEXTS, "dimensions": 5}))
    assert np.array_equal(found, reference(TEXTS, dimensions=5))


def test_a_prompt_is_that_of_the_embedder(serve, reference):
    found = vectors(serve().post(PATH, {"input": TEXTS, "prompt": "query: "}))
    assert np.array_equal(found, reference(TEXTS, prompt="query: "))
    assert not np.array_equal(found, reference(TEXTS))


def test_a_prompt_has_a_name(started, embedder, reference):
    named = embedder.with_options()
    named.settings = replace(embedder.settings, prompts={"passage": "p: "})
    client = Client(build_app(started(ServedModel("named", {"embeddings": named}))))
    found = vectors(client.post(PATH, {"input": TEXTS, "prompt_name": "passage"}))
    assert np.array_equal(found, reference(TEXTS, prompt="p: "))


def test_the_form_is_that_of_openai(serve):
    body = serve().post(PATH, {"input": "Open", "user": "me", "nonsense": [1]}).json()
    assert sorted(body) == ["data", "model", "object", "usage"]
    assert body["object"] == "list"
    assert body["model"] == "bundled"
    assert sorted(body["data"][0]) == ["embedding", "index", "object"]
    assert body["data"][0]["object"] == "embedding"


def test_usage_counts_the_tokens_that_were_given(serve, tokenizer):
    ids = [ids_of(tokenizer, text) for text in TEXTS]
    tokens = sum(map(len, ids))
    want = {"prompt_tokens": tokens, "total_tokens": tokens}
    client = serve()
    assert client.post(PATH, {"input": TEXTS}).json()["usage"] == want
    assert client.post(PATH, {"input": ids}).json()["usage"] == want


def test_null_is_the_same_as_left_out(serve):
    body = {"input": "Open", "model": None, "dimensions": None, "encoding_format": None}
    assert serve().post(PATH, body).status_code == 200


def test_a_text_that_is_too_long_is_refused(serve):
    response = serve().post(PATH, {"input": ["Open", "file " * 600]})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == "input[1]"
    assert "510" in error["message"]
    assert "on_overflow" in error["message"]


@pytest.mark.parametrize("by", ["request", "server"])
def test_a_text_that_is_too_long_is_cut_where_that_is_asked(serve, reference, by):
    long = "file " * 600
    more, settings = (
        ({"on_overflow": "cut"}, {}) if by == "request" else ({}, {"on_overflow": "cut"})
    )
    response = serve(**settings).post(PATH, {"input": ["Open", long], **more})
    with pytest.warns(UserWarning, match="were cut"):
        want = reference(["Open", long])
    assert np.array_equal(vectors(response), want)
    assert response.json()["cut"] == [1]


def test_a_text_that_is_too_long_is_read_in_windows(serve, reference):
    long = "file " * 600
    response = serve().post(PATH, {"input": long, "on_overflow": "window"})
    assert np.array_equal(vectors(response)[0], reference(long, on_overflow="window"))
    assert "cut" not in response.json()


WRONG = {
    "no input": ({}, "input", "no 'input'"),
    "null": ({"input": None}, "input", "no 'input'"),
    "a number": ({"input": 3}, "input", "an integer, not a string or an array"),
    "an object": ({"input": {"text": "a"}}, "input", "an object"),
    "an empty text": ({"input": ""}, "input", "empty"),
    "an empty list": ({"input": []}, "input", "empty"),
    "an empty text in a list": ({"input": ["a", ""]}, "input[1]", "empty"),
    "no token ids": ({"input": [[1], []]}, "input[1]", "empty"),
    "a text among token ids": ({"input": [[1, 2], "a"]}, "input[1]", "a string, not an array"),
    "a token id among texts": ({"input": ["a", 5]}, "input[1]", "an integer, not a string"),
    "a negative token id": ({"input": [3, -1]}, "input[1]", "below 0"),
    "a token id that is too large": ({"input": [3, 99999]}, "input", f"not in 0..{LAST_ID}"),
    "a huge token id": ({"input": [[10**30]]}, "input[0]", f"not in 0..{LAST_ID}"),
    "a fraction": ({"input": [3, 1.5]}, "input[1]", "a number, not an integer"),
    "true": ({"input": [True]}, "input[0]", "boolean"),
    "another encoding": ({"input": "a", "encoding_format": "int8"}, "encoding_format", "base64"),
    "no dimensions": ({"input": "a", "dimensions": 0}, "dimensions", "below 1"),
    "dimensions above the width": ({"input": "a", "dimensions": 129}, "dimensions", "1..128"),
    "dimensions as a str": ({"input": "a", "dimensions": "5"}, "dimensions", "an integer"),
    "an unknown prompt": ({"input": "a", "prompt_name": "x"}, "prompt_name", "prompt"),
    "another overflow": ({"input": "a", "on_overflow": "no"}, "on_overflow", "window"),
    "a model that is a number": ({"input": "a", "model": 3}, "model", "a string"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_told_what_is_wrong(serve, name):
    body, param, message = WRONG[name]
    response = serve().post(PATH, body)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"] == param
    assert message in error["message"]
    assert error["type"] == "invalid_request_error"


def test_half_of_a_surrogate_pair_is_a_text(serve):
    response = serve().request(
        "POST", PATH, content=rb'{"input": "\ud800"}', headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 200
