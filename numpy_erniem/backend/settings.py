"""What the kernels run on: the instruction set, and the threads. Read from the environment once."""

import functools
import os

from numpy_erniem._kernels import ffi, lib
from numpy_erniem.backend.cores import MAX_THREADS, available_cores, check_num_threads

# Number types of a weight; "stored_bfloat16" and "float16" are widened to float32. The last is
# float32 in training.
NUMBERS = {
    "float32": lib.ERNIEM_FLOAT32,
    "int8": lib.ERNIEM_INT8,
    "bfloat16": lib.ERNIEM_BFLOAT16,
    "stored_bfloat16": lib.ERNIEM_STORED_BFLOAT16,
    "float16": lib.ERNIEM_FLOAT16,
    "trained_float32": lib.ERNIEM_TRAINED_FLOAT32,
}


def available_isas() -> list[str]:
    """List the instruction sets that both this processor and this build have, best first."""
    return _names(lib.erniem_available_isa)


def choose_isa(name: str) -> None:
    """Use another instruction set from now on; not while a kernel runs.

    Parameters
    ----------
    name : str
        An instruction set, for which every number type gets its default kernel; or one of
        `available_kernels`, for the number types that have it.

    Raises
    ------
    ValueError
        Where the processor or the build does not have it.
    """
    if lib.erniem_choose_isa(name.encode()) == 0:
        return
    before, isas = lib.erniem_isa(), available_isas()
    for isa in reversed(isas):  # the least of those that have the kernel
        lib.erniem_choose_isa(isa.encode())
        codes = NUMBERS.values()
        if [code for code in codes if lib.erniem_choose_kernel(code, name.encode()) == 0]:
            return
    names = dict.fromkeys(isas)
    for number in NUMBERS:
        names |= dict.fromkeys(available_kernels(number))
    lib.erniem_choose_isa(before)
    raise ValueError(
        f"NUMPY_ERNIEM_ISA={name} cannot be used here; this processor and build have "
        f"{', '.join(names)}"
    )


def available_kernels(number: str) -> list[str]:
    """List the kernels of a number type for the instruction set in use, the default first."""
    return _names(functools.partial(lib.erniem_available_kernel, NUMBERS[number]))


def choose_kernel(number: str, name: str) -> None:
    """Use one of `available_kernels` until an instruction set is chosen; not while a kernel runs.

    Raises
    ------
    ValueError
        The instruction set in use does not have it.
    """
    if lib.erniem_choose_kernel(NUMBERS[number], name.encode()) != 0:
        raise ValueError(
            f"there is no {number} kernel {name!r} here; there are "
            f"{', '.join(available_kernels(number))}"
        )


def kernels() -> dict[str, str]:
    """Return the name of the kernel in use for weights of each number type."""
    return {name: ffi.string(lib.erniem_kernel(code)).decode() for name, code in NUMBERS.items()}


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
    change_num_threads(n)
    lib.erniem_set_cores(min(MAX_THREADS, available_cores()))


def change_num_threads(n: int) -> None:
    """Let each kernel use n threads, but no more than there were cores when they were counted."""
    lib.erniem_set_threads(check_num_threads(n))


def get_num_threads() -> int:
    """Return the number that was set; a kernel uses fewer where `threads_in_use` says so."""
    return lib.erniem_wanted_threads()


def threads_in_use() -> int:
    """Return how many threads a kernel uses: no more than cores, and one under "serial"."""
    return lib.erniem_get_threads()


def keep_much_memory(yes: bool) -> None:
    """Begin to keep all memory of results for the next ones, or end it; calls may be nested."""
    lib.erniem_keep_much_memory(yes)


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
