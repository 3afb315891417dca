"""Engines at work: a process for each, questions to it, and a machine that does nothing else."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path


class Worker:
    """An engine's process, and a question at a time to it.

    Parameters
    ----------
    engine : str
        A name of `engines.ENGINES`.
    folder : Path
        Of the model.
    threads : int
    """

    def __init__(self, engine: str, folder: Path, threads: int) -> None:
        self.engine = engine
        command = [sys.executable, "-m", "benchmarks.worker", engine, str(folder), str(threads)]
        started = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=installed(os.environ),
        )
        self.ready = self._answer()
        self.startup = time.perf_counter() - started  # seconds, from the start of the process

    def _answer(self) -> dict:
        while line := self.process.stdout.readline():
            try:
                answer = json.loads(line)
            except json.JSONDecodeError:
                continue  # what a library had to say
            if isinstance(answer, dict):
                return answer
        return {"missing": "the process ended"}

    def ask(self, B: int, T: int, n: int) -> dict:
        """Let it run n times on B texts of T tokens.

        Returns
        -------
        dict
            "times", n of them in seconds, and "peak_kb", the largest memory so far; for n = 0 also
            "file", which holds the vectors. Or "missing": why there is no answer.
        """
        try:
            self.process.stdin.write(f"{B} {T} {n}\n")
            self.process.stdin.flush()
        except OSError:
            return {"missing": "the process ended"}
        return self._answer()

    def end(self) -> None:
        """Let the process finish."""
        with contextlib.suppress(OSError):  # where it is gone already
            self.process.stdin.close()
        self.process.wait()


def installed(environment: dict[str, str]) -> dict[str, str]:
    """The environment in which Python keeps compiled modules, as those of an installed package."""
    return {k: v for k, v in environment.items() if k != "PYTHONDONTWRITEBYTECODE"}


def start(engine: str, folder: Path, threads: int, starts: int = 3) -> Worker | None:
    """Start an engine a few times, so that its files are cached; None if it is not there.

    The worker is the last one started; its `startup` is the best of them all.
    """
    best = float("inf")
    for n in range(starts):
        progress(f"{engine}: start {n + 1} of {starts}")
        wait_until_quiet()
        worker = Worker(engine, folder, threads)
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
    """Say on stderr what is being done: one line that is rewritten, or elsewhere a line each."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def wait_until_quiet(patience: float = 3.0) -> None:
    """Wait until the machine does nothing else, or patience (in seconds) is at an end."""
    end = time.perf_counter() + patience
    time.sleep(0.1)  # the threads of whoever ran before fall asleep
    while time.perf_counter() < end and busy_share(0.2) > 0.1:
        pass


def busy_share(seconds: float) -> float:
    """The share of all processor time that is used during so many seconds; 0 where unknown."""
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
