"""How the workers of a cluster share its cores."""

import math
from collections.abc import Sequence
from typing import Any

CORES_OF_A_WORKER = 4  # at most, where the number of workers is not given


def share_cores(cores: Sequence[int], workers: int | None = None) -> tuple[int, int]:
    """How many workers there are, and threads in each, so that all cores are busy.

    Parameters
    ----------
    cores : sequence of int
        Of each machine.
    workers : int, optional
        Left out, one for every four cores of a machine.

    Returns
    -------
    (workers, threads)

    Raises
    ------
    ValueError
        There are fewer cores than workers.
    """
    if workers is None:
        workers = sum(-(-n // CORES_OF_A_WORKER) for n in cores)
    for threads in range(max(cores, default=0), 0, -1):
        if 1 <= workers <= sum(n // threads for n in cores):
            return workers, threads
    raise ValueError(f"workers {workers} is not from 1 to {sum(cores)}, the cores that Ray has")


def cores_of(ray: Any) -> list[int]:
    """The cores of each machine that has any."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]


def workers_of(ray: Any, workers: int | None) -> tuple[int, int]:
    """Workers and threads for the machines that Ray has; as of `share_cores`."""
    return share_cores(cores_of(ray), workers)


def cores_to_ask_for(ray: Any, threads: int) -> float:
    """What a worker of a dataset asks Ray for, so that one core is left on each machine.

    The tasks that read the dataset ask for it; without it they would wait for ever.

    Parameters
    ----------
    ray : module
        In use.
    threads : int
        Of a worker.

    Returns
    -------
    float
    """
    fewest = min(cores_of(ray), default=1)
    return math.floor(1000 * threads * (fewest - 1) / fewest) / 1000
