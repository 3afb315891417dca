"""What this machine can do at best, and how near a single product comes to it."""

import time
from collections.abc import Callable

import numpy as np

from numpy_erniem.backend import native, settings
from numpy_erniem.backend.frozen import freeze
from numpy_erniem.backend.memory import floats
from numpy_erniem.backend.native import lib


def fastest(run: Callable[[], object], times: int) -> float:
    """Seconds of the fastest of some runs."""
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def multiply_add_peak() -> float:
    """GFLOP/s of multiply-adds that never leave the registers, on all threads."""
    rounds = 400_000
    operations = lib.erniem_multiply_add(rounds) * rounds
    return operations / fastest(lambda: lib.erniem_multiply_add(rounds), 8) / 1e9


def memory_bandwidth() -> float:
    """GB/s of reading 400 MB once, on all threads."""
    x = np.ones(100 << 20, np.float32)
    return x.nbytes / fastest(lambda: lib.erniem_read(x.size, floats(x)), 6) / 1e9


def linear_alone() -> None:
    """Print products of the base model's sizes beside the limit, measured just before and after.

    The weights of twelve layers take turns, as in the model, so that they come from memory.
    """
    print("| rows | weight | µs | GFLOP/s | of the peak | GB/s | of the bandwidth |")
    print("|---|---|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for n, k in ((768, 768), (3072, 768), (768, 3072)):
        weights = [linear_weights(rng, n, k) for _ in range(36 if n == k else 12)]
        for m in (1, 8, 128, 512, 1024, 4096):
            x = rng.standard_normal((m, k), np.float32)

            def every_weight(x=x, weights=weights):
                for w in weights:
                    native.linear(x, w)

            every_weight()
            peak, bandwidth = multiply_add_peak(), memory_bandwidth()
            seconds = fastest(every_weight, max(3, 2000 // m // 10)) / len(weights)
            peak, bandwidth = max(peak, multiply_add_peak()), max(bandwidth, memory_bandwidth())
            flops, read = 2 * m * n * k / seconds / 1e9, 4 * n * k / seconds / 1e9
            print(
                f"| {m} | {n} × {k} | {seconds * 1e6:.0f} | {flops:.0f} | {flops / peak:.2f} "
                f"| {read:.1f} | {read / bandwidth:.2f} |",
                flush=True,
            )


def linear_weights(rng: np.random.Generator, n: int, k: int) -> dict[str, np.ndarray]:
    """Weights of a linear layer, frozen so that they are packed once."""
    weight = rng.standard_normal((n, k), np.float32)
    return {"weight": freeze(weight), "bias": freeze(np.zeros(n, np.float32))}


def ladder() -> None:
    """Print the rungs of docs/kernels.md on one product: 256 rows, a weight of 3072 × 768."""
    m, n, k = 256, 3072, 768
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((m, k), np.float32), linear_weights(rng, n, k)
    thawed = w["weight"].copy()
    y = np.empty((m, n), np.float32)
    flops, threads, rungs = 2 * m * n * k, settings.get_num_threads(), {}
    strassen = settings.get_strassen()

    def three_loops():
        pointers = floats(x), floats(w["weight"]), floats(w["bias"])
        lib.erniem_linear_reference(m, n, k, *pointers, 0, floats(y))

    rungs["three loops (sums in double)"] = fastest(three_loops, 1)
    settings.set_num_threads(1)
    settings.set_strassen(False)
    for isa in reversed(settings.available_isas()):
        settings.choose_isa(isa)
        native.linear(x, w)
        rungs[f"packed, {isa} tile"] = fastest(lambda: native.linear(x, w), 10)
    rungs["packed again for each call"] = fastest(
        lambda: native.linear(x, {**w, "weight": thawed}), 5
    )
    settings.set_strassen(True)
    rungs["Strassen's algorithm"] = fastest(lambda: native.linear(x, w), 10)
    rungs["with GELU"] = fastest(lambda: native.linear(x, w, "gelu"), 10)
    settings.set_num_threads(threads)
    rungs[f"with GELU, {threads} threads"] = fastest(lambda: native.linear(x, w, "gelu"), 10)
    settings.set_strassen(strassen)
    print("| rung | GFLOP/s |\n|---|---|")
    for name, seconds in rungs.items():
        print(f"| {name} | {flops / seconds / 1e9:.1f} |")
