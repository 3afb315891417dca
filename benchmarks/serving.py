"""python -m benchmarks.serving: a server on this machine, asked by clients over 127.0.0.1.

    python -m benchmarks.serving [--model FOLDER] [--clients 32] [--requests 20000] [--json FILE]
        [--document docs/serving.md]

Without --model a model of the size of ERNIE-M base is drawn at random, over the bundled vocabulary.
The vectors of every part are compared with `Embedder`'s before anything is reported. Clients run in
a process of their own, on the cores that the server uses too.
"""

import argparse
import json
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.measuring import DifferentError
from benchmarks.server_process import Server, ask, vectors_of
from benchmarks.serving_tables import fill_in, serving_table
from benchmarks.workers import progress
from numpy_erniem import Embedder, ErnieMConfig, ErnieMModel, ErnieMTokenizer, bundled_checkpoint
from numpy_erniem.backend.dispatch import get_num_threads

Row = dict[str, Any]
WORDS = ("open", "the", "file", "and", "read", "every", "line", "before", "you", "close", "it")
TEXTS = 256  # different ones
WARM = 2000  # requests before memory is read the first time
PARTS = 4  # of the requests after them; memory is read after each
BASE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}


def make_texts() -> list[str]:
    """Texts of 4 to 60 words."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(4, 61, TEXTS)
    return [f"{n} " + " ".join(rng.choice(WORDS, length)) for n, length in enumerate(lengths)]


def make_model(folder: Path) -> None:
    """Save a random model of the base size."""
    tokenizer = ErnieMTokenizer.from_pretrained(bundled_checkpoint())
    config = ErnieMConfig(vocab_size=len(tokenizer), **BASE)
    ErnieMModel(config, seed=0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def run_clients(server: Server, clients: int, count: int) -> tuple[float, list[bytes]]:
    """Let clients send one text at a time, `count` in all; seconds, and a body for each text."""
    texts = make_texts()
    bodies: list[bytes] = [b""] * TEXTS

    def client(first: int) -> None:
        connection = server.connect()
        for n in range(first, count, clients):
            status, body = ask(connection, texts[n % TEXTS])
            assert status == 200, body
            bodies[n % TEXTS] = body
        connection.close()

    threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start, bodies


def in_process(server: Server, clients: int, count: int) -> tuple[float, list[bytes]]:
    """The same in a process of its own, so that clients and this process do not share a GIL."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=lambda: there.send(run_clients(server, clients, count)))
    child.start()
    there.close()
    found: tuple[float, list[bytes]] = here.recv()
    child.join()
    return found


def check(bodies: list[bytes], want: np.ndarray) -> None:
    """Compare the vectors of single texts with the Embedder's, bit by bit."""
    for n, body in enumerate(bodies):
        if body and not np.array_equal(vectors_of(body)[0], want[n]):
            raise DifferentError(f"text {n} has another vector over HTTP; nothing is reported")


def throughput(server: Server, embedder: Embedder, clients: int) -> Iterator[Row]:
    """Single texts of many clients beside all texts in one call, in turn."""
    texts = make_texts()
    want = embedder(texts)
    calls, shares = [], []
    for _ in range(3):
        start = time.perf_counter()
        embedder(texts)
        calls.append(TEXTS / (time.perf_counter() - start))
        seconds, bodies = in_process(server, clients, 2 * TEXTS)
        check(bodies, want)
        shares.append(2 * TEXTS / seconds)
    for name, found in (("one call of Embedder", calls), (f"{clients} clients", shares)):
        yield {"what": f"{name}: texts/s", "best": max(found), "median": median(found)}
    ratio = median(a / b for a, b in zip(shares, calls, strict=True))
    yield {"what": "clients / one call", "median": ratio}


def latency(server: Server, embedder: Embedder) -> Iterator[Row]:
    """What HTTP adds for one client: texts in turn, here and over HTTP."""
    connection = server.connect()
    added, alone = [], []
    for text in make_texts()[:100] * 2:
        start = time.perf_counter()
        want = embedder(text)
        middle = time.perf_counter()
        status, body = ask(connection, text)
        end = time.perf_counter()
        assert status == 200
        if not np.array_equal(vectors_of(body)[0], want):
            raise DifferentError("a text has another vector over HTTP; nothing is reported")
        alone.append(middle - start)
        added.append((end - middle) - (middle - start))
    connection.close()
    yield {
        "what": "Embedder, one text: ms",
        "best": 1e3 * min(alone),
        "median": 1e3 * median(alone),
    }
    yield {"what": "added by HTTP: ms", "best": 1e3 * min(added), "median": 1e3 * median(added)}


def memory(server: Server, clients: int, requests: int) -> Iterator[Row]:
    """Memory and open files of the server after some requests, and after many."""
    done = 0
    for more in (min(WARM, requests), *[requests // PARTS] * PARTS):
        in_process(server, clients, more)
        done += more
        progress(f"{done} requests: {server.resident:.1f} MB")
        yield {"what": f"memory after {done} requests: MB", "median": server.resident}
    yield {"what": "open files after them", "median": server.files}


def stop_under_load(server: Server, clients: int) -> Iterator[Row]:
    """SIGTERM while clients ask; what each saw, beside what the server's log says."""
    texts, seen, done = make_texts(), [], threading.Event()
    before = server.answers()

    def client(first: int) -> None:
        connection, n = server.connect(), first
        while not done.is_set():
            n += 1
            try:
                status: int | str = ask(connection, texts[n % TEXTS])[0]
            except ConnectionRefusedError:
                status = "refused"
            except (OSError, HTTPException) as error:
                status = type(error).__name__
            seen.append(status)
            if status != 200:
                break
        connection.close()

    threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    code = server.stop()
    done.set()
    for thread in threads:
        thread.join()
    logged = server.statuses[before:]
    yield {"what": "stop: exit code", "median": code}
    yield {"what": "stop: 200 in the log", "median": logged.count(200)}
    yield {"what": "stop: 200 at the clients", "median": seen.count(200)}
    others = {str(s): seen.count(s) for s in set(seen) - {200}}
    yield {"what": f"stop: other ends {others}", "median": sum(others.values())}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--model", type=Path, metavar="FOLDER")
    parser.add_argument("--clients", type=int, default=32, metavar="N")
    parser.add_argument("--requests", type=int, default=20_000, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--document", type=Path, metavar="FILE", help="fill <!-- serving --> in it")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.model or Path(temporary)
        if options.model is None:
            progress("drawing a model")
            make_model(folder)
        embedder, server = Embedder.from_pretrained(folder), Server(folder)
        try:
            for name, found in (
                ("throughput", throughput(server, embedder, options.clients)),
                ("latency", latency(server, embedder)),
                ("memory", memory(server, options.clients, options.requests)),
                ("a stop under load", stop_under_load(server, options.clients)),
            ):
                progress(name)
                rows += found
        finally:
            if server.process.poll() is None:
                os.kill(server.process.pid, signal.SIGKILL)
    part = {"machine": machine.setup(machine.record()["name"], get_num_threads()), "rows": rows}
    print(serving_table(part))
    if options.document:
        text = options.document.read_text(encoding="utf-8")
        options.document.write_text(fill_in(text, part), encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
