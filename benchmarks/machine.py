"""What ran: the record of a machine, and the line that stands above each of its tables."""

import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
CODE = ("numpy_erniem", "csrc", "benchmarks", "build_ext.py")  # what a measurement depends on
Record = dict[str, Any]

# Instruction sets that kernels or peers use, as Linux names them.
FEATURES = re.compile(
    r"avx\w*|fma|f16c|amx_\w+|sse4_2|asimd|asimddp|asimdhp|bf16|i8mm|sve\w*|sme2?|sme_\w+", re.ASCII
)


def record() -> Record:
    """What this machine is, without what was measured on it.

    Returns
    -------
    dict
        "name", such as "2 × AMD EPYC"; "model", numbers that tell processors of one name apart;
        "features", instruction sets; "caches", size by level; "memory_gb"; "system". What the
        system does not tell is empty, or None for the memory.
    """
    told = processor_facts()
    name = told.get("model name") or brand() or platform.processor() or platform.machine()
    cores = told.get("cores") or os.cpu_count() or 1
    keys = ("cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU revision")
    found = (f"{key.removeprefix('cpu ')} {told[key]}" for key in keys if key in told)
    flags = f"{told.get('flags', '')} {told.get('Features', '')}".split()
    return {
        "name": f"{cores} × {name}",
        "model": ", ".join(found) or platform.processor() or platform.machine(),
        "features": sorted(filter(FEATURES.fullmatch, set(flags))),
        "caches": caches(Path("/sys/devices/system/cpu/cpu0/cache")),
        "memory_gb": memory_gigabytes(),
        "system": f"{platform.system()}, {platform.machine()}",
    }


def processor_facts(path: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """The facts that Linux tells of the first processor, and "cores", how many there are."""
    if not path.exists():
        return {}
    lines = [line.partition(":") for line in path.read_text().splitlines()]
    facts: dict[str, Any] = {}
    for key, _, value in lines:
        facts.setdefault(key.strip(), value.strip())
    return {**facts, "cores": sum(key.strip() == "processor" for key, _, _ in lines)}


def brand() -> str:
    """The processor's name on macOS; empty elsewhere."""
    if platform.system() != "Darwin":
        return ""
    command = ["sysctl", "-n", "machdep.cpu.brand_string"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def caches(folder: Path) -> dict[str, str]:
    """The caches that the first core uses: "L1d", "L2", "L3" and their sizes."""
    found = {}
    for index in sorted(folder.glob("index*")):
        level, kind, size = (
            (index / name).read_text().strip() for name in ("level", "type", "size")
        )
        if kind != "Instruction":
            found[f"L{level}{'d' if kind == 'Data' else ''}"] = size
    return found


def memory_gigabytes() -> float | None:
    """The memory of the machine, 10^9 bytes; None if unknown."""
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None


def is_same(one: Record, other: Record) -> bool:
    """Whether two records are of machines that may share their tables.

    A record that does not tell the processor's model is that of no other machine.
    """
    keys = ("name", "model", "features")
    return bool(one["model"]) and all(one[key] == other[key] for key in keys)


def setup(name: str, threads: int) -> str:
    """One line on the machine, the software, the kernels, the threads and the day."""
    from numpy_erniem import backend_report
    from numpy_erniem.backend import settings

    parts = [
        name,
        f"{platform.system()}, Python {platform.python_version()}, {numpy_and_blas()}",
        f"{threads} threads ({backend_report()['threading']})",
        settings.description(),
        today(),
    ]
    return "; ".join([*parts, "Strassen's algorithm"] if settings.get_strassen() else parts)


def numpy_and_blas() -> str:
    """NumPy's version, with the library behind its products where NumPy names it."""
    try:
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"NumPy {np.__version__} ({blas['name']} {blas['version']})"
    except (KeyError, TypeError):
        return f"NumPy {np.__version__}"


def today() -> str:
    """The day, as in 2026-11-27."""
    return time.strftime("%Y-%m-%d")


def version() -> str:
    """Our version, with the commit of a checkout and whether its code was changed since."""
    from numpy_erniem import __version__

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(REPOSITORY), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit = git("rev-parse", "--short", "HEAD")
        changed = " with changes" if git("status", "--porcelain", "--", *CODE) else ""
    except (OSError, subprocess.CalledProcessError):
        return __version__
    return f"{__version__}, commit {commit}{changed}"
