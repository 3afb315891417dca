"""A server in its own process, asked over 127.0.0.1: clients, signals, workers, bad connections."""

import json
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import numpy as np
import pytest

from numpy_erniem import Embedder, ErnieMForSequenceClassification

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX")
PATH = "/v1/embeddings"
JSON = {"Content-Type": "application/json"}
TEXTS = [f"Open file {n} in folder {n % 7}" for n in range(64)]
SECONDS = 30  # until a test fails that waits in vain


@pytest.fixture(scope="module")
def reference():
    return Embedder.from_pretrained()


@pytest.fixture
def httpx():
    return pytest.importorskip("httpx")


def vectors(body):
    return np.array([row["embedding"] for row in body["data"]], np.float32)


@pytest.mark.usefixtures("same_bits")
def test_the_openai_client_gets_the_vectors_of_the_embedder(process, reference, tmp_path):
    openai = pytest.importorskip("openai")
    keys = tmp_path / "keys"
    keys.write_text("the-key\n")
    server = process("--api-keys", keys)
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="the-key", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["bundled"]
        many = [f"text {n}" for n in range(2048)]
        for texts in (TEXTS[:1], TEXTS, many):
            for form in ({}, {"encoding_format": "float"}):
                found = client.embeddings.create(model="bundled", input=texts, **form)
                got = np.array([row.embedding for row in found.data], np.float32)
                assert np.array_equal(got, reference(texts))
        assert found.usage.total_tokens > 2048
        with pytest.raises(openai.BadRequestError, match="dimensions"):
            client.embeddings.create(model="bundled", input="a", dimensions=999)
        with pytest.raises(openai.NotFoundError, match="no model"):
            client.embeddings.create(model="other", input="a")
        with pytest.raises(openai.BadRequestError) as told:
            client.embeddings.create(model="bundled", input=["a", "a b " * 600])
        error = told.value
        assert (error.type, error.code) == ("invalid_request_error", "context_length_exceeded")
        assert error.param == "input[1]"
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="no", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()
    _, lines = server.stop()
    assert "the-key" not in json.dumps(lines)


@pytest.mark.usefixtures("same_bits")
def test_many_clients_at_once_get_their_own_vectors(process, reference, httpx):
    server = process()
    want = reference(TEXTS)

    def ask(n):
        with httpx.Client(base_url=server.url, timeout=SECONDS) as client:
            return [
                vectors(client.post(PATH, json={"input": TEXTS[m]}).json())[0]
                for m in range(n, len(TEXTS), 32)
            ]

    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(ask, range(32)))
    for n, of_client in enumerate(found):
        assert np.array_equal(of_client, want[n::32])


def test_a_server_listens_on_this_machine_alone_and_warns_elsewhere(process):
    assert process().url.startswith("http://127.0.0.1:")


class Asking(threading.Thread):
    """A client that asks again and again until it is refused."""

    def __init__(self, httpx, url):
        super().__init__()
        self.httpx, self.url, self.answered, self.other = httpx, url, 0, []
        self.start()

    def run(self):
        with self.httpx.Client(base_url=self.url, timeout=SECONDS) as client:
            while not self.other:
                try:
                    response = client.post(PATH, json={"input": TEXTS})
                except self.httpx.ConnectError:
                    self.other.append("refused")
                except Exception as error:
                    self.other.append(repr(error))
                else:
                    if response.status_code == 200 and len(response.json()["data"]) == len(TEXTS):
                        self.answered += 1
                    else:
                        self.other.append(response.status_code)


def wait_until(condition):
    end = time.monotonic() + SECONDS
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_is_told_to_stop_answers_what_it_has_accepted(process, httpx, workers):
    server = process("--workers", workers)
    clients = [Asking(httpx, server.url) for _ in range(8)]
    wait_until(lambda: all(client.answered > 2 for client in clients))
    code, lines = server.stop()
    for client in clients:
        client.join(SECONDS)
        assert client.answered > 2
        assert set(client.other) <= {503, "refused"}, client.other
    assert code == 0
    statuses = [line["status"] for line in lines if line["event"] == "request"]
    assert statuses.count(200) == sum(client.answered for client in clients)
    assert set(statuses) <= {200, 503}


def test_an_interrupted_server_ends_without_an_error(process):
    server = process()
    server.process.send_signal(signal.SIGINT)
    assert server.wait_for("stopped")
    assert server.process.wait(SECONDS) == 0


def test_a_worker_that_is_killed_is_replaced(process, httpx):
    server = process("--workers", 2)
    workers = [line["worker"] for line in server.lines if line["event"] == "worker started"]
    with httpx.Client(base_url=server.url, timeout=SECONDS) as client:
        assert client.post(PATH, json={"input": "a"}).status_code == 200
    os.kill(workers[0], signal.SIGKILL)
    assert server.wait_for("worker ended")["worker"] == workers[0]
    assert server.wait_for("worker started")["worker"] not in workers
    for _ in range(4):
        with httpx.Client(base_url=server.url, timeout=SECONDS) as client:
            assert client.post(PATH, json={"input": "a"}).status_code == 200
    assert server.stop()[0] == 0


def test_workers_stop_when_their_supervisor_is_killed(process, httpx):
    server = process("--workers", 2)
    workers = [line["worker"] for line in server.lines if line["event"] == "worker started"]
    clients = [Asking(httpx, server.url) for _ in range(4)]
    wait_until(lambda: all(client.answered for client in clients))
    server.process.kill()
    _, rest = server.process.communicate(timeout=SECONDS)  # until no worker has the pipe open
    for client in clients:
        client.join(SECONDS)
        assert set(client.other) <= {503, "refused"}, client.other
    lines = [json.loads(line) for line in rest.splitlines()]
    for event in ("the supervisor is gone", "stopped"):
        told = [line["process"] for line in lines if line["event"] == event]
        assert sorted(told) == sorted(workers)


def test_a_replaced_worker_stops_when_its_supervisor_is_killed(process, tmp_path):
    server = process("--workers", 2, environment={"TMPDIR": str(tmp_path)})
    workers = [line["worker"] for line in server.lines if line["event"] == "worker started"]
    os.kill(workers[0], signal.SIGKILL)
    server.wait_for("worker started")
    server.process.kill()
    _, rest = server.process.communicate(timeout=SECONDS)
    assert rest.count('"stopped"') == 2
    assert not list(tmp_path.iterdir())


def test_a_server_that_stops_leaves_no_folder_behind(process, tmp_path):
    server = process("--workers", 2, environment={"TMPDIR": str(tmp_path)})
    assert len(list(tmp_path.iterdir())) == 1
    assert server.stop()[0] == 0
    assert not list(tmp_path.iterdir())


def test_the_counts_are_those_of_all_workers(process, httpx):
    server = process("--workers", 2)
    for _ in range(20):  # each on a connection of its own
        with httpx.Client(base_url=server.url, timeout=SECONDS) as client:
            client.post(PATH, json={"input": "a"})
    with httpx.Client(base_url=server.url, timeout=SECONDS) as client:
        lines = client.get("/metrics").text.splitlines()
    assert 'erniem_requests_total{path="/v1/embeddings",status="200"} 20.0' in lines


@pytest.fixture
def connect(process):
    """Connections to a server that waits a short time for requests."""
    made = []
    server = process("--read-timeout", 1, "--max-body", 100_000)

    def open_connection(sent=b""):
        address = urlsplit(server.url)
        made.append(socket.create_connection((address.hostname, address.port), timeout=SECONDS))
        made[-1].sendall(sent)
        return made[-1]

    open_connection.url = server.url
    yield open_connection
    for connection in made:
        connection.close()


def read_all(connection):
    """What a server sends until it closes the connection."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


HEAD = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BAD = {
    "nothing": (b"", b""),
    "half of a line": (b"POST /v1/emb", b""),
    "half of the headers": (HEAD, b""),
    "half of a body": (HEAD + b'Content-Length: 50\r\n\r\n{"input": ', b" 408 "),
    "half of a part": (HEAD + b'Transfer-Encoding: chunked\r\n\r\n20\r\n{"in', b" 408 "),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b" 400 "),
    "two lengths": (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345", b" 400 "),
    "a wrong length": (HEAD + b"Content-Length: -5\r\n\r\n", b" 400 "),
    "a length that is too large": (HEAD + b"Content-Length: 999999999999\r\n\r\n", b" 413 "),
    "endless headers": (HEAD + b"X: " + b"a" * 100_000, b" 400 "),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_connection_is_closed_and_hurts_nobody(connect, httpx, name):
    sent, status = BAD[name]
    bad = [connect(sent) for _ in range(8)]
    with httpx.Client(base_url=connect.url, timeout=SECONDS) as client:
        assert client.post(PATH, json={"input": "a"}).status_code == 200
        for connection in bad:
            answer = read_all(connection)
            assert status in answer.partition(b"\r\n")[0]
            assert status or not answer
            if answer:
                head, _, body = answer.partition(b"\r\n\r\n")
                assert b"application/json" in head
                assert sorted(json.loads(body)["error"]) == ["code", "message", "param", "type"]
        assert client.get("/health").status_code == 200


def test_parts_without_end_are_cut_off(connect, httpx):
    connection = connect(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    piece = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    for _ in range(7):
        connection.sendall(piece)
    assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
    with httpx.Client(base_url=connect.url, timeout=SECONDS) as client:
        assert client.post(PATH, json={"input": "a"}).status_code == 200


def test_clients_that_hang_up_leave_nothing_behind(connect, httpx):
    body = json.dumps({"input": TEXTS}).encode()
    for _ in range(20):
        connect(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body).close()
    end = time.monotonic() + SECONDS
    with httpx.Client(base_url=connect.url, timeout=SECONDS) as client:
        assert client.post(PATH, json={"input": "a"}).status_code == 200
        waiting = 'erniem_waiting_texts{model="bundled"} 0.0'
        while waiting not in client.get("/metrics").text and time.monotonic() < end:
            time.sleep(0.05)
        assert waiting in client.get("/metrics").text


def test_a_model_of_each_head_is_served_together(process, httpx, model_of, tokenizer, tmp_path):
    arguments = ["--model", "tiny=" + str(tmp_path / "labels"), "--model", str(tmp_path / "rank")]
    for name in ("labels", "rank"):
        model = model_of(name)
        assert isinstance(model, ErnieMForSequenceClassification)
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    server = process(*arguments)
    with httpx.Client(base_url=server.url, timeout=SECONDS) as client:
        rows = client.get("/v1/models").json()["data"]
        assert {row["id"]: row["tasks"] for row in rows} == {
            "tiny": ["classify"],
            "rank": ["classify", "rerank"],
        }
        body = {"query": "a", "documents": ["b", "c"]}
        assert len(client.post("/v1/rerank", json=body).json()["results"]) == 2
