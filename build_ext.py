"""Build the C kernels of csrc/ into numpy_erniem._kernels, through cffi in API mode.

`pip install .` runs this by itself; in a checkout, `python build_ext.py` builds in place. Where
there is no compiler, or it fails, one notice is printed and the package works with NumPy alone.
The wheel of such a build is named py3-none-any, as it holds nothing for one processor.
NUMPY_ERNIEM_KERNELS=0 leaves the kernels out; NUMPY_ERNIEM_KERNELS=1 makes a failure an error.

OpenMP is built in where a small program that uses it can be compiled and run. Otherwise the
kernels use threads of their own. NUMPY_ERNIEM_OPENMP=0 leaves it out.

One build serves every later Python, because the extension keeps to the limited API (abi3).
Free-threaded Python needs a build for each version.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from cffi import FFI
from setuptools import Command, Distribution, Extension
from setuptools.command.build_ext import build_ext

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools before 70.1, which builds in place all the same
    bdist_wheel = Command

ROOT = Path(__file__).resolve().parent
MODULE = "numpy_erniem._kernels"
DECLARATIONS = "csrc/kernels.cdef.h"
SOURCES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "csrc").rglob("*.c"))
HEADERS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "csrc").rglob("*.h"))

Flags = tuple[list[str], list[str]]  # of the compiler, of the linker

MSVC: Flags = (["/O2", "/std:c11", "/experimental:c11atomics"], [])
OTHERS: Flags = (
    ["-std=c11", "-O3", "-ffp-contract=off", "-Wall", "-Wextra", "-pthread"],
    ["-lm", "-pthread"],
)

KERNELS_VARIABLE = "NUMPY_ERNIEM_KERNELS"

PROBE = "int main(void) { return 0; }\n"
OPENMP_PROBE = """
#include <omp.h>
int main(void)
{
    int threads = 0;
#pragma omp parallel num_threads(2) reduction(+ : threads)
    threads += omp_get_thread_num() >= 0;
    return threads < 1;
}
"""


def uses_limited_api() -> bool:
    """Whether the extension keeps to the limited API: everywhere but on free-threaded Python.

    There the headers of Python 3.13 and 3.14 refuse it.
    """
    return not sysconfig.get_config_var("Py_GIL_DISABLED")


def openmp_candidates(compiler_type: str) -> list[Flags]:
    """List the flags that may switch on OpenMP, the most common first.

    Parameters
    ----------
    compiler_type : str
        Of setuptools' compiler object: "msvc", "unix", "mingw32".

    Returns
    -------
    list of (list of str, list of str)
        Flags of the compiler and of the linker.
    """
    if compiler_type == "msvc":
        return [(["/openmp:llvm"], [])]
    candidates: list[Flags] = [(["-fopenmp"], ["-fopenmp"])]
    if sys.platform == "darwin":  # Apple's clang comes without the library; Homebrew has it
        for folder in ("/opt/homebrew/opt/libomp", "/usr/local/opt/libomp"):
            paths = [f"-I{folder}/include"], [f"-L{folder}/lib"]
            if os.path.isdir(folder):
                candidates.append((["-Xpreprocessor", "-fopenmp", *paths[0]], [*paths[1], "-lomp"]))
    return candidates


def openmp_flags(compiler) -> Flags | None:
    """Find flags with which this compiler makes a program that uses OpenMP and runs.

    Parameters
    ----------
    compiler : setuptools compiler object

    Returns
    -------
    (list of str, list of str) or None
        Flags of the compiler and of the linker; None where OpenMP cannot be used.
    """
    if os.environ.get("NUMPY_ERNIEM_OPENMP") == "0":
        return None
    candidates = openmp_candidates(compiler.compiler_type)
    return next((x for x in candidates if _probe_runs(compiler, x, OPENMP_PROBE)), None)


def branch_flags(compiler) -> list[str]:
    """Find the flag that keeps jumps of x86-64 from the borders of 32 bytes, of gcc or of clang.

    Intel's processors from Skylake to Cascade Lake decode a loop anew in every round if its jump
    lies on such a border: a kernel takes a sixth longer, depending on the code that precedes it.

    Parameters
    ----------
    compiler : setuptools compiler object

    Returns
    -------
    list of str
        Empty for other processors, and for compilers that have no such flag.
    """
    if platform.machine() not in ("x86_64", "AMD64") or compiler.compiler_type == "msvc":
        return []
    flag = "-mbranches-within-32B-boundaries"
    candidates = [f"-Wa,{flag}"], [flag]
    return next((x for x in candidates if _probe_runs(compiler, (x, []), PROBE)), [])


def debug_flags() -> list[str]:
    """Leave out what debuggers need, unless CFLAGS asks for it.

    Python's own flags ask for it always; then the build takes half as long again, and the kernels
    ten times the room.
    """
    asked = any(flag.startswith("-g") for flag in shlex.split(os.environ.get("CFLAGS", "")))
    return [] if asked else ["-g0"]


def _probe_runs(compiler, flags: Flags, text: str) -> bool:
    with tempfile.TemporaryDirectory() as folder, _messages_to(Path(folder, "messages")):
        source = Path(folder, "probe.c")
        source.write_text(text, encoding="utf-8")
        try:
            objects = compiler.compile([str(source)], folder, extra_preargs=flags[0])
            link_flags = [*shlex.split(os.environ.get("LDFLAGS", "")), *flags[1]]
            compiler.link_executable(objects, "probe", folder, extra_postargs=link_flags)
            program = compiler.executable_filename("probe", output_dir=folder)
            return subprocess.run([program], timeout=60).returncode == 0
        except Exception:  # no such flag, no library, another processor, ...
            return False


@contextmanager
def _messages_to(path: Path) -> Iterator[None]:
    """Send what programs print meanwhile to a file."""
    saved = [os.dup(1), os.dup(2)]
    try:
        with path.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield
    finally:
        for number, copy in enumerate(saved, 1):
            os.dup2(copy, number)
            os.close(copy)


def write_glue(path: Path) -> None:
    """Write the C source of the Python module: cffi's glue around kernels.cdef.h."""
    ffi = FFI()
    ffi.cdef((ROOT / DECLARATIONS).read_text(encoding="utf-8"))
    ffi.set_source(MODULE, '#include <stdint.h>\n#include "kernels.cdef.h"')
    path.parent.mkdir(parents=True, exist_ok=True)
    ffi.emit_c_code(str(path))


def kernels_wanted() -> bool | None:
    """Whether the kernels have to be built: NUMPY_ERNIEM_KERNELS. None: where that is possible.

    Raises
    ------
    SystemExit
        The variable is neither 0 nor 1.
    """
    asked = os.environ.get(KERNELS_VARIABLE, "")
    if asked not in ("", "0", "1"):
        raise SystemExit(f"{KERNELS_VARIABLE}={asked} is neither 0 nor 1")
    return None if asked == "" else asked == "1"


class BuildKernels(build_ext):
    """Build the extension; a failure leaves a pure-Python package and one clear notice."""

    built = False  # whether the last run made the kernels

    def finalize_options(self) -> None:
        """Decide about the limited API before setuptools makes the file's name."""
        for ext in self.distribution.ext_modules or ():
            ext.py_limited_api = uses_limited_api()
        super().finalize_options()

    def build_extension(self, ext: Extension) -> None:
        """Generate cffi's glue and compile it together with the kernels."""
        wanted = kernels_wanted()
        try:
            if wanted is False:
                raise RuntimeError(f"{KERNELS_VARIABLE} is 0")
            self._compile(ext)
            self.built = True
        except Exception as error:  # whatever a compiler can do wrong, the install goes on
            if wanted:
                raise SystemExit(f"numpy-erniem: no C kernels ({error})") from error
            Path(self.get_ext_fullpath(ext.name)).unlink(missing_ok=True)  # of an earlier build
            print(
                f"numpy-erniem: no C kernels ({error}); the package runs on NumPy alone.",
                file=sys.stderr,
            )

    def _compile(self, ext: Extension) -> None:
        glue = Path(self.build_temp) / "_kernels.c"
        write_glue(glue)
        is_msvc = self.compiler.compiler_type == "msvc"
        compile_flags, link_flags = MSVC if is_msvc else OTHERS
        openmp = openmp_flags(self.compiler)
        print(f"numpy-erniem: OpenMP {' '.join(openmp[0]) if openmp else 'is left out'}")
        ext.sources = [str(glue), *SOURCES]
        ext.depends = [*HEADERS, "build_ext.py"]
        ext.include_dirs = [str(ROOT / "csrc")]
        if not ext.py_limited_api:  # empty, as cffi may define it as well
            ext.define_macros = [("_CFFI_NO_LIMITED_API", "")]
        ext.extra_compile_args = [*compile_flags, *branch_flags(self.compiler)]
        ext.extra_compile_args += [] if is_msvc else debug_flags()
        ext.extra_compile_args += openmp[0] if openmp else []
        ext.extra_link_args = [*link_flags, *(openmp[1] if openmp else [])]
        with _files_side_by_side(self.compiler, self.parallel or os.cpu_count()):
            super().build_extension(ext)


@contextmanager
def _files_side_by_side(compiler, jobs: int) -> Iterator[None]:
    """Let setuptools compile several source files at a time."""
    compile_files = compiler.compile

    def compile_side_by_side(sources, *arguments, **options):
        with ThreadPoolExecutor(jobs) as pool:
            objects = pool.map(lambda name: compile_files([name], *arguments, **options), sources)
            return [path for paths in objects for path in paths]

    compiler.compile = compile_side_by_side
    try:
        yield
    finally:
        compiler.compile = compile_files


class BuildWheel(bdist_wheel):
    """Name the wheel by what is in it.

    With kernels it is for Python 3.10 and later, or for one version of free-threaded Python, and
    for one platform. Without kernels it is for every Python 3 and every platform.
    """

    def initialize_options(self) -> None:
        """Set the tag that the options may change."""
        super().initialize_options()
        self.py_limited_api = "cp310" if uses_limited_api() else False

    def run(self) -> None:
        """Build in an empty folder, and only then decide about the name."""
        build = self.get_finalized_command("build")
        if not self.skip_build:
            shutil.rmtree(build.build_lib, ignore_errors=True)  # files of an earlier version
            self.run_command("build")
            if not self.get_finalized_command("build_ext").built:
                self.distribution.ext_modules = None
                self.root_is_pure = True
        super().run()


if __name__ == "__main__":
    kernels = Extension(MODULE, sources=[], optional=True)
    distribution = Distribution({"ext_modules": [kernels], "cmdclass": {"build_ext": BuildKernels}})
    distribution.script_name = "build_ext.py"
    distribution.script_args = ["build_ext", "--inplace"]
    distribution.parse_command_line()
    distribution.run_commands()
