"""How many threads there can be. Imports nothing of the package, so it works without C kernels."""

import os
from collections.abc import Iterator
from pathlib import Path

MAX_THREADS = 1024  # ERNIEM_MAX_THREADS in csrc/kernels.cdef.h; a test holds them equal
DEFAULT_PERIOD = 100_000  # microseconds; the kernel's, where cpu.max gives the quota alone


def available_cores(root: str | os.PathLike[str] = "/") -> int:
    """Return the number of cores that this process may use, at least 1.

    It is the smaller of two numbers: the cores that the process may run on (its affinity), and the
    CPU time that its container may use (see `cpu_quota`).

    Parameters
    ----------
    root : path
        The folder with proc/ and sys/.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = cpu_quota(root)
    return cores if quota is None else min(cores, quota)


def cpu_quota(root: str | os.PathLike[str] = "/") -> int | None:
    """Return how many cores the control groups of this process may keep busy.

    Linux limits the CPU time of a container by a quota for each period. The group of the process
    counts, and every group around it; the smallest quota holds.

    Parameters
    ----------
    root : path
        The folder with proc/ and sys/.

    Returns
    -------
    int or None
        Quota divided by period, rounded up, at least 1. None without a limit, on other systems, and
        where the files cannot be read or understood.

    References
    ----------
    Linux, Documentation/admin-guide/cgroup-v2.rst, "cpu.max", and Documentation/scheduler/
    sched-bwc.rst, "cpu.cfs_quota_us".
    """
    root = Path(root)
    quotas = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0" and not controllers:
            places, quota = ("", "unified"), _quota_v2
        elif "cpu" in controllers.split(","):
            places, quota = (controllers, "cpu", "cpu,cpuacct", "cpuacct,cpu"), _quota_v1
        else:
            continue
        for place in places:
            quotas += map(quota, _groups(root / "sys/fs/cgroup" / place, group))
    return min((quota for quota in quotas if quota is not None), default=None)


def check_num_threads(n: int, name: str = "the number of threads") -> int:
    """Return n if it is a possible number of threads.

    Parameters
    ----------
    n : int
    name : str
        What the error message calls it.

    Raises
    ------
    ValueError
        Unless n is an int in 1..1024.
    """
    if not isinstance(n, int) or not 1 <= n <= MAX_THREADS:
        raise ValueError(f"{name} is {n!r}, not a whole number in 1..{MAX_THREADS}")
    return n


def _groups(top: Path, group: str) -> Iterator[Path]:
    """Yield the folder of a group and those of all groups around it, up to the top.

    In a container the file names the group as the host sees it, but only the container's part may
    be visible, at the top; a folder that does not exist has no quota.
    """
    names = [name for name in group.split("/") if name not in ("", ".", "..")]
    for length in range(len(names), -1, -1):
        yield top.joinpath(*names[:length])


def _quota_v2(folder: Path) -> int | None:
    """Read "200000 100000", quota and period in microseconds; "max" is no limit."""
    quota, period, *_ = *_text(folder / "cpu.max").split(), "", ""
    return _cores(quota, period or str(DEFAULT_PERIOD))


def _quota_v1(folder: Path) -> int | None:
    """Read quota and period from a file each, in microseconds; -1 is no limit."""
    return _cores(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))


def _cores(quota: str, period: str) -> int | None:
    try:
        time, of = int(quota), int(period)
    except ValueError:  # "max", no file, or something else
        return None
    return -(-time // of) if time > 0 and of > 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except (OSError, ValueError):  # ValueError: a damaged file names an impossible folder
        return ""
