"""What a server counts, for Prometheus."""

import os
from typing import Any

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # of prometheus_client: where workers share counts
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


class Metrics:
    """Counts of requests, batches and waiting texts.

    Where the environment variable PROMETHEUS_MULTIPROC_DIR names a folder, the counts are those of
    all workers.
    """

    def __init__(self) -> None:
        import prometheus_client as client
        from prometheus_client import multiprocess

        self.registry: Any = client.CollectorRegistry()
        self.requests = client.Counter(
            "erniem_requests",
            "Requests by path and status",
            ["path", "status"],
            registry=self.registry,
        )
        self.seconds = client.Histogram(
            "erniem_request_seconds",
            "From a request's first line to the end of its response",
            ["path"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.closed = client.Counter(
            "erniem_closed_connections",
            "Connections that were closed because the client did nothing",
            ["reason"],
            registry=self.registry,
        )
        self.texts = client.Histogram(
            "erniem_batch_texts",
            "Texts of a batch",
            ["model"],
            buckets=SIZES,
            registry=self.registry,
        )
        self.tokens = client.Counter(
            "erniem_tokens", "Tokens that a model has read", ["model"], registry=self.registry
        )
        self.running = client.Counter(
            "erniem_batch_seconds", "Time in which a model ran", ["model"], registry=self.registry
        )
        self.waiting = client.Gauge(
            "erniem_waiting_texts",
            "Texts that no batch has taken",
            ["model"],
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.shown = self.registry
        if os.environ.get(FOLDER_VARIABLE):
            self.shown = client.CollectorRegistry()
            multiprocess.MultiProcessCollector(self.shown)
        else:
            client.ProcessCollector(registry=self.registry)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request.

        Parameters
        ----------
        path : str
            Of a route, without a query.
        status : int
            Of the response.
        seconds : float
            How long it took.
        """
        self.requests.labels(path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    def batch(self, model: str, texts: int, tokens: int, seconds: float) -> None:
        """Count a batch.

        Parameters
        ----------
        model : str
            Its name.
        texts, tokens : int
            Of the batch.
        seconds : float
            How long the model ran.
        """
        self.texts.labels(model).observe(texts)
        self.tokens.labels(model).inc(tokens)
        self.running.labels(model).inc(seconds)

    def page(self) -> tuple[bytes, str]:
        """The text for Prometheus, and its media type."""
        from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self.shown), CONTENT_TYPE_LATEST


def forget_worker(pid: int) -> None:
    """Leave the waiting texts of a worker that has ended out of the counts."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(pid)
