"""What is too large, too much, too slow or nobody's is refused, and hurts nobody else."""

import asyncio
import json
import threading

import pytest

from numpy_erniem.serving.app import build_app
from numpy_erniem.serving.embeddings import TokenEmbedder
from numpy_erniem.serving.models import ServedModel
from tests.serving.conftest import Client

PATH = "/v1/embeddings"
JSON = {"Content-Type": "application/json"}
SECONDS = 20


class Held(TokenEmbedder):
    """Waits before each batch for `go`."""

    def compute(self, rows, done):
        self.running.set()
        assert self.go.wait(SECONDS)
        return super().compute(rows, done)


@pytest.fixture
def held(started, embedder):
    """A server whose model waits; released at the end."""
    events = []

    def make(**settings):
        model = Held(embedder.model, embedder.tokenizer, embedder.settings)
        model.go, model.running = threading.Event(), threading.Event()
        events.append(model.go)
        client = Client(build_app(started(ServedModel("held", {"embeddings": model}), **settings)))
        client.model, client.service = model, client.app.service
        return client

    yield make
    for event in events:
        event.set()


class Background(threading.Thread):
    """A request in a thread of its own."""

    def __init__(self, client, body):
        super().__init__()
        self.client, self.body = client, body
        self.start()

    def run(self):
        self.found = self.client.post(PATH, self.body)

    def response(self):
        self.join(SECONDS)
        return self.found


def error_of(response, status):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    return error


def wait_until(condition):
    event = threading.Event()
    for _ in range(1000):
        if condition():
            return
        event.wait(0.01)
    raise AssertionError("waited in vain")


def ask(app, messages, headers=(), path=PATH):
    """Call an application with the messages of a client; what it sends."""
    sent = []

    async def receive():
        message = messages.pop(0) if messages else {"type": "http.disconnect"}
        if callable(message):
            return await message()
        return message

    async def send(message):
        sent.append(message)

    names = [(name.lower().encode(), value.encode()) for name, value in dict(headers).items()]
    scope = {"type": "http", "method": "POST", "path": path, "headers": names, "query_string": b""}
    asyncio.run(app(scope, receive, send))
    return sent


def part(body, more=False):
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_that_says_it_is_too_large_is_not_read(serve):
    def never():
        raise AssertionError("the body was read")

    sent = ask(serve(max_body=99).app, [never], JSON | {"Content-Length": "100"})
    assert sent[0]["status"] == 413
    assert json.loads(sent[1]["body"])["error"]["code"] == "body_too_large"


def test_a_body_in_parts_is_cut_off_at_the_limit(serve):
    parts = [part(b" " * 60, more=True) for _ in range(9)]
    client = serve(max_body=100)
    sent = ask(client.app, parts, JSON)
    assert sent[0]["status"] == 413
    assert len(parts) == 7
    assert (client.service.open, client.service.held) == (0, 0)


def test_a_body_of_the_largest_size_is_taken(serve):
    body = json.dumps({"input": "Open"})
    assert serve(max_body=len(body)).post(PATH, json.loads(body)).status_code in (200, 413)
    response = serve(max_body=len(body)).request("POST", PATH, content=body, headers=JSON)
    assert response.status_code == 200


def test_all_bodies_together_are_bounded(serve):
    client = serve(max_body=10)
    client.service.held = 75
    error = error_of(client.request("POST", PATH, content=b"123456", headers=JSON), 429)
    assert "together" in error["message"]
    assert client.service.held == 75


def test_the_number_of_texts_is_bounded(serve):
    client = serve(max_texts=2)
    assert client.post(PATH, {"input": ["a", "b"]}).status_code == 200
    error = error_of(client.post(PATH, {"input": ["a", "b", "c"]}), 400)
    assert (error["param"], error["code"]) == ("input", "array_above_max_length")


def test_the_tokens_of_a_text_are_bounded_whatever_is_done_with_long_ones(serve):
    client = serve(max_text_tokens=9)
    body = {"input": ["a", "file " * 10], "on_overflow": "window"}
    error = error_of(client.post(PATH, body), 400)
    assert (error["param"], error["code"]) == ("input[1]", "context_length_exceeded")
    body = {"input": " " * 999, "on_overflow": "window"}  # refused before it is tokenized
    assert "144 characters" in error_of(client.post(PATH, body), 400)["message"]


def test_a_body_that_does_not_arrive_is_given_up(serve):
    async def forever():
        await asyncio.sleep(SECONDS)

    client = serve(read_timeout=0.05)
    sent = ask(client.app, [part(b'{"inp', more=True), forever], JSON)
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in [(k.lower(), v) for k, v in sent[0]["headers"]]
    assert (client.service.open, client.service.held) == (0, 0)


def test_a_client_that_leaves_in_the_middle_of_its_body_is_forgotten(serve):
    client = serve()
    ask(client.app, [part(b'{"inp', more=True)], JSON)
    assert (client.service.open, client.service.held) == (0, 0)


def test_a_client_that_leaves_takes_its_texts_out_of_the_queue(held):
    client = held()
    first = Background(client, {"input": "first"})
    assert client.model.running.wait(SECONDS)
    (model,) = client.service.models.values()

    async def leave():
        while not model.runner.waiting:
            await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    body = json.dumps({"input": ["a", "b"]}).encode()
    sent = ask(client.app, [part(body), leave], JSON)
    assert sent[0]["status"] == 499
    assert model.runner.waiting == 0
    client.model.go.set()
    assert first.response().status_code == 200
    assert (client.service.open, client.service.held) == (0, 0)


def test_a_full_queue_is_told(held):
    client = held(max_waiting=2)
    first = Background(client, {"input": "first"})
    assert client.model.running.wait(SECONDS)
    second = Background(client, {"input": ["a", "b"]})
    (model,) = client.service.models.values()
    wait_until(lambda: model.runner.waiting == 2)
    response = client.post(PATH, {"input": "c"})
    error = error_of(response, 429)
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert response.headers["retry-after"] == "1"
    client.model.go.set()
    assert [r.response().status_code for r in (first, second)] == [200, 200]


def test_too_many_open_requests_are_told(held):
    client = held(max_requests=1)
    first = Background(client, {"input": "first"})
    assert client.model.running.wait(SECONDS)
    assert "open already" in error_of(client.post(PATH, {"input": "c"}), 429)["message"]
    assert client.get("/health").status_code == 200
    client.model.go.set()
    assert first.response().status_code == 200


def test_a_request_that_nobody_takes_in_time_is_told(held):
    client = held(timeout=0.3)
    first = Background(client, {"input": "first"})
    assert client.model.running.wait(SECONDS)
    response = client.post(PATH, {"input": "second"})
    assert error_of(response, 503)["code"] == "overloaded"
    assert response.headers["retry-after"] == "1"
    assert error_of(first.response(), 504)["code"] == "timeout"
    (model,) = client.service.models.values()
    assert model.runner.waiting == 0


def test_a_model_that_fails_is_a_500_without_its_message(started, embedder, caplog):
    class Broken(TokenEmbedder):
        def compute(self, rows, done):
            raise RuntimeError("a secret text")

    broken = Broken(embedder.model, embedder.tokenizer, embedder.settings)
    service = started(ServedModel("broken", {"embeddings": broken}))
    client = Client(build_app(service))
    response = client.post(PATH, {"input": "a secret text"})
    assert error_of(response, 500)["type"] == "server_error"
    assert "secret" not in response.text
    assert client.get("/health").status_code == 200


def test_an_error_that_nobody_expected_is_a_500_in_json(serve, monkeypatch):
    client = serve()

    def fail():
        raise RuntimeError("a secret")

    monkeypatch.setattr(client.service, "list_models", fail)
    response = client.get("/v1/models")
    assert "secret" not in json.dumps(error_of(response, 500))


MALFORMED = {
    "nothing": (b"", 400),
    "no JSON": (b"{", 400),
    "a list": (b"[]", 400),
    "a key twice": (b'{"input": "a", "input": "b"}', 400),
    "another encoding": ('{"input": "é"}'.encode("latin-1"), 400),
    "very deep": (b"[" * 100_000, 400),
    "a huge number": (b'{"input": [' + b"9" * 5000 + b"]}", 400),
    "NaN": (b'{"input": [NaN]}', 400),
    "a byte order mark": (b'\xef\xbb\xbf{"input": "a"}', 400),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_body_is_told(serve, name):
    content, status = MALFORMED[name]
    response = serve().request("POST", PATH, content=content, headers=JSON)
    assert error_of(response, status)["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        JSON | {"Content-Encoding": "gzip"},
    ],
)
def test_another_content_type_is_told(serve, headers):
    response = serve().request("POST", PATH, content=b'{"input": "a"}', headers=headers)
    assert error_of(response, 415)["code"] in (
        "unsupported_content_type",
        "unsupported_content_encoding",
    )


def test_a_content_type_may_have_a_charset(serve):
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    response = serve().request("POST", PATH, content=b'{"input": "a"}', headers=headers)
    assert response.status_code == 200


def test_unknown_paths_and_methods_are_told(serve):
    client = serve()
    assert "no such path" in error_of(client.post("/v1/nothing", {}), 404)["message"]
    assert "method" in error_of(client.get(PATH), 405)["message"]
