"""Solutions to 16_seven_products_and_threads.ipynb, and wrong answers that it must refuse."""


# %% exercise 1
def steps(n, levels, addition):
    if levels == 0:
        return n**3
    return 7 * steps(n // 2, levels - 1, addition) + 18 * addition * (n // 2) ** 2


# %% exercise 1, wrong: eight products
def steps(n, levels, addition):
    if levels == 0:
        return n**3
    return 8 * steps(n // 2, levels - 1, addition) + 18 * addition * (n // 2) ** 2


# %% exercise 1, wrong: one level alone
def steps(n, levels, addition):
    if levels == 0:
        return n**3
    return 7 * (n // 2) ** 3 + 18 * addition * (n // 2) ** 2


# %% exercise 1, wrong: additions of whole matrices
def steps(n, levels, addition):
    if levels == 0:
        return n**3
    return 7 * steps(n // 2, levels - 1, addition) + 18 * addition * n**2


# %% exercise 2
def shared_queue(items, speeds):
    log, free = [], [(0.0, core) for core in range(len(speeds))]
    heapq.heapify(free)
    for _ in range(items):
        now, core = heapq.heappop(free)
        log.append((core, now, now + 1 / speeds[core]))
        heapq.heappush(free, (now + 1 / speeds[core], core))
    return log


# %% exercise 2, wrong: in turn
def shared_queue(items, speeds):
    log, now = [], [0.0] * len(speeds)
    for n in range(items):
        core = n % len(speeds)
        log.append((core, now[core], now[core] + 1 / speeds[core]))
        now[core] = log[-1][2]
    return log


# %% exercise 2, wrong: fixed shares
def shared_queue(items, speeds):
    return fixed_shares(items, speeds)


# %% exercise 2, wrong: all cores are equally fast
def shared_queue(items, speeds):
    return [(n % len(speeds), n // len(speeds), n // len(speeds) + 1) for n in range(items)]


# %% exercise 3
def speedup_of_prefetch(bytes_, operations, gbytes, gflops):
    reading, computing = bytes_ / (gbytes * 1e9), operations / (gflops * 1e9)
    return (reading + computing) / max(reading, computing)


# %% exercise 3, wrong: the shorter of the two
def speedup_of_prefetch(bytes_, operations, gbytes, gflops):
    reading, computing = bytes_ / (gbytes * 1e9), operations / (gflops * 1e9)
    return (reading + computing) / min(reading, computing)


# %% exercise 3, wrong: always twice
def speedup_of_prefetch(bytes_, operations, gbytes, gflops):
    return 2


# %% exercise 3, wrong: speeds are added
def speedup_of_prefetch(bytes_, operations, gbytes, gflops):
    reading, computing = bytes_ / (gbytes * 1e9), operations / (gflops * 1e9)
    return 1 + reading / computing
