"""One engine that embeds texts: python -m benchmarks.corpus_worker ENGINE FOLDER THREADS.

FOLDER has a model, its tokenizer and texts.json, a list of texts. The first line of output, in
JSON, says that the engine is loaded or missing. Then lines "ORDER BATCH STEP" are read: every
STEP-th text is embedded, in batches of BATCH, and the answer has the seconds and the file of the
vectors. A vector is the mean of a text's token vectors, scaled to length 1.

ORDER is "packed" (ours; BATCH is in tokens), "sorted" by length or as they "come" (peers; BATCH is
in texts), or "clocked": as "packed", with the seconds of each part of the work.
"""

import functools
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np

from benchmarks.markdown import is_ours

PARTS = {  # native kernel → part of the work; linear maps with the norms that follow them
    "linear": "linear maps",
    "linears": "linear maps",
    "mlp": "linear maps",
    "attention": "attention",
    "embed": "embeddings",
}

Embed = Callable[[list[str], str, int], np.ndarray]  # texts, order, batch -> (n, D)


def make_rows(folder: Path) -> Callable[[list[str]], list[list[int]]]:
    """A function from texts to rows of token ids, the same rows for every engine."""
    from numpy_erniem import Embedder, ErnieMConfig, ErnieMTokenizer

    model = SimpleNamespace(config=ErnieMConfig.from_pretrained(folder))  # only its length is read
    embedder = Embedder(model, ErnieMTokenizer.from_pretrained(folder))
    return lambda texts: [prepared.rows[0] for prepared in embedder.prepare(texts)]


def ours(engine: str, folder: Path, threads: int) -> Embed:
    """Our Embedder: "native" or "numpy", "native-int8" and the like, or "native-amx"."""
    from benchmarks.engines import choose_amx
    from numpy_erniem import Embedder, ErnieMModel, ErnieMTokenizer
    from numpy_erniem.backend.dispatch import set_num_threads

    backend, _, dtype = engine.partition("-")
    os.environ["NUMPY_ERNIEM_BACKEND"] = backend
    set_num_threads(threads)
    if dtype == "amx":
        choose_amx()
        dtype = ""
    source = folder / dtype if dtype else folder
    model = ErnieMModel.from_pretrained(source, dtype=dtype or None).prepare()
    tokenizer = ErnieMTokenizer.from_pretrained(folder)
    embedder = Embedder(model, tokenizer, pooling="mean", normalize=True)
    return lambda texts, order, batch: embedder(texts, batch_tokens=batch)


def peer(engine: str, folder: Path, threads: int) -> Embed:
    """An engine that takes padded batches; it hides padding by its token."""
    from benchmarks import engines, precision_engines
    from numpy_erniem import ErnieMConfig

    known = engines.ENGINES | precision_engines.ENGINES
    rows_of, forward = make_rows(folder), known[engine](folder, threads)
    padding = ErnieMConfig.from_pretrained(folder).pad_token_id

    def embed(texts: list[str], order: str, batch: int) -> np.ndarray:
        rows = rows_of(texts)
        numbers = list(range(len(rows)))
        if order == "sorted":
            numbers.sort(key=lambda n: -len(rows[n]))
        vectors: list[np.ndarray] = [np.empty(0)] * len(rows)
        for first in range(0, len(rows), batch):
            chosen = numbers[first : first + batch]
            longest = max(len(rows[n]) for n in chosen)
            ids = np.array([rows[n] + [padding] * (longest - len(rows[n])) for n in chosen])
            for n, hidden in zip(chosen, forward(ids), strict=True):
                vectors[n] = hidden[: len(rows[n])].mean(axis=0)  # (T, D) -> (D,)
        stacked = np.stack(vectors)
        return stacked / np.linalg.norm(stacked, axis=1, keepdims=True)

    return embed


def clocked(embed: Embed, texts: list[str], batch: int) -> tuple[np.ndarray, dict[str, float]]:
    """Vectors of our kernels, and the seconds that each part of the work took."""
    from numpy_erniem import Embedder
    from numpy_erniem.backend import native

    seconds: dict[str, float] = defaultdict(float)

    def clock(part: str, function: Callable) -> Callable:
        @functools.wraps(function)
        def run(*args, **kwargs):
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                seconds[part] += time.perf_counter() - start

        return run

    kernels = {name: clock(part, native.KERNELS[name]) for name, part in PARTS.items()}
    tokenizing = mock.patch.object(Embedder, "prepare", clock("tokenizer", Embedder.prepare))
    with tokenizing, mock.patch.dict(native.KERNELS, kernels):
        start = time.perf_counter()
        vectors = embed(texts, "packed", batch)
        whole = time.perf_counter() - start
    return vectors, {**seconds, "rest": whole - sum(seconds.values())}


def main(engine: str, folder: str, threads: str) -> None:
    def answer(**values) -> None:
        print(json.dumps(values), flush=True)

    texts = json.loads(Path(folder, "texts.json").read_text(encoding="utf-8"))
    try:
        embed = (ours if is_ours(engine) else peer)(engine, Path(folder), int(threads))
    except (ImportError, FileNotFoundError) as error:
        return answer(missing=str(error))
    answer(ready=True)
    for line in sys.stdin:
        order, batch, step = line.split()
        chosen, parts = texts[:: int(step)], None
        start = time.perf_counter()
        if order == "clocked":
            vectors, parts = clocked(embed, chosen, int(batch))
        else:
            vectors = embed(chosen, order, int(batch))
        seconds = time.perf_counter() - start
        path = Path(folder, f"{engine}.npy")
        np.save(path, vectors)
        answer(seconds=seconds, file=str(path), parts=parts)


if __name__ == "__main__":
    main(*sys.argv[1:])
