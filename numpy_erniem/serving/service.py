"""From the body of a request to the body of its response; knows no web framework."""

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from numpy_erniem.serving.batching import stopping
from numpy_erniem.serving.endpoint import Endpoint, as_json
from numpy_erniem.serving.errors import RequestError, busy, gone
from numpy_erniem.serving.jobs import Job
from numpy_erniem.serving.logs import log
from numpy_erniem.serving.metrics import Metrics
from numpy_erniem.serving.models import ServedModel
from numpy_erniem.serving.reading import read_request
from numpy_erniem.serving.settings import Settings

SHORT = 64_000  # bytes of a body that is read in the event loop; a longer one, in a thread
FEW = 8  # results that are written in the event loop; more, in a thread
Facts = dict[str, Any]  # what the log tells about a request


class Service:
    """The models of a server, and what it does with a request.

    Parameters
    ----------
    models : iterable of ServedModel
    settings : Settings
    """

    def __init__(self, models: Iterable[ServedModel], settings: Settings) -> None:
        self.models = {model.name: model for model in models}
        self.settings = settings
        self.metrics = Metrics()
        self.keys = [hashlib.sha256(key).digest() for key in settings.keys]
        self.open = 0  # requests that are read, wait or run
        self.held = 0  # bytes of their bodies
        self.stopping = False

    def start(self) -> None:
        """Start the threads of the models."""
        for model in self.models.values():
            observe = self._observer(model.name)
            runner = model.start(self.settings, observe)
            self.metrics.waiting.labels(model.name).set(runner.waiting)

    def _observer(self, name: str) -> Callable[[int, int, float], None]:
        return lambda texts, tokens, seconds: self.metrics.batch(name, texts, tokens, seconds)

    def stop(self) -> None:
        """Finish what runs, and end the threads."""
        self.stopping = True
        for model in self.models.values():
            if model.runner is not None:
                model.runner.stop()

    def health(self) -> Facts:
        """Whether the process lives, and whether it takes requests."""
        runs = all(
            model.runner is not None and model.runner.alive for model in self.models.values()
        )
        ready = runs and not self.stopping
        return {"status": "ok" if ready else "unavailable", "live": True, "ready": ready}

    def list_models(self) -> Facts:
        """What /v1/models gives."""
        return {"object": "list", "data": [m.describe() for m in self.models.values()]}

    def authorize(self, header: str | None) -> None:
        """Check the key of a request.

        Every key is compared, in a time that does not depend on where it differs.

        Raises
        ------
        RequestError
            There is no key, or it is not one of the server's.
        """
        if not self.keys:
            return
        challenge = {"WWW-Authenticate": "Bearer"}
        scheme, _, key = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            message = "no API key; send it in the header Authorization: Bearer KEY"
            raise RequestError(401, message, code="invalid_api_key", headers=challenge)
        given = hashlib.sha256(key.strip().encode("utf-8", "replace")).digest()
        if not sum(hmac.compare_digest(given, known) for known in self.keys):
            message = "the API key is not one of this server"
            raise RequestError(401, message, code="invalid_api_key", headers=challenge)

    def enter(self) -> None:
        """Count a request that is open from now on.

        Raises
        ------
        RequestError
            There are too many, or the server stops.
        """
        if self.stopping:
            raise stopping()
        if self.open >= self.settings.max_requests:
            raise busy(f"{self.open} requests are open already; try again later")
        self.open += 1

    def leave(self, held: int) -> None:
        """Count a request that has its response, and the bytes of its body."""
        self.open -= 1
        self.held -= held

    def hold(self, size: int) -> None:
        """Count bytes of a body.

        Raises
        ------
        RequestError
            The bodies of all requests are too large together.
        """
        if self.held + size > 8 * self.settings.max_body:
            raise busy("the requests that are open are too large together; try again later")
        self.held += size

    async def answer(
        self,
        endpoint: Endpoint,
        content: bytes,
        disconnected: Callable[[], Awaitable[None]],
        facts: Facts,
    ) -> bytes:
        """The body of the response to a request.

        Parameters
        ----------
        endpoint : Endpoint
        content : bytes
            The body of the request.
        disconnected : function
            A coroutine that ends when the client is gone.
        facts : dict
            Takes what the log tells of the request.

        Returns
        -------
        bytes
            JSON.

        Raises
        ------
        RequestError
            The request is wrong, there is no room for it, or no time.
        """
        read = partial(read_request, endpoint, content, self.models, self.settings)
        loop = asyncio.get_running_loop()  # a long body is read in a thread; others are answered
        request = read() if len(content) <= SHORT else await loop.run_in_executor(None, read)
        done = loop.create_future()
        job = Job(request.task, request.items, request.key, request.places, _setter(loop, done))
        facts |= {"model": request.model.name, "texts": len(job.items)}
        await self._run(job, request.model, done, disconnected)
        facts |= {"tokens": sum(job.tokens)}
        reply = partial(endpoint.reply, request.body, job, request.model.name)
        return reply() if len(job.results) <= FEW else await loop.run_in_executor(None, reply)

    async def _run(
        self,
        job: Job,
        model: ServedModel,
        done: "asyncio.Future[None]",
        disconnected: Callable[[], Awaitable[None]],
    ) -> None:
        """Let a job run; a RequestError where it fails, is late, or its client is gone."""
        runner = model.runner
        if runner is None or not runner.alive:
            raise RequestError(503, "the model does not run", code="unavailable")
        runner.submit(job)
        self.metrics.waiting.labels(model.name).set(runner.waiting)
        left = asyncio.ensure_future(disconnected())
        try:
            await asyncio.wait(
                {done, left}, timeout=self.settings.timeout, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            left.cancel()
            if not done.done():
                runner.cancel(job)
            self.metrics.waiting.labels(model.name).set(runner.waiting)
        if done.done():
            self._raise_error(job)
        elif left.done() and not left.cancelled():
            raise gone()
        elif not job.taken:
            raise RequestError(
                503,
                f"no model had time for the request within {self.settings.timeout:g} seconds",
                code="overloaded",
                headers={"Retry-After": "1"},
            )
        else:
            raise RequestError(
                504,
                f"the request takes more than {self.settings.timeout:g} seconds; send fewer texts",
                code="timeout",
            )

    def _raise_error(self, job: Job) -> None:
        if isinstance(job.error, RequestError):
            raise job.error
        if job.error is not None:
            log("a model failed", 40, job.error)
            raise RequestError(
                500, "the model failed; the server's log tells where", code="server_error"
            )


def _setter(loop: asyncio.AbstractEventLoop, done: "asyncio.Future[None]") -> Callable[[Job], None]:
    """What a runner calls, in its own thread, when a job is over."""

    def finish() -> None:
        if not done.done():
            done.set_result(None)

    def tell(job: Job) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(finish)

    return tell


def error_body(error: RequestError) -> bytes:
    """The body of a response that tells an error."""
    return as_json(error.body())
