"""python -m benchmarks: this machine's table, ours beside every peer that is installed.

    python -m benchmarks [--folder F] [--engines native,torch,...] [--sizes 1x8,8x128,...]
                         [--threads N] [--rounds N] [--linear | --ladder]

Each engine runs in a process of its own; they take turns, round by round, so that whatever else
the machine does meets all alike. Before anything is timed their outputs are compared.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

SIZES = "1x8,1x16,1x128,8x128,32x128,1x512,8x512"
LAYERS, D, F = 12, 768, 3072


def flops(B: int, T: int) -> int:
    """Operations of the linear layers and of attention; two per multiply-add."""
    return 2 * B * T * LAYERS * (4 * D * D + 2 * D * F + 2 * T * D)


class Worker:
    """An engine's process, and a question at a time to it."""

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
        )
        self.ready = self.read()
        self.startup = time.perf_counter() - started

    def read(self) -> dict | list:
        """Its next answer."""
        while line := self.process.stdout.readline():
            try:
                return json.loads(line)
            except json.JSONDecodeError:
                continue  # what a library had to say
        return {"missing": "the process ended"}

    def ask(self, B: int, T: int, n: int) -> dict | list:
        """Times of n runs on B texts of T tokens, or for n = 0 the file with the vectors."""
        self.process.stdin.write(f"{B} {T} {n}\n")
        self.process.stdin.flush()
        return self.read()

    def end(self) -> None:
        """Let the process finish."""
        self.process.stdin.close()
        self.process.wait()


def start(engines: list[str], folder: Path, threads: int) -> list[Worker]:
    """Start the engines that are there; print how long each took to its first vectors."""
    workers = []
    for engine in engines:
        Worker(engine, folder, threads).end()  # once for the pages: what is timed finds them cached
        worker = Worker(engine, folder, threads)
        if "missing" in worker.ready:
            print(f"({engine} is left out: {worker.ready['missing']})")
            worker.end()
        else:
            workers.append(worker)
    return workers


def verify(workers: list[Worker]) -> None:
    """Compare all outputs with the first engine's, at 8 × 128; print start-up and memory."""
    print(
        "| engine | start to first vectors, s | peak memory at 8 × 128, MB | largest difference |"
    )
    print("|---|---|---|---|")
    first = None
    for worker in workers:
        got = worker.ask(8, 128, 0)
        values = np.load(got["file"])
        first = values if first is None else first
        difference = np.abs(values - first).max()
        print(
            f"| {worker.engine} | {worker.startup:.2f} | {got['peak_kb'] / 1024:.0f} "
            f"| {difference:.1e} |",
            flush=True,
        )
        if not difference <= 1e-4:
            sys.exit(f"{worker.engine} computes something else; nothing was timed")
        Path(got["file"]).unlink()


def measure(workers: list[Worker], sizes: list[tuple[int, int]], rounds: int) -> None:
    """Print one row per size: best (median) milliseconds of each engine, and our lead."""
    names = [worker.engine for worker in workers]
    print("| batch × tokens |", " | ".join(names), "| native, GFLOP/s | lead |")
    print("|---" * (len(names) + 3) + "|")
    for B, T in sizes:
        runs = max(1, min(10, int(60e9 / flops(B, T))))
        times: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(rounds):
            for worker in workers:
                wait_until_quiet()
                times[worker.engine] += worker.ask(B, T, runs)
        best = {name: min(t) for name, t in times.items()}
        middle = {name: median(t) for name, t in times.items()}
        cells = [f"{best[n] * 1e3:.1f} ({middle[n] * 1e3:.1f})" for n in names]
        rate = lead = ""
        if "native" in best:
            rate = f"{flops(B, T) / best['native'] / 1e9:.0f}"
        peers = [n for n in names if n not in ("native", "numpy")]
        if rate and peers:
            lead = f"{min(best[n] for n in peers) / best['native']:.2f}"
            lead += f" ({min(middle[n] for n in peers) / middle['native']:.2f})"
        print(f"| {B} × {T} |", " | ".join(cells), f"| {rate} | {lead} |", flush=True)


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


def machine() -> str:
    """One line on the processor, the software and the day."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = f"{len(lines)} × {lines[0].split(':')[1].strip()}" if lines else cpu
    software = f"Python {platform.python_version()}, NumPy {np.__version__}"
    return f"{cpu}; {platform.system()}, {software}; {time.strftime('%Y-%m-%d')}"


def main() -> None:
    from benchmarks import engines, limits
    from numpy_erniem import native

    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--folder", type=Path, help="keep the random model here for the next time")
    parser.add_argument("--engines", default="native,numpy,torch,onnxruntime,openvino")
    parser.add_argument("--sizes", default=SIZES)
    parser.add_argument("--threads", type=int, default=native.default_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--linear", action="store_true", help="products alone, beside the limits")
    parser.add_argument("--ladder", action="store_true", help="the rungs of docs/kernels.md")
    options = parser.parse_args()

    native.set_num_threads(options.threads)
    print(f"{machine()}; {options.threads} threads; {native.description()}\n")
    print(
        f"multiply-add peak {limits.multiply_add_peak():.0f} GFLOP/s, "
        f"reading memory {limits.memory_bandwidth():.1f} GB/s\n",
        flush=True,
    )
    if options.linear or options.ladder:
        limits.linear_alone() if options.linear else limits.ladder()
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        if not (folder / "config.json").exists():
            engines.make_folder(folder)
        workers = start(options.engines.split(","), folder, options.threads)
        verify(workers)
        print("\nbest (median) milliseconds\n")
        sizes = [tuple(map(int, size.split("x"))) for size in options.sizes.split(",")]
        measure(workers, sizes, options.rounds)
        for worker in workers:
            worker.end()
    print(f"\nafterwards: peak {limits.multiply_add_peak():.0f} GFLOP/s")


if __name__ == "__main__":
    main()
