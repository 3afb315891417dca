"""One engine in a process of its own: python -m benchmarks.worker ENGINE FOLDER THREADS.

Its first line of output, in JSON, says that the first vectors are computed, or that the engine is
missing. Then it reads lines "B T N", runs N times on B texts of T tokens (the same ids for every
engine), and answers with the times in seconds and the peak memory so far. "B T 0" writes the
vectors to a file instead.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

WARMED = 8192  # tokens; larger batches run without a pass to warm up, as one pass takes seconds


def peak_kilobytes() -> int:
    """Peak resident memory of this process; getrusage would include the parent's before exec."""
    status = Path("/proc/self/status")
    return int(status.read_text().split("VmHWM:")[1].split()[0]) if status.exists() else 0


def main(engine: str, folder: str, threads: str) -> None:
    from benchmarks import engines, precision_engines

    known = engines.ENGINES | precision_engines.ENGINES

    def answer(**values) -> None:
        print(json.dumps(values), flush=True)

    try:
        forward = known[engine](Path(folder), int(threads))
    except (ImportError, FileNotFoundError) as error:
        return answer(missing=str(error))
    forward(np.full((1, 8), 5))
    answer(peak_kb=peak_kilobytes())

    warm = None
    for line in sys.stdin:
        B, T, n = map(int, line.split())
        ids = np.random.default_rng(B * 1000 + T).integers(3, 20_000, (B, T))
        if n == 0:
            path = Path(folder) / f"{engine}.npy"
            np.save(path, forward(ids))
            answer(file=str(path), peak_kb=peak_kilobytes())
            continue
        if warm != (B, T) and B * T <= WARMED:
            forward(ids)
            warm = B, T
        times = []
        for _ in range(n):
            start = time.perf_counter()
            forward(ids)
            times.append(time.perf_counter() - start)
        answer(times=times, peak_kb=peak_kilobytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
