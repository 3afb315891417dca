"""One engine in a process of its own: python -m benchmarks.worker ENGINE FOLDER THREADS.

Reads lines "B T N" and answers with a JSON list of N times in seconds; B texts of T tokens, the
same ids for every engine. "B T 0" answers with the vectors' file instead, to compare them.
"""

import json
import os
import sys
import time
from pathlib import Path


def peak_kilobytes() -> int:
    """Largest resident memory of this process; getrusage would count the parent's before exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def main(engine: str, folder: str, threads: str) -> None:
    os.environ.update(OMP_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads)
    started = time.perf_counter()
    import numpy as np

    from benchmarks.engines import ENGINES

    def answer(value) -> None:
        print(json.dumps(value), flush=True)

    try:
        forward = ENGINES[engine](Path(folder), int(threads))
    except ImportError as error:
        return answer({"missing": str(error)})
    forward(np.full((1, 8), 5))
    answer({"seconds": time.perf_counter() - started})

    for line in sys.stdin:
        B, T, n = map(int, line.split())
        ids = np.random.default_rng(B * 1000 + T).integers(3, 20_000, (B, T))
        result = forward(ids)  # also warms up
        if n == 0:
            path = Path(folder) / f"{engine}.npy"
            np.save(path, result)
            answer({"file": str(path), "peak_kb": peak_kilobytes()})
            continue
        times = []
        for _ in range(n):
            start = time.perf_counter()
            forward(ids)
            times.append(time.perf_counter() - start)
        answer(times)


if __name__ == "__main__":
    main(*sys.argv[1:])
