"""Worker processes: one for each engine, and waiting until the machine is idle."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

STARTS = 3  # of each engine; the shortest one counts
PATIENCE = 3.0  # seconds


class Worker:
    """The process of an engine; it answers one question at a time.

    Parameters
    ----------
    engine : str
        A name of `engines.ENGINES`.
    folder : Path
        The model's folder.
    threads : int
    module : str
        What the process runs; its documentation has the questions and answers.
    """

    def __init__(
        self, engine: str, folder: Path, threads: int, module: str = "benchmarks.worker"
    ) -> None:
        self.engine = engine
        command = [sys.executable, "-m", module, engine, str(folder), str(threads)]
        started = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(os.environ, threads),
        )
        self.ready = self._answer()
        self.startup = time.perf_counter() - started  # seconds, from the start of the process

    def _answer(self) -> dict:
        while line := self.process.stdout.readline():
            try:
                answer = json.loads(line)
            except json.JSONDecodeError:
                continue  # a message of a library
            if isinstance(answer, dict):
                return answer
        return {"missing": "the process ended"}

    def ask(self, *question: str | int) -> dict:
        """Send a question and wait for the answer.

        Parameters
        ----------
        *question : str or int
            For `benchmarks.worker` B, T and n: run the engine n times on B texts of T tokens.

        Returns
        -------
        dict
            "times", n of them in seconds, and "peak_kb", the peak memory so far; for n = 0 "file",
            the path of the vectors, in place of "times". Or "missing": why there is no answer.
        """
        try:
            self.process.stdin.write(" ".join(map(str, question)) + "\n")
            self.process.stdin.flush()
        except OSError:
            return {"missing": "the process ended"}
        return self._answer()

    def end(self) -> None:
        """Let the process finish."""
        with contextlib.suppress(OSError):  # the process has ended already
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def environment(given: Mapping[str, str], threads: int) -> dict[str, str]:
    """Variables of a worker: the number of threads; and, as after an install, Python's cache."""
    kept = {name: value for name, value in given.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}


def start(
    engine: str,
    folder: Path,
    threads: int,
    starts: int | None = None,
    module: str = "benchmarks.worker",
) -> Worker | None:
    """Start an engine a few times (`STARTS`), so its files are cached; None if it is missing.

    The worker is the last one started; its `startup` is the shortest of all starts.
    """
    starts = starts or STARTS
    best = float("inf")
    for n in range(starts):
        progress(f"{engine}: start {n + 1} of {starts}")
        wait_until_quiet()
        worker = Worker(engine, folder, threads, module)
        if "missing" in worker.ready:
            worker.end()
            progress("")
            print(f"({engine} is left out: {worker.ready['missing']})\n", flush=True)
            return None
        best = min(best, worker.startup)
        if n + 1 < starts:
            worker.end()
    worker.startup = best
    return worker


def progress(text: str) -> None:
    """Say on stderr what is being done: on a terminal in one line that is rewritten."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def wait_until_quiet() -> None:
    """Wait until the machine is idle, for at most `PATIENCE` seconds."""
    end = time.perf_counter() + PATIENCE
    time.sleep(0.1)  # until the threads of the engine that ran before sleep
    while time.perf_counter() < end and busy_share(0.2) > 0.1:
        pass


def busy_share(seconds: float) -> float:
    """The share of all processor time that is used during some seconds; 0 if unknown."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0

    def ticks() -> tuple[int, int]:
        fields = [int(x) for x in stat.read_text().splitlines()[0].split()[1:]]
        return fields[3] + fields[4], sum(fields)  # idle and waiting for a disk, all

    before = ticks()
    time.sleep(seconds)
    idle, every = (b - a for a, b in zip(before, ticks(), strict=True))
    return 1 - idle / max(1, every)
