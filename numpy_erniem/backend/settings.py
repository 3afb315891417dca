"""What the kernels run on: the instruction set, and the threads. Read from the environment once."""

import os

from numpy_erniem._kernels import ffi, lib
from numpy_erniem.backend.cores import MAX_THREADS, available_cores, check_num_threads


def available_isas() -> list[str]:
    """List the instruction sets that both this processor and this build have, best first."""
    return _names(lib.erniem_available_isa)


def choose_isa(name: str) -> None:
    """Use another instruction set from now on; not while a kernel runs.

    Raises
    ------
    ValueError
        Where the processor or the build does not have it.
    """
    if lib.erniem_choose_isa(name.encode()) != 0:
        raise ValueError(
            f"NUMPY_ERNIEM_ISA={name} cannot be used here; this processor and build have "
            f"{', '.join(available_isas())}"
        )


def available_threading() -> list[str]:
    """List the kinds of threads that can be used here, the default first."""
    return _names(lib.erniem_available_threading)


def set_threading(name: str, source: str = "threading") -> None:
    """Choose who runs the threads of the kernels that start from now on.

    Parameters
    ----------
    name : {"openmp", "pool", "serial"}
    source : str
        Where the name comes from, for the error message.

    Raises
    ------
    ValueError
        Where the name is unknown, the build does not have it, or "openmp" is asked for in the child
        of a fork.
    """
    if lib.erniem_choose_threading(name.encode()) != 0:
        raise ValueError(
            f"{source} {name!r} cannot be used here; this process has "
            f"{', '.join(available_threading())}"
        )


def get_threading() -> str:
    """Return who runs the threads of the kernels: "openmp", "pool" or "serial"."""
    return ffi.string(lib.erniem_threading()).decode()


def set_num_threads(n: int) -> None:
    """Let each kernel use n threads, the calling one included, but no more than there are cores.

    The cores are counted now.
    """
    lib.erniem_set_threads(check_num_threads(n))
    lib.erniem_set_cores(min(MAX_THREADS, available_cores()))


def get_num_threads() -> int:
    """Return the number that was set; a kernel uses fewer where `threads_in_use` says so."""
    return lib.erniem_wanted_threads()


def threads_in_use() -> int:
    """Return how many threads a kernel uses: no more than cores, and one under "serial"."""
    return lib.erniem_get_threads()


def default_threads() -> int:
    """Return NUMPY_ERNIEM_NUM_THREADS, else OMP_NUM_THREADS, else the cores of this process.

    Raises
    ------
    ValueError
        The first is no number of threads, or its name is written NUMPY_ERNIEM_THREADS.
    """
    if "NUMPY_ERNIEM_THREADS" in os.environ:
        raise ValueError("NUMPY_ERNIEM_THREADS is not read; set NUMPY_ERNIEM_NUM_THREADS instead")
    asked = os.environ.get("NUMPY_ERNIEM_NUM_THREADS")
    if asked is not None:
        number = int(asked) if asked.isdecimal() else asked
        return check_num_threads(number, "NUMPY_ERNIEM_NUM_THREADS")
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    wanted = int(first) if first.isdecimal() else 0
    return min(MAX_THREADS, wanted or available_cores())


def set_strassen(wanted: bool) -> None:
    """Choose whether large products use Strassen's algorithm; NUMPY_ERNIEM_STRASSEN=1 says yes."""
    lib.erniem_set_strassen(lib.ERNIEM_STRASSEN_LARGE if wanted else lib.ERNIEM_STRASSEN_OFF)


def get_strassen() -> bool:
    """Return whether large products use Strassen's algorithm."""
    return lib.erniem_get_strassen() != lib.ERNIEM_STRASSEN_OFF


def default_strassen() -> bool:
    """Return whether NUMPY_ERNIEM_STRASSEN is 1; it is 0 if not set."""
    asked = os.environ.get("NUMPY_ERNIEM_STRASSEN", "0")
    if asked not in ("0", "1"):
        raise ValueError(f"NUMPY_ERNIEM_STRASSEN={asked} is neither 0 nor 1")
    return asked == "1"


def description() -> str:
    """Describe the kernels that are loaded in one line."""
    return f"C kernels, {ffi.string(lib.erniem_isa()).decode()}"


def _names(number) -> list[str]:
    """Collect the strings that a C function returns for 0, 1, 2, ... until NULL."""
    names = []
    while (name := number(len(names))) != ffi.NULL:
        names.append(ffi.string(name).decode())
    return names


choose_isa(os.environ.get("NUMPY_ERNIEM_ISA") or available_isas()[0])
set_threading(
    os.environ.get("NUMPY_ERNIEM_THREADING") or available_threading()[0], "NUMPY_ERNIEM_THREADING"
)
set_num_threads(default_threads())
set_strassen(default_strassen())
