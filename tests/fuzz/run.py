"""Mutate the corpus and read the result: only our errors, in one second, in bounded memory.

    nice -n 19 python -m tests.fuzz.run --count 200000 --seed 1

A finding is kept in --found, with its target in its name, and the exit code is 1.
"""

import argparse
import faulthandler
import random
import signal
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections import Counter
from pathlib import Path

from .mutate import mutate
from .targets import TARGETS

ALLOWED = (ValueError, FileNotFoundError)
SECONDS = 1.0  # of this process's time
TIMES_THE_FILE = 10
ALLOWANCE = 16_000_000  # bytes that reading any file may take: what is imported, buffers, messages


class Hang(BaseException):
    """Raised by the timer; no reader can catch it by mistake."""


def expire(*_):
    raise Hang


def attempt(run, path: Path, size: int) -> str | None:
    """Run a target on a file; what is wrong, or None."""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        run(path)
    except ALLOWED:
        pass
    except Hang:
        return "takes more than a second"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    used = tracemalloc.get_traced_memory()[1] - before
    if used > TIMES_THE_FILE * size + ALLOWANCE:
        return f"takes {used} bytes of memory for a file of {size}"
    return None


def fuzz(names, count: int, seed: int, found: Path | None = None, say=None) -> Counter:
    """Try `count` mutations, spread over the targets by their shares; the findings."""
    rng = random.Random(seed)
    shares = [TARGETS[name].share for name in names]
    findings: Counter = Counter()
    others = [TARGETS[name].good() for name in names if TARGETS[name].share >= 0.5] or [b"PK"]
    signal.signal(signal.SIGPROF, expire)
    tracemalloc.start()
    with tempfile.TemporaryDirectory() as top, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paths = {}
        for name in names:
            folder = Path(top, name)
            folder.mkdir()
            paths[name] = TARGETS[name].prepare(folder)
            paths[name].write_bytes(TARGETS[name].good())
            wrong = attempt(TARGETS[name].run, paths[name], 10**9)
            if wrong:
                findings[f"{name}, not mutated: {wrong}"] += 1
        good = {name: TARGETS[name].good() for name in names}
        for n in range(count):
            (name,) = rng.choices(names, shares)
            content = mutate(good[name], rng, others)
            paths[name].write_bytes(content)
            wrong = attempt(TARGETS[name].run, paths[name], len(content))
            if wrong:
                findings[f"{name}: {wrong}"] += 1
                if found is not None and findings[f"{name}: {wrong}"] == 1:
                    found.mkdir(exist_ok=True)
                    (found / f"{name.replace(' ', '_')}-{seed}-{n}").write_bytes(content)
            if say and (n + 1) % 10_000 == 0:
                say(f"{n + 1} of {count}, {sum(findings.values())} findings")
    tracemalloc.stop()
    return findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", action="append", choices=TARGETS)
    parser.add_argument("--found", type=Path)
    options = parser.parse_args()
    faulthandler.enable()
    started = time.monotonic()
    names = options.target or list(TARGETS)
    findings = fuzz(
        names, options.count, options.seed, options.found, lambda s: print(s, flush=True)
    )
    for finding, times in findings.most_common():
        print(f"{times:6} x {finding}")
    print(
        f"{options.count} mutations, {len(findings)} findings, {time.monotonic() - started:.0f} s"
    )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
