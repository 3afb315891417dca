"""The engines beside each other on a corpus: compared, then timed in turn."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks import limits, measuring, tables
from benchmarks.corpus_worker import make_rows
from benchmarks.markdown import is_ours, type_of
from benchmarks.workers import Worker, progress, start, wait_until_quiet
from numpy_erniem import ErnieMConfig

Row = dict[str, Any]

COMPARED = 32  # texts that every contestant embeds before anything is timed
LIMITS = {  # the largest difference from the first engine's vectors, and the smallest cosine
    "float32": (1e-4, 0.99999),
    "bfloat16": (2.0, 0.99),
    "int8": (2.0, 0.9),
}
SLOW = 2.0  # times the fastest run: batches with which an engine is not timed in later rounds


class Contestant(NamedTuple):
    """An engine with batches of one kind.

    Attributes
    ----------
    engine : str
    order : {"packed", "come", "sorted"}
        Ours are packed; of the peers, texts are taken as they come or sorted by length.
    batch : int
        In tokens if packed, else in texts.
    """

    engine: str
    order: str
    batch: int


def vectors_of(worker: Worker, *question: str | int) -> tuple[np.ndarray, Row]:
    """The vectors that a worker computes, and its answer.

    Raises
    ------
    DifferentError
        There are no vectors.
    """
    got = worker.ask(*question)
    if "missing" in got:
        raise measuring.DifferentError(f"{worker.engine} gave no vectors: {got['missing']}")
    path = Path(got["file"])
    vectors = np.load(path)
    path.unlink()
    return vectors, got


def compare_vectors(who: Contestant, vectors: np.ndarray, first: np.ndarray) -> Row:
    """The largest difference from the first engine's vectors, and the smallest cosine with them.

    Raises
    ------
    DifferentError
        They differ too much, or in shape.
    """
    name = f"{who.engine} ({who.order}, {who.batch})"
    if vectors.shape != first.shape:
        raise measuring.DifferentError(f"{name}: shape {vectors.shape}, not {first.shape}")
    difference = float(np.abs(vectors - first).max())
    cosines = np.einsum("nd,nd->n", vectors, first, dtype=np.float64)
    cosine = float(cosines.min())
    most, least = LIMITS[type_of(who.engine)]
    if not (difference <= most and cosine >= least):
        raise measuring.DifferentError(
            f"{name}: vectors differ by {difference:.1e} from those of the first engine (at most "
            f"{most}), cosine {cosine:.6f} (at least {least})"
        )
    return {"difference": difference, "cosine": cosine, "mean_cosine": float(cosines.mean())}


class Race:
    """The contestants, the workers that run them, and what was measured so far.

    Parameters
    ----------
    workers : dict of str to Worker
    contestants : list of Contestant
        Those without a worker are left out. The vectors of the first are the reference; a peer
        whose vectors are missing or differ is not timed, and `refused` says why.
    """

    def __init__(self, workers: dict[str, Worker], contestants: list[Contestant]) -> None:
        self.workers = workers
        self.contestants = [who for who in contestants if who.engine in workers]
        self.seconds: dict[Contestant, list[float]] = {who: [] for who in self.contestants}
        self.compared: dict[Contestant, Row] = {}
        self.refused: dict[Contestant, str] = {}
        self.first: dict[int, np.ndarray] = {}  # the first contestant's vectors of every n-th text
        self.peak = self.bandwidth = 0.0

    def compare(self, n: int) -> None:
        """Compare the vectors of a sample of n texts, before anything is timed."""
        for who in self.contestants:
            progress(f"comparing {who.engine}, {who.order}, {who.batch}")
            self.one_run(who, max(1, n // COMPARED))

    def one_run(self, who: Contestant, step: int) -> float | None:
        """The seconds of a run over every step-th text; None for a peer that is refused.

        Raises
        ------
        DifferentError
            Our vectors, or those of the first contestant, are missing or differ.
        """
        try:
            vectors, got = vectors_of(self.workers[who.engine], who.order, who.batch, step)
            first = self.first.setdefault(step, vectors)
            self.compared[who] = compare_vectors(who, vectors, first)
        except measuring.DifferentError as error:
            if who == self.contestants[0] or is_ours(who.engine):
                raise
            progress(f"not timed: {error}")
            self.refused[who] = str(error)
            return None
        return got["seconds"]

    def run(self, rounds: int) -> None:
        """Time all contestants in turn, and compare the vectors of every timed run, too."""
        running = [who for who in self.contestants if who not in self.refused]
        for n in range(rounds):
            self.measure_limits()
            for who in running:
                progress(f"round {n + 1} of {rounds}: {who.engine}, {who.order}, {who.batch}")
                wait_until_quiet()
                seconds = self.one_run(who, 1)
                if seconds is not None:
                    self.seconds[who].append(seconds)
            self.measure_limits()
            running = self.not_slow()

    def not_slow(self) -> list[Contestant]:
        """Who is timed in the next round: the best of each engine, and all that are not slow."""
        timed = [who for who in self.contestants if who not in self.refused]
        best = {who: min(self.seconds[who]) for who in timed}
        of_engine = {
            who.engine: min(best[w] for w in timed if w.engine == who.engine) for who in timed
        }
        most = SLOW * min(best.values())
        return [who for who in best if best[who] <= max(most, of_engine[who.engine])]

    def measure_limits(self) -> None:
        """Measure the machine; the best of all rounds are its limits."""
        self.peak = max(self.peak, limits.multiply_add_peak())
        self.bandwidth = max(self.bandwidth, limits.memory_bandwidth())

    def parts(self, who: Contestant) -> dict[str, float]:
        """Seconds of each part of our work, in a run of its own."""
        progress(f"{who.engine}, {who.order}, {who.batch}, with clocks")
        return vectors_of(self.workers[who.engine], "clocked", who.batch, 1)[1]["parts"]


def corpus_rows(
    folder: Path, texts: list[str], contestants: list[Contestant], threads: int, rounds: int
) -> Iterator[Row]:
    """Compare, then time every contestant on a corpus.

    Parameters
    ----------
    folder : Path
        From `benchmarks.corpus.prepare_folder`.
    texts : list of str
        The same as there.
    contestants : list of Contestant
    threads, rounds : int

    Yields
    ------
    dict
        "engine", "order", "batch"; "texts", "tokens" (real ones), "lengths" (of the shortest, the
        middle and the longest text), "flops", of which "linear_flops" are of the linear maps;
        "runs", "best" and "median" in seconds; "difference", "cosine" (smallest) and
        "mean_cosine"; "peak" and "bandwidth". A row of ours in C also has "parts": seconds by part
        of the work. A peer that was refused has "engine", "order", "batch", and "refused", which
        says why.

    Raises
    ------
    DifferentError
        Our vectors, or those of the first contestant, are missing or differ.
    """
    config = ErnieMConfig.from_pretrained(folder)
    lengths = [len(row) for row in make_rows(folder)(texts)]
    sizes = config.num_hidden_layers, config.hidden_size, config.intermediate_size
    work = {
        "flops": sum(tables.flops(1, T, *sizes) for T in lengths),
        "linear_flops": tables.linear_flops(sum(lengths), *sizes),
    }
    workers = {}
    try:
        for name in dict.fromkeys(who.engine for who in contestants):
            if worker := start(name, folder, threads, 1, "benchmarks.corpus_worker"):
                workers[name] = worker
        race = Race(workers, contestants)
        if not race.contestants:
            raise measuring.DifferentError("no engine could be started; nothing was timed")
        race.compare(len(texts))
        race.run(rounds)
        parts = {
            who: race.parts(who) for who in race.contestants if who.engine.startswith("native")
        }
    finally:
        for worker in workers.values():
            worker.end()
    for who, seconds in race.seconds.items():
        if who in race.refused:
            yield {**who._asdict(), "refused": race.refused[who]}
            continue
        yield {
            **who._asdict(),
            **{"texts": len(texts), "tokens": sum(lengths), **work},
            "lengths": [min(lengths), median(lengths), max(lengths)],
            **{"runs": len(seconds), "best": min(seconds), "median": median(seconds)},
            **{**race.compared[who], "peak": race.peak, "bandwidth": race.bandwidth},
            **({"parts": parts[who]} if who in parts else {}),
        }
