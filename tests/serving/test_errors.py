"""Every refusal has the form and the codes of OpenAI's API."""

import json

import pytest

from numpy_erniem.serving.errors import RequestError

EMBED, RANK = "/v1/embeddings", "/v1/rerank"
LONG = "a b " * 600
TOO_LONG = "context_length_exceeded"
MISSING, TYPE, VALUE = "missing_required_parameter", "invalid_type", "invalid_value"
RANKED = {"query": "a", "documents": ["b"]}
ASKED = {"question": "a", "context": "b c"}
REFUSED = [  # path, body, param, code
    (EMBED, {}, "input", MISSING),
    (EMBED, {"input": None}, "input", MISSING),
    (EMBED, [], None, TYPE),
    (EMBED, {"input": 3}, "input", TYPE),
    (EMBED, {"input": [3, "a"]}, "input[1]", TYPE),
    (EMBED, {"input": []}, "input", VALUE),
    (EMBED, {"input": ""}, "input", VALUE),
    (EMBED, {"input": [10**9]}, "input", VALUE),
    (EMBED, {"input": "a", "dimensions": 0}, "dimensions", VALUE),
    (EMBED, {"input": "a", "dimensions": 999}, "dimensions", VALUE),
    (EMBED, {"input": "a", "encoding_format": "int8"}, "encoding_format", VALUE),
    (EMBED, {"input": "a", "model": "rank"}, "model", "wrong_model"),
    (EMBED, {"input": LONG}, "input", TOO_LONG),
    (EMBED, {"input": [1] * 600}, "input", TOO_LONG),
    (EMBED, {"input": "a", "prompt": LONG}, "input", TOO_LONG),
    (EMBED, {"input": "a" * 200_000}, "input", TOO_LONG),
    (EMBED, {"input": "a b " * 9000, "on_overflow": "window"}, "input", TOO_LONG),
    (EMBED, {"input": ["a"] * 9}, "input", "array_above_max_length"),
    (RANK, {"query": "a"}, "documents", MISSING),
    (RANK, RANKED | {"documents": ["b", {}]}, "documents[1]", MISSING),
    (RANK, RANKED | {"documents": ["b", LONG]}, "documents[1]", TOO_LONG),
    (RANK, RANKED | {"query": LONG}, "documents[0]", TOO_LONG),
    ("/classify", {"input": "a"}, "model", MISSING),
    ("/classify", {"input": "a", "model": "labels", "function": "x"}, "function", VALUE),
    ("/tag", {"input": LONG, "on_overflow": "error"}, "input", TOO_LONG),
    ("/answer", {}, "input", MISSING),
    ("/answer", {"question": "a"}, "context", MISSING),
    ("/answer", {"question": None, "context": "a"}, "question", MISSING),
    ("/answer", ASKED | {"question": LONG}, "input", TOO_LONG),
    ("/extract", {"input": "a", "schema": 3}, "schema", TYPE),
    ("/extract", {"input": "a", "schema": [3]}, "schema", VALUE),
    ("/extract", {"input": "a", "schema": LONG}, "schema", TOO_LONG),
]


def error_of(response, status):
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    assert error["message"]
    return error


@pytest.mark.parametrize(("path", "body", "param", "code"), REFUSED)
def test_a_wrong_field_has_its_name_and_the_code_of_openai(serve, path, body, param, code):
    client = serve("rank", "labels", "entities", "answers", "spans", max_texts=8)
    error = error_of(client.post(path, body), 400)
    assert (error["param"], error["code"]) == (param, code), error
    assert error["type"] == "invalid_request_error"


OTHERS = [  # method, path, content type, key, body, status, code
    ("POST", EMBED, "application/json", "k", b"{", 400, "invalid_json"),
    ("POST", EMBED, "text/plain", "k", b"{}", 415, "unsupported_content_type"),
    ("POST", EMBED, "application/json", "x", b"{}", 401, "invalid_api_key"),
    ("POST", EMBED, "application/json", "k", b" " * 99, 413, "body_too_large"),
    ("POST", "/v1/other", "application/json", "k", b"{}", 404, "unknown_url"),
    ("GET", "/v1/models/other", "application/json", "k", b"", 404, "model_not_found"),
    ("GET", EMBED, "application/json", "k", b"", 405, "method_not_allowed"),
]


@pytest.mark.parametrize(("method", "path", "kind", "key", "body", "status", "code"), OTHERS)
def test_any_other_refusal_has_a_code(serve, method, path, kind, key, body, status, code):
    client = serve(keys=(b"k",), max_body=90)
    headers = {"Content-Type": kind, "Authorization": f"Bearer {key}"}
    response = client.request(method, path, content=body, headers=headers)
    error = error_of(response, status)
    assert (error["type"], error["code"]) == ("invalid_request_error", code)


def test_no_error_is_without_a_code():
    for status in (400, 429, 500):
        assert json.loads(json.dumps(RequestError(status, "wrong").body()))["error"]["code"]
