"""Clients that do not send, or do not read: which connections are closed, and which are kept."""

import asyncio
import json
import socket
import sys
import time
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from numpy_erniem.serving import connections

HEAD = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
SECONDS = 30  # until a test fails that waits in vain


class Transport:
    """The other side of a connection, which takes bytes when a test says so."""

    def __init__(self):
        self.waiting, self.ended = 0, ""

    def get_write_buffer_size(self):
        return self.waiting

    def write(self, content):
        self.waiting += len(content)

    def is_closing(self):
        return bool(self.ended)

    def close(self):
        self.ended = "closed"

    def abort(self):
        self.ended = "aborted"

    def get_extra_info(self, name):
        return self if name == "socket" else None

    def getsockname(self):
        return ""

    getpeername = getsockname

    def setsockopt(self, *option):
        pass


class Clock:
    """Time that passes when a test says so; `call_later` of an event loop."""

    def __init__(self, monkeypatch):
        self.now, self.due = 0.0, []
        monkeypatch.setattr(connections.time, "monotonic", lambda: self.now)

    def call_later(self, seconds, function):
        self.due.append((self.now + seconds, function))
        return self

    def cancel(self):
        self.due = []

    def wait(self, seconds):
        end = self.now + seconds
        while self.due and min(at for at, _ in self.due) <= end:
            first = min(self.due, key=lambda pair: pair[0])
            self.due.remove(first)
            self.now = first[0]
            first[1]()
        self.now = end


@pytest.fixture
def connect(started, monkeypatch):
    """Make connections with limits of 10 s and 4 s; each with its transport and the clock."""
    from uvicorn import Config
    from uvicorn.server import ServerState

    clock = Clock(monkeypatch)
    service = started(read_timeout=10.0, write_timeout=4.0)

    async def app(scope, receive, send):
        raise AssertionError("no test runs it")

    state = ServerState()

    def make():
        config, loop = Config(app, lifespan="off", log_config=None), asyncio.new_event_loop()
        protocol = connections.protocol_of(service)(config, state, {}, loop)
        loop.close()
        protocol.loop = clock
        protocol.connection_made(Transport())
        return protocol, protocol.transport, clock

    make.closed = lambda reason: service.metrics.closed.labels(reason)._value.get()
    return make


def test_a_connection_without_a_request_is_closed(connect):
    _, transport, clock = connect()
    clock.wait(9)
    assert not transport.ended
    clock.wait(3)
    assert transport.ended == "closed"
    assert connect.closed(connections.NO_REQUEST) == 1
    assert connect.closed(connections.NOT_READ) == 0


def test_a_client_that_reads_nothing_is_disconnected(connect):
    _, transport, clock = connect()
    transport.write(b"response")
    clock.wait(4)
    assert not transport.ended
    clock.wait(2)
    assert transport.ended == "aborted"
    assert connect.closed(connections.NOT_READ) == 1


def test_a_response_of_a_connection_that_is_closing_has_the_same_limit(connect):
    _, transport, clock = connect()
    transport.write(b"response")
    transport.close()
    clock.wait(6)
    assert transport.ended == "aborted"


def test_a_client_that_reads_slowly_gets_the_whole_response(connect):
    _, transport, clock = connect()
    transport.write(b"a long response")
    while transport.waiting:
        clock.wait(3)
        assert transport.ended != "aborted"
        transport.waiting -= 1
    assert connect.closed(connections.NOT_READ) == 0


def test_a_response_that_grows_is_not_read(connect):
    _, transport, clock = connect()
    for _ in range(6):
        transport.write(b"more")
        clock.wait(1)
    assert transport.ended == "aborted"


def test_a_client_that_read_everything_may_wait(connect):
    _, transport, clock = connect()
    for _ in range(3):
        transport.write(b"response")
        clock.wait(3)
        transport.waiting = 0
        clock.wait(3)
        assert transport.ended != "aborted"


def test_too_many_connections_close_the_one_that_has_waited_longest(connect, monkeypatch):
    monkeypatch.setattr(connections, "most_connections", lambda: 3)
    first = connect()
    busy, second, third = first[0], None, None
    busy.cycle = SimpleNamespace(response_complete=False, disconnected=False)
    for _ in range(2):
        first[2].wait(1)
        second, third = third, connect()
    assert [c[1].ended for c in (first, second, third)] == ["", "", ""]
    fourth = connect()
    assert [c[1].ended for c in (first, second, third, fourth)] == ["", "closed", "", ""]
    assert connect.closed(connections.TOO_MANY) == 1


def test_connections_leave_files_for_other_uses(monkeypatch):
    resource = pytest.importorskip("resource")
    for files, most in ((1024, 832), (64, 16), (resource.RLIM_INFINITY, sys.maxsize)):
        monkeypatch.setattr(resource, "getrlimit", lambda kind, files=files: (files, files))
        assert connections.most_connections() == most


def test_a_lost_connection_is_watched_no_longer(connect):
    protocol, _, clock = connect()
    protocol.connection_lost(OSError())
    assert not clock.due


def read_all(connection):
    while connection.recv(1 << 20):
        pass


def test_clients_that_never_read_leave_nothing_behind(process):
    httpx = pytest.importorskip("httpx")
    server = process("--write-timeout", 1, "--max-requests", 1000)
    address = urlsplit(server.url)
    body = json.dumps({"input": ["a"] * 2048}).encode()
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    never = []
    for _ in range(2):
        never.append(socket.socket())
        never[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        never[-1].connect((address.hostname, address.port))
        never[-1].settimeout(SECONDS)
        never[-1].sendall(6 * request)  # more than the buffers of the system hold
    closed = 'erniem_closed_connections_total{reason="response not read"} 2.0'
    end = time.monotonic() + SECONDS
    with httpx.Client(base_url=server.url, timeout=SECONDS) as client:
        while closed not in client.get("/metrics").text and time.monotonic() < end:
            assert client.post("/v1/embeddings", json={"input": "a"}).status_code == 200
            time.sleep(0.05)
        assert closed in client.get("/metrics").text
        assert client.get("/health").status_code == 200
    for connection in never:
        with pytest.raises(ConnectionResetError):
            read_all(connection)
        connection.close()
    assert server.stop()[0] == 0
