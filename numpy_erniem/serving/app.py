"""The server as an ASGI application, on Starlette: routes, bodies, responses, and their log."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

from numpy_erniem.serving.endpoint import Endpoint, as_json
from numpy_erniem.serving.errors import RequestError, gone
from numpy_erniem.serving.logs import log
from numpy_erniem.serving.models import ENDPOINTS
from numpy_erniem.serving.openapi import describe_api, render_page
from numpy_erniem.serving.service import Service, error_body

JSON, HTML = "application/json", "text/html; charset=utf-8"
CLOSE = {"Connection": "close"}


class Api:
    """The routes of a server.

    Parameters
    ----------
    service : Service
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.description = describe_api(ENDPOINTS, service.settings)

    def routes(self) -> list[Any]:
        """The routes for Starlette."""
        from starlette.routing import Route

        found = [
            Route(path, self._post(endpoint), methods=["POST"])
            for endpoint in ENDPOINTS
            for path in (endpoint.path, *endpoint.aliases)
        ]
        pages: dict[str, Callable[[Any], Any]] = {
            "/": self._page,
            "/health": self._health,
            "/health/live": self._live,
            "/health/ready": self._health,
            "/openapi.json": self._openapi,
            "/metrics": self._metrics,
            "/v1/models": self._models,
            "/v1/models/{name:path}": self._model,
        }
        return found + [Route(path, page, methods=["GET"]) for path, page in pages.items()]

    def _post(self, endpoint: Endpoint) -> Callable[[Any], Any]:
        async def handle(request: Any) -> Any:
            service, held = self.service, 0
            self._authorize(request)
            service.enter()
            try:
                _check_headers(request, service.settings.max_body)
                content = await self._read(request)
                held = len(content)
                disconnected = _watch(request)
                reply = await service.answer(
                    endpoint, content, disconnected, request.scope["facts"]
                )
                return respond(reply)
            finally:
                service.leave(held)

        return handle

    async def _read(self, request: Any) -> bytes:
        """The body of a request: within a time, and not longer than is allowed."""
        from starlette.requests import ClientDisconnect

        service, settings = self.service, self.service.settings
        parts: list[bytes] = []
        size = 0

        async def read() -> None:
            nonlocal size
            async for part in request.stream():
                if size + len(part) > settings.max_body:
                    raise too_large(settings.max_body)
                service.hold(len(part))
                size += len(part)
                parts.append(part)

        try:
            await asyncio.wait_for(read(), settings.read_timeout)
        except BaseException as error:
            service.held -= size
            if isinstance(error, ClientDisconnect):
                raise gone() from None
            if isinstance(error, asyncio.TimeoutError):
                message = f"the body did not arrive within {settings.read_timeout:g} seconds"
                raise RequestError(408, message, code="read_timeout", headers=CLOSE) from None
            raise
        return b"".join(parts)

    def _authorize(self, request: Any) -> None:
        self.service.authorize(request.headers.get("authorization"))

    async def _health(self, request: Any) -> Any:
        health = self.service.health()
        return respond(as_json(health), 200 if health["ready"] else 503)

    async def _live(self, request: Any) -> Any:
        return respond(as_json({"live": True}))

    async def _page(self, request: Any) -> Any:
        return respond(render_page(self.description).encode(), media=HTML)

    async def _openapi(self, request: Any) -> Any:
        return respond(as_json(self.description))

    async def _metrics(self, request: Any) -> Any:
        self._authorize(request)
        text, media = self.service.metrics.page()
        return respond(text, media=media)

    async def _models(self, request: Any) -> Any:
        self._authorize(request)
        return respond(as_json(self.service.list_models()))

    async def _model(self, request: Any) -> Any:
        self._authorize(request)
        model = self.service.models.get(request.path_params["name"])
        if model is None:
            raise RequestError(404, "there is no such model here", "model", "model_not_found")
        return respond(as_json(model.describe()))


def build_app(service: Service) -> Any:
    """The ASGI application of a service.

    Parameters
    ----------
    service : Service

    Returns
    -------
    ASGI application
        It starts and stops the service by its lifespan.
    """
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException

    api = Api(service)

    @asynccontextmanager
    async def lifespan(app: Any) -> Any:
        service.start()
        yield
        await asyncio.get_running_loop().run_in_executor(None, service.stop)

    async def refuse(request: Any, error: Any) -> Any:
        return respond(error_body(error), error.status, error.headers)

    async def not_found(request: Any, error: Any) -> Any:
        what = {
            404: ("there is no such path here; see /", "unknown_url"),
            405: ("the path has another method; see /", "method_not_allowed"),
        }
        message, code = what.get(error.status_code, (str(error.detail), "http_error"))
        told = RequestError(error.status_code, message, code=code, headers=error.headers)
        return await refuse(request, told)

    async def fail(request: Any, error: Any) -> Any:
        message = "the server failed; its log tells where"
        return await refuse(request, RequestError(500, message, code="server_error"))

    app = Starlette(
        routes=api.routes(),
        exception_handlers={RequestError: refuse, HTTPException: not_found, Exception: fail},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return Observed(app, service)


class Observed:
    """An application around which each request has a number, a line in the log, and is counted.

    Parameters
    ----------
    app : ASGI application
    service : Service
    """

    def __init__(self, app: Any, service: Service) -> None:
        self.app = app
        self.service = service
        self.paths = {route.path for route in app.routes}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, and write its line in the log."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0
        number = uuid.uuid4().hex
        facts: dict[str, Any] = {}
        scope["facts"] = facts

        async def send_and_note(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", number.encode()),
                ]
                if self.service.stopping:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception as error:  # Starlette has sent the response, and raises it again
            log("a request failed", logging.ERROR, error, request=number)
        finally:
            self._note(scope, number, status, time.perf_counter() - start, facts)

    def _note(self, scope: Any, number: str, status: int, seconds: float, facts: Any) -> None:
        route = scope.get("route")
        path = getattr(route, "path", None) or scope["path"]
        path = path if path in self.paths else "other"
        self.service.metrics.request(path, status, seconds)
        quiet = path.startswith("/health") or path == "/metrics"
        log(
            "request",
            logging.DEBUG if quiet else logging.INFO,
            request=number,
            method=scope["method"][:10],
            path=path,
            status=status,
            seconds=round(seconds, 6),
            **facts,
        )


def respond(content: bytes, status: int = 200, headers: Any = None, media: str = JSON) -> Any:
    """A response for Starlette.

    Parameters
    ----------
    content : bytes
    status : int
    headers : mapping, optional
    media : str
        The content type.

    Returns
    -------
    starlette.responses.Response
    """
    from starlette.responses import Response

    return Response(content, status, dict(headers or {}), media_type=media)


def too_large(most: int) -> RequestError:
    """A refusal of a body that is too long."""
    return RequestError(
        413, f"the body has more than {most} bytes; send fewer texts", code="body_too_large"
    )


def _check_headers(request: Any, most: int) -> None:
    """Refuse a body by what its headers say, before it is read."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        message = f"the content type is {kind[:100] or 'missing'}; send {JSON}"
        raise RequestError(415, message, code="unsupported_content_type")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        message = "a compressed body is not taken; send it as it is"
        raise RequestError(415, message, code="unsupported_content_encoding")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 15 or int(length) > most):
        raise too_large(most)


def _watch(request: Any) -> Callable[[], Any]:
    """A coroutine function that ends when the client of a request is gone."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    return disconnected
