"""Number types beside each other: python -m benchmarks --parts precision,large.

Ours and the peers' engines in float32, bfloat16 and int8 compute the same texts. A sentence vector
is the mean of a text's token vectors; its cosine with that of our float32 kernels says how exact an
engine is. Speed and agreement stand in one table, since speed without agreement is nothing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import limits, measuring, precision_engines, tables
from benchmarks.corpus_race import vectors_of
from benchmarks.workers import Worker, progress
from numpy_erniem import ErnieMConfig

Row = dict[str, Any]

ENGINES = "native,native-amx,native-bfloat16,native-int8,openvino,openvino-bfloat16,openvino-int8,"
ENGINES += "openvino-int8-bfloat16,onnxruntime-int8,ctranslate2-int8"
LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
VOCABULARY = 20_480  # of the large model; its size changes no time
AGREEMENT = 32, 64  # texts × tokens whose vectors are compared
LOWEST_COSINE = 0.9  # an engine below it computes something else


def sentence_vectors(hidden: np.ndarray) -> np.ndarray:
    """Means of the token vectors (B, T, D), scaled to length 1: (B, D) float64."""
    means = hidden.mean(axis=1, dtype=np.float64)
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def agreement_rows(workers: list[Worker]) -> Iterator[Row]:
    """Compare each engine with the first one.

    Yields
    ------
    dict
        "engine", "version", "seconds" to the first vectors, "peak_kb" at 8 × 128 tokens, "lowest"
        and "mean" cosine of sentence vectors.

    Raises
    ------
    DifferentError
        An engine gives no vectors, or others than the first one's.
    """
    first = None
    for worker in workers:
        progress(f"{worker.engine}: agreement and memory")
        hidden, got = vectors_of(worker, *AGREEMENT, 0)
        vectors = sentence_vectors(hidden)
        first = vectors if first is None else first
        cosines = np.einsum("bd,bd->b", vectors, first)
        if not cosines.min() >= LOWEST_COSINE:
            raise measuring.DifferentError(
                f"{worker.engine}: a vector has cosine {cosines.min():.4f} with that of "
                f"{workers[0].engine}, less than {LOWEST_COSINE}; nothing was timed"
            )
        _, got = vectors_of(worker, 8, 128, 0)
        yield {
            "engine": worker.engine,
            "version": measuring.version_of(worker.engine.split("-")[0]),
            "seconds": worker.startup,
            "peak_kb": got["peak_kb"],
            "lowest": float(cosines.min()),
            "mean": float(cosines.mean()),
        }


def speed_rows(folder: Path, workers: list[Worker], sizes, rounds: int) -> Iterator[Row]:
    """Times of `measuring.time_by_size`, with the operations of this folder's model as "flops".

    "peaks" has the GOP/s that the kernels of int8 and bfloat16 reach without reading memory.
    """
    config = ErnieMConfig.from_pretrained(folder)
    model = config.num_hidden_layers, config.hidden_size, config.intermediate_size
    peaks = limits.narrow_peaks()
    for row in measuring.time_by_size(workers, sizes, rounds):
        yield {**row, "flops": tables.flops(row["B"], row["T"], *model), "peaks": peaks}


def measure(folder: Path, names: list[str], options, results, suffix: str = "") -> None:
    """Prepare the folder, compare all engines, then time them in turn.

    Parameters
    ----------
    folder : Path
        With a model, and its ONNX export where an engine reads it.
    names : list of str
        The engines; the first one's vectors are the reference.
    options : argparse.Namespace
    results : Results
    suffix : str
        Of the names of both parts, "agreement" and "precision".
    """
    for message in precision_engines.prepare(folder, names):
        progress(f"left out: {message}")
    workers = measuring.start_workers(names, folder, options.threads)
    try:
        results.measure(f"agreement{suffix}", agreement_rows(workers), names)
        if options.sizes:
            rows = speed_rows(folder, workers, options.sizes, options.rounds)
            results.measure(f"precision{suffix}", rows, names)
    finally:
        for worker in workers:
            worker.end()
