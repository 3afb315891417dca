"""What the kernels run on: the instruction set, and the number of threads."""

import os

from numpy_erniem._kernels import ffi, lib


def available_isas() -> list[str]:
    """The instruction sets of this processor that the kernels are built for, best first."""
    names = []
    while (name := lib.erniem_available_isa(len(names))) != ffi.NULL:
        names.append(ffi.string(name).decode())
    return names


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


def set_num_threads(n: int) -> None:
    """Let each kernel use n threads, the calling one included."""
    if lib.erniem_set_threads(n) != 0:
        raise ValueError(f"{n} threads are not in 1..1024")


def get_num_threads() -> int:
    """How many threads a kernel uses."""
    return lib.erniem_get_threads()


def default_threads() -> int:
    """NUMPY_ERNIEM_NUM_THREADS, else OMP_NUM_THREADS, else the cores this process may use."""
    asked = os.environ.get("NUMPY_ERNIEM_NUM_THREADS")
    if asked is not None:
        if not asked.isdecimal() or not 1 <= int(asked) <= 1024:
            raise ValueError(f"NUMPY_ERNIEM_NUM_THREADS={asked} is not a number in 1..1024")
        return int(asked)
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if first.isdecimal() and 1 <= int(first) <= 1024:
        return int(first)
    if hasattr(os, "sched_getaffinity"):
        return min(1024, len(os.sched_getaffinity(0)))
    return min(1024, os.cpu_count() or 1)


def set_strassen(wanted: bool) -> None:
    """Whether large products use Strassen's algorithm, as they do unless NUMPY_ERNIEM_STRASSEN=0.

    They are faster by about a tenth, and err about twice as much as NumPy's (root mean square).
    """
    lib.erniem_set_strassen(lib.ERNIEM_STRASSEN_LARGE if wanted else lib.ERNIEM_STRASSEN_OFF)


def get_strassen() -> bool:
    """Whether large products use Strassen's algorithm."""
    return lib.erniem_get_strassen() != lib.ERNIEM_STRASSEN_OFF


def default_strassen() -> bool:
    """NUMPY_ERNIEM_STRASSEN, 0 or 1; else yes."""
    asked = os.environ.get("NUMPY_ERNIEM_STRASSEN", "1")
    if asked not in ("0", "1"):
        raise ValueError(f"NUMPY_ERNIEM_STRASSEN={asked} is neither 0 nor 1")
    return asked == "1"


def description() -> str:
    """One line on the kernels that are loaded."""
    return f"C kernels, {ffi.string(lib.erniem_isa()).decode()}"


choose_isa(os.environ.get("NUMPY_ERNIEM_ISA") or available_isas()[0])
set_num_threads(default_threads())
set_strassen(default_strassen())
