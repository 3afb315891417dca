"""The server as processes, on uvicorn: a socket, workers, signals."""

import asyncio
import contextlib
import logging
import logging.config
import multiprocessing
import os
import signal
import socket
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from numpy_erniem.backend.cores import available_cores
from numpy_erniem.backend.dispatch import set_num_threads
from numpy_erniem.serving.app import build_app
from numpy_erniem.serving.connections import protocol_of
from numpy_erniem.serving.counts_folder import CountsFolder
from numpy_erniem.serving.logs import log, log_config
from numpy_erniem.serving.metrics import FOLDER_VARIABLE, forget_worker
from numpy_erniem.serving.models import ServedModel
from numpy_erniem.serving.notes import keep_warnings
from numpy_erniem.serving.service import Service
from numpy_erniem.serving.settings import Settings, as_options
from numpy_erniem.serving.sockets import address_of, open_socket

NEEDED = (
    "erniem serve needs starlette, uvicorn and prometheus_client: pip install 'numpy-erniem[serve]'"
)
KEEP_ALIVE = 5  # seconds that a connection may wait for its next request
BACKLOG = 1024
ACCEPTED = 64  # connections at once, before those that are there can be seen to
QUIET = 0.5  # seconds without a connection after which a server that is told to stop does so
RESTART = 1.0  # seconds before a worker that has ended is replaced
Load = Callable[[], list[ServedModel]]


def check_installed() -> None:
    """Raise a ValueError where a package of the extra `serve` is missing."""
    for name in ("starlette", "uvicorn", "prometheus_client"):
        try:
            __import__(name)
        except ImportError:
            raise ValueError(f"{NEEDED} ({name} is missing)") from None


def serve(load: Load, settings: Settings, host: str, port: int, level: str = "info") -> int:
    """Load models and answer requests until SIGTERM or SIGINT.

    Parameters
    ----------
    load : function
        Gives the models; called once, before there are workers.
    settings : Settings
    host : str
    port : int
    level : str
        Of the log.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    ValueError
        A package is missing, the address cannot be used, or a model cannot be loaded.
    """
    with contextlib.ExitStack() as stack:
        if settings.workers > 1:
            if "fork" not in multiprocessing.get_all_start_methods():
                raise ValueError("several workers need a system with fork; leave --workers out")
            folder = CountsFolder()
            stack.callback(folder.leave)
            os.environ[FOLDER_VARIABLE] = folder.path  # before the first import
        check_installed()
        bound = stack.enter_context(open_socket(host, port))
        models = load()
        bound.listen(BACKLOG)
        keep_warnings()
        logging.config.dictConfig(log_config(level))
        if settings.workers > 1:
            return supervise(models, settings, bound, folder)
        run_worker(models, settings, bound, partial(_tell_address, models, settings, bound))
        return 0


def _tell_address(models: list[ServedModel], settings: Settings, bound: socket.socket) -> None:
    """Write to the log where the server is; from then on signals are obeyed."""
    names = [model.name for model in models]
    log("listening", address=address_of(bound), models=names, **as_options(settings))


def run_worker(
    models: list[ServedModel],
    settings: Settings,
    bound: socket.socket,
    on_start: Callable[[], None],
) -> None:
    """Answer requests in this process until it is told to stop.

    Parameters
    ----------
    models : list of ServedModel
    settings : Settings
    bound : socket
    on_start : function
        Called in the event loop when requests are answered.
    """
    import uvicorn

    threads = settings.threads or max(1, available_cores() // settings.workers)
    set_num_threads(threads)
    service = Service(models, settings)
    limits = (settings.timeout, settings.read_timeout, settings.write_timeout)
    config = uvicorn.Config(
        build_app(service),
        http=protocol_of(service),
        ws="none",
        lifespan="on",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=ACCEPTED,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=int(sum(limits)) + 1,
    )
    server = _draining(config, service, on_start)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[bound])
    log("stopped")


def _draining(config: Any, service: Service, on_start: Callable[[], None]) -> Any:
    """A server that refuses requests for a while before it closes connections and its socket.

    Without that, a client that sends a request at the wrong moment would get no response.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            for bound in sockets or ():
                bound.listen(BACKLOG)  # uvicorn has set it to ACCEPTED
            on_start()

        async def shutdown(self, sockets: Any = None) -> None:
            service.stopping = True
            log("stopping")
            now = used = time.monotonic()
            end = now + service.settings.drain
            while now < end and now < used + QUIET and not self.force_exit:
                await asyncio.sleep(0.02)
                now = time.monotonic()
                used = now if self.server_state.connections else used
            await super().shutdown(sockets)

        @contextlib.contextmanager
        def capture_signals(self) -> Any:
            """The same, but a signal that was obeyed does not end the process a second time."""
            before = {
                s: signal.signal(s, self.handle_exit) for s in (signal.SIGINT, signal.SIGTERM)
            }
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    return Server(config)


def supervise(
    models: list[ServedModel], settings: Settings, bound: socket.socket, folder: CountsFolder
) -> int:
    """Answer requests in several processes that share the weights; replace one that ends.

    The workers stop, too, when this process is killed.

    Parameters
    ----------
    models : list of ServedModel
    settings : Settings
    bound : socket
    folder : CountsFolder
        Each worker leaves it when it ends.

    Returns
    -------
    int
        The exit code.
    """
    context: Any = multiprocessing.get_context("fork")
    told: list[int] = []
    pipe = os.pipe()  # nothing is written: its end tells the workers that this process is gone
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda sent, frame: told.append(sent))

    def start() -> Any:
        worker = context.Process(target=_work, args=(models, settings, bound, folder, pipe))
        # A worker that is told to stop before it has handlers of its own gets the signal later.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        with warnings.catch_warnings():  # the kernels and BLAS start new threads after a fork
            warnings.simplefilter("ignore", DeprecationWarning)
            worker.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        log("worker started", worker=worker.pid)
        return worker

    workers = [start() for _ in range(settings.workers)]
    _tell_address(models, settings, bound)
    while not told:
        time.sleep(0.1)
        for n, worker in enumerate(workers):
            if not worker.is_alive() and not told:
                log("worker ended", logging.ERROR, worker=worker.pid, code=worker.exitcode)
                forget_worker(worker.pid)
                time.sleep(RESTART)
                if not told:
                    workers[n] = start()
    bound.close()  # the socket is closed when the workers have closed it, too
    for worker in workers:
        if worker.is_alive():
            worker.terminate()  # SIGTERM, on which it finishes what it has accepted
    for worker in workers:
        worker.join()
    for end in pipe:
        os.close(end)
    log("all workers stopped")
    return 0


def _work(
    models: list[ServedModel],
    settings: Settings,
    bound: socket.socket,
    folder: CountsFolder,
    pipe: tuple[int, int],
) -> None:
    """A worker, in its own process."""
    reading, writing = pipe
    os.close(writing)  # the supervisor alone holds it open
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    try:
        run_worker(models, settings, bound, partial(_stop_at_end_of, reading))
    finally:
        folder.leave()


def _stop_at_end_of(pipe: int) -> None:
    """Stop this process as by SIGTERM when the other end of a pipe is closed."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_reader(pipe)
        log("the supervisor is gone", logging.ERROR)
        signal.raise_signal(signal.SIGTERM)

    loop.add_reader(pipe, stop)
