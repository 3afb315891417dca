"""Small models with random heads in a service, and clients that ask it without a socket."""

import asyncio
import json
import os
import signal
import subprocess
import sys

import pytest

from numpy_erniem import (
    ErnieMConfig,
    ErnieMForInformationExtraction,
    ErnieMForQuestionAnswering,
    ErnieMForSequenceClassification,
    ErnieMForTokenClassification,
    ErnieMTokenizer,
    bundled_checkpoint,
)
from numpy_erniem.serving.app import build_app
from numpy_erniem.serving.embeddings import TokenEmbedder
from numpy_erniem.serving.models import PIPELINES, ServedModel
from numpy_erniem.serving.service import Service
from numpy_erniem.serving.settings import Settings
from tests.conftest import REPOSITORY

SIZES = {
    "hidden_size": 12,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "intermediate_size": 37,
    "initializer_range": 1.0,  # large weights, so that scores differ
    "max_position_embeddings": 34,  # 32 tokens
}
HEADS = {
    "rank": (ErnieMForSequenceClassification, ("rerank", "classify"), ["score"]),
    "labels": (ErnieMForSequenceClassification, ("classify",), ["a", "b", "c"]),
    "entities": (ErnieMForTokenClassification, ("tag",), ["O", "B-PER", "I-PER"]),
    "answers": (ErnieMForQuestionAnswering, ("answer",), ["a", "b"]),
    "spans": (ErnieMForInformationExtraction, ("extract",), ["a", "b"]),
}


@pytest.fixture(scope="session", autouse=True)
def packages():
    """Skip where the packages of the extra `serve`, or the client of the tests, are missing."""
    for package in ("starlette", "uvicorn", "prometheus_client", "httpx"):
        pytest.importorskip(package)


@pytest.fixture(scope="session")
def tokenizer():
    return ErnieMTokenizer.from_pretrained(bundled_checkpoint())


@pytest.fixture(scope="session")
def embedder():
    return TokenEmbedder.from_pretrained()


@pytest.fixture(scope="session")
def model_of(tokenizer):
    """Make the model of a name in HEADS."""

    def make(name):
        kind, _, labels = HEADS[name]
        config = ErnieMConfig(vocab_size=len(tokenizer), id2label=dict(enumerate(labels)), **SIZES)
        return kind(config, seed=1)

    return make


@pytest.fixture(scope="session")
def pipelines_of(model_of, tokenizer):
    """The pipelines of a name in HEADS, by task."""

    def make(name):
        model = model_of(name)
        return {task: PIPELINES[task](model, tokenizer) for task in HEADS[name][1]}

    return make


class Client:
    """Asks an application, without a socket."""

    def __init__(self, app):
        self.app = app

    def request(self, method, path, **options):
        import httpx

        async def ask():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body, **options):
        return self.request("POST", path, json=body, **options)


@pytest.fixture
def started():
    """Start a service of models; stopped after the test."""
    services = []

    def start(*models, **settings):
        service = Service(models, Settings(**settings))
        service.start()
        services.append(service)
        return service

    yield start
    for service in services:
        service.stop()


@pytest.fixture
def serve(started, embedder, pipelines_of):
    """A client of a server with the bundled checkpoint and the named heads."""

    def make(*heads, **settings):
        models = [ServedModel("bundled", {"embeddings": embedder})]
        models += [ServedModel(name, pipelines_of(name)) for name in heads]
        service = started(*models, **settings)
        client = Client(build_app(service))
        client.service = service
        return client

    return make


class Process:
    """A server in its own process."""

    def __init__(self, *arguments, environment=()):
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **dict(environment)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "numpy_erniem", "serve", "--port", "0", *arguments],
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        self.lines = []
        self.url = self.wait_for("listening")["address"]

    def wait_for(self, event):
        """Read the log as far as the line of an event."""
        for line in self.process.stderr:
            if line.startswith("{"):
                self.lines.append(json.loads(line))
                if self.lines[-1]["event"] == event:
                    return self.lines[-1]
        raise AssertionError(f"the server ended before {event!r}: {self.lines}")

    def stop(self):
        """End the server by SIGTERM; the exit code, and the lines of its log."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            _, rest = self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.lines += [json.loads(line) for line in rest.splitlines() if line.startswith("{")]
        return self.process.returncode, self.lines


@pytest.fixture
def process():
    """Start a server on a free port of 127.0.0.1."""
    processes = []

    def start(*arguments, **options):
        processes.append(Process(*map(str, arguments), **options))
        return processes[-1]

    yield start
    for one in processes:
        if one.process.poll() is None:
            one.stop()
        one.process.stderr.close()
