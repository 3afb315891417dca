"""Training steps of one engine: python -m benchmarks.train_worker "ENGINE PRECISION" SIZE THREADS.

It answers each line of its input, after a first answer, with the milliseconds of a step and the
megabytes that its steps so far added to the peak of the process, in JSON.
"""

import json
import sys
import time

from benchmarks import train_step
from benchmarks.worker import peak_kilobytes
from numpy_erniem.training import memory_is_kept


def main(engine: str, size: str, threads: str) -> None:
    def answer(**values) -> None:
        print(json.dumps(values), flush=True)

    which, precision = engine.split()
    if which == "theirs":
        import torch  # noqa: F401 (its libraries are not the step's memory)
    before = peak_kilobytes()
    step, _ = getattr(train_step, which)(size, int(threads), precision)
    answer(ready=True)
    with memory_is_kept():
        for _ in sys.stdin:
            start = time.perf_counter()
            step()
            ms = 1e3 * (time.perf_counter() - start)
            answer(ms=ms, added_mb=(peak_kilobytes() - before) / 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
