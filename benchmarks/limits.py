"""What this machine can do at best, and how near a single product comes to it."""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from numpy_erniem.backend import native, settings
from numpy_erniem.backend.frozen import freeze
from numpy_erniem.backend.memory import floats
from numpy_erniem.backend.native import lib

Row = dict[str, Any]
ROWS = (1, 8, 128, 512, 1024, 4096)  # of a product


def fastest(run: Callable[[], object], times: int) -> float:
    """Seconds of the fastest of some runs."""
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def peak_rate(kernel: Callable[[int], int]) -> float:
    """G of operations a second, at best, of a kernel that takes rounds and gives operations of one.

    A run takes 20 ms or more: in a shorter one the first thread may do the work of a second that
    has still to wake.
    """
    operations, rounds = kernel(1), 1000
    if operations < 1:
        raise RuntimeError("the kernel did not run: no memory, or no such number type")
    while fastest(functools.partial(kernel, rounds), 1) < 0.02:
        rounds *= 2
    seconds = fastest(functools.partial(kernel, rounds), 8)
    return operations * rounds / seconds / 1e9


def multiply_add_peak() -> float:
    """GFLOP/s of multiply-adds whose operands stay in registers, on all threads."""
    return peak_rate(lib.erniem_multiply_add)


def narrow_peaks() -> dict[str, float]:
    """GOP/s of the int8 and bfloat16 kernels in use, without reading memory, on all threads."""
    kernel, numbers = lib.erniem_multiply_add_narrow, settings.NUMBERS
    return {
        name: peak_rate(functools.partial(kernel, numbers[name])) for name in ("int8", "bfloat16")
    }


def memory_bandwidth() -> float:
    """GB/s of reading 400 MB once, on all threads."""
    x = np.ones(100 << 20, np.float32)
    return x.nbytes / fastest(lambda: lib.erniem_read(x.size, floats(x)), 6) / 1e9


def linear_weights(rng: np.random.Generator, n: int, k: int) -> dict[str, np.ndarray]:
    """A random weight (n, k) with a bias; nothing can change them, so the weight is packed once."""
    weight = rng.standard_normal((n, k), np.float32)
    return {"weight": freeze(weight), "bias": freeze(np.zeros(n, np.float32))}


def linear_rows(sizes: Sequence[int] = ROWS) -> Iterator[Row]:
    """Time products of the base model's sizes; the limits are measured before and after each.

    The weights of twelve layers are used in turn, as in the model, so they are read from memory.
    """
    rng = np.random.default_rng(0)
    for n, k in ((768, 768), (3072, 768), (768, 3072)):
        weights = [linear_weights(rng, n, k) for _ in range(36 if n == k else 12)]
        for m in sizes:
            x = rng.standard_normal((m, k), np.float32)

            def every_weight(x=x, weights=weights):
                for w in weights:
                    native.linear(x, w)

            every_weight()
            peak, bandwidth = multiply_add_peak(), memory_bandwidth()
            seconds = fastest(every_weight, max(3, 2000 // m // 10)) / len(weights)
            peak, bandwidth = max(peak, multiply_add_peak()), max(bandwidth, memory_bandwidth())
            yield {
                **{"m": m, "n": n, "k": k, "seconds": seconds},
                **{"peak": peak, "bandwidth": bandwidth},
            }


def ladder_rows() -> Iterator[Row]:
    """Time the steps of docs/kernels.md on one product: 256 rows, a weight of 3072 × 768."""
    m, n, k = 256, 3072, 768
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((m, k), np.float32), linear_weights(rng, n, k)
    writable = {**w, "weight": w["weight"].copy()}
    y = np.empty((m, n), np.float32)
    threads, strassen = settings.get_num_threads(), settings.get_strassen()
    best = settings.available_isas()[0]

    def step(name: str, run: Callable[[], object], times: int = 10) -> Row:
        return {"rung": name, "gflops": 2 * m * n * k / fastest(run, times) / 1e9}

    def three_loops():
        pointers = floats(x), floats(w["weight"]), floats(w["bias"])
        lib.erniem_linear_reference(m, n, k, *pointers, 0, floats(y))

    try:
        settings.set_num_threads(1)
        settings.set_strassen(False)
        yield step("three loops (sums in double)", three_loops, 1)
        for isa in reversed(settings.available_isas()):
            settings.choose_isa(isa)
            native.linear(x, w)
            yield step(f"packed, {isa} tile", lambda: native.linear(x, w))
        yield step("packed anew for each call", lambda: native.linear(x, writable), 5)
        settings.set_strassen(True)
        yield step("Strassen's algorithm", lambda: native.linear(x, w))
        yield step("with GELU", lambda: native.linear(x, w, "gelu"))
        yield {"rung": "multiply-add peak of one core", "gflops": multiply_add_peak()}
        settings.set_num_threads(threads)
        yield step(f"with GELU, {threads} threads", lambda: native.linear(x, w, "gelu"))
    finally:
        settings.choose_isa(best)
        settings.set_num_threads(threads)
        settings.set_strassen(strassen)
