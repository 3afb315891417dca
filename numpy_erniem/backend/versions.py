"""What a report of a fault needs to say: versions, platform, kernels."""

import os
import platform
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, distribution, version
from typing import TextIO

from numpy_erniem import __version__
from numpy_erniem.backend.cores import available_cores
from numpy_erniem.backend.dispatch import backend_report, threads_in_use

NEEDED = ("numpy", "sentencepiece", "safetensors", "cffi")
OPTIONAL = (  # those of the extras for users, and the libraries that a user may come from
    *("huggingface_hub", "pyarrow", "ray", "tqdm", "matplotlib", "shtab"),
    *("starlette", "uvicorn", "prometheus_client", "torch", "transformers"),
)
VARIABLES = ("NUMPY_ERNIEM_", "OMP_", "OPENBLAS_", "MKL_")  # how the names begin


def show_versions(file: TextIO | None = None) -> None:
    """Print what a report of a fault needs: versions, platform, kernels, variables.

    No path, no user name and no token is among it. Packages are not imported.

    Parameters
    ----------
    file : text file, optional
        Left out, standard output.

    Examples
    --------
    >>> show_versions()  # doctest: +ELLIPSIS
    numpy_erniem     ...
    """
    for name, value in facts().items():
        print(f"{name:16} {value}", file=file or sys.stdout)


def facts() -> dict[str, str]:
    """The lines of `show_versions`: name to value."""
    report = backend_report()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        python += ", without the GIL"
    found = {
        "numpy_erniem": __version__,
        "installed": installed(),
        "backend": f"{report['backend']} ({report['native']})",
        "threads": f"{threads_in_use()} ({report['threading']}), {available_cores()} cores",
        "python": python,
        "platform": f"{platform.platform()}, {libc()}",
        "encoding": f"{sys.stdout.encoding or 'none'}, files {sys.getfilesystemencoding()}",
    }
    found |= {name: _version(name) for name in (*NEEDED, *OPTIONAL)}
    found |= {n: value for n, value in sorted(os.environ.items()) if n.startswith(VARIABLES)}
    return found


def libc() -> str:
    """The C library; before 3.13 Python knows its name only where it is glibc."""
    name, number = platform.libc_ver()
    if "musl" in str(sysconfig.get_config_var("SOABI")):
        name = "musl"
    return f"{name} {number}".strip() or "unknown libc"


def installed() -> str:
    """How the package was installed: the tag of its wheel, or that there is none."""
    try:
        wheel = distribution("numpy-erniem").read_text("WHEEL") or ""
    except PackageNotFoundError:
        return "not by pip: a folder with the sources"
    tags = [line.partition(": ")[2] for line in wheel.splitlines() if line.startswith("Tag: ")]
    return f"wheel {', '.join(tags) or 'of unknown tag'}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
