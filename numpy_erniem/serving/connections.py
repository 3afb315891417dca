"""Connections to clients, on uvicorn: one on which nothing moves for too long is closed."""

import contextlib
import socket
import struct
import sys
import time
from typing import Any

from numpy_erniem.serving.errors import RequestError
from numpy_erniem.serving.logs import log
from numpy_erniem.serving.service import Service, error_body

NO_REQUEST, NOT_READ, TOO_MANY = "no request", "response not read", "too many connections"
NOT_HTTP = "this is not a request of HTTP/1.1"
OTHER_FILES = 192  # beside the connections: ports, models, counts, connections that are closing
FEWEST = 16  # connections, however few files may be open
CHECKS = 4  # in the shorter of the two limits
SHORTEST = 0.05  # seconds between two checks


def protocol_of(service: Service) -> Any:
    """HTTP by h11, for uvicorn, with a `Watch` for each connection.

    Where there are as many as the process may have files open, the one that has no request for the
    longest time is closed for the next one.

    Parameters
    ----------
    service : Service

    Returns
    -------
    class
        A protocol of asyncio.
    """
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    most = most_connections()

    class Protocol(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.watch = Watch(self, service)
            if len(self.connections) > most:
                waiting = [other.watch for other in self.connections if other.watch.waits]
                min(waiting, key=lambda watch: watch.idle_since or 0).close(TOO_MANY)

        def on_response_complete(self) -> None:
            self.watch.idle_since = time.monotonic()
            super().on_response_complete()

        def send_400_response(self, msg: str) -> None:
            """Answer what is not HTTP in the form of every error, unless a response is begun."""
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                body = error_body(RequestError(400, NOT_HTTP, code="invalid_http"))
                names = {
                    "Content-Type": "application/json",
                    "Content-Length": str(len(body)),
                    "Connection": "close",
                }
                head = h11.Response(status_code=400, reason="Bad Request", headers=[*names.items()])
                for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                    self.transport.write(self.conn.send(event))
            self.transport.close()

        def connection_lost(self, error: Exception | None) -> None:
            self.watch.timer.cancel()
            super().connection_lost(error)

    return Protocol


def most_connections() -> int:
    """How many connections the process may have, by the files that it may open."""
    try:
        import resource
    except ImportError:  # not on Windows
        return FEWEST * OTHER_FILES
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if files == resource.RLIM_INFINITY else max(FEWEST, files - OTHER_FILES)


class Watch:
    """Closes a connection whose client does nothing.

    That is one that sends no whole request for `read_timeout` seconds, or takes nothing of a
    response for `write_timeout` seconds.

    Parameters
    ----------
    protocol : H11Protocol
        Of the connection.
    service : Service
        Whose settings are read; its metrics count the connections that are closed.
    """

    def __init__(self, protocol: Any, service: Service) -> None:
        self.protocol = protocol
        self.closed = service.metrics.closed
        self.read_timeout = service.settings.read_timeout
        self.write_timeout = service.settings.write_timeout
        self.pause = max(SHORTEST, min(self.read_timeout, self.write_timeout) / CHECKS)
        self.unsent = 0  # bytes of responses that waited for the client at the last check
        self.unread_since = time.monotonic()
        self.idle_since: float | None = time.monotonic()
        self.timer = protocol.loop.call_later(self.pause, self.check)

    def check(self) -> None:
        """Close the connection if one of the times is over; else check again later."""
        now = time.monotonic()
        if self._is_unread(now):
            _disconnect(self.protocol.transport)
            self._tell(NOT_READ)
            return
        self.timer = self.protocol.loop.call_later(self.pause, self.check)
        if self._is_idle(now):
            self.close(NO_REQUEST)

    @property
    def waits(self) -> bool:
        """Whether the connection is open and has no request."""
        cycle = self.protocol.cycle  # of a request and its response
        busy = cycle is not None and not cycle.response_complete
        return not busy and not self.protocol.transport.is_closing()

    def close(self, reason: str) -> None:
        """Close the connection when its last response is sent."""
        self.protocol.transport.close()
        self._tell(reason)

    def _is_unread(self, now: float) -> bool:
        before, self.unsent = self.unsent, self.protocol.transport.get_write_buffer_size()
        if not before or self.unsent < before:
            self.unread_since = now
        return now - self.unread_since >= self.write_timeout

    def _is_idle(self, now: float) -> bool:
        if not self.waits:
            self.idle_since = None
        elif self.idle_since is None:
            self.idle_since = now
        return self.idle_since is not None and now - self.idle_since >= self.read_timeout

    def _tell(self, reason: str) -> None:
        self.closed.labels(reason).inc()
        log("connection closed", reason=reason)


def _disconnect(transport: Any) -> None:
    """Close at once and drop what was not sent; `close()` would wait for the client."""
    with contextlib.suppress(OSError):  # the client is gone
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
    transport.abort()
