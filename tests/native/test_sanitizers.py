"""The kernel suite as a C program: under sanitizers, and for other systems and processors."""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.native.programs import AARCH64, CHECKED, CSRC, NATIVE, RACES, run

SUITE = "kernel_suite.c"
KINDS = ("pool", "openmp", "serial")


def test_the_flags_of_threads_matter_to_their_files_alone():
    words = re.compile(r"_OPENMP|pragma omp|ERNIEM_SERIAL|threads\.h")
    found = [path for path in CSRC.rglob("*.[ch]") if words.search(path.read_text("utf-8"))]
    assert {path.name for path in found} >= {"threads.h", "threads.c", "threads_openmp.c"}
    assert all(path.name.startswith("threads") for path in found)


@pytest.mark.parametrize("kind", KINDS)
def test_no_memory_error_and_nothing_undefined(programs, kind):
    program = programs.build(SUITE, "gcc", *CHECKED)
    assert f"{kind}, generic: right" in run([program, kind])


def test_no_race(programs):
    """ThreadSanitizer, with the pool alone.

    It cannot follow OpenMP: it sees the calls of pthreads and the atomics of code that it compiled,
    and GNU's library is neither. There a parallel region begins and ends by futexes, so everything
    that one thread wrote before a region and another reads inside it is reported as a race. What
    the threads do inside a region is the same code as with the pool.
    """
    program = programs.build(SUITE, "gcc", *RACES)
    assert "pool, generic: right" in run([program, "pool"])


def test_gcc_with_openmp(programs):
    program = programs.build(SUITE, "gcc", *NATIVE)
    output = run([program])
    assert all(f"{kind}, generic: right" in output for kind in KINDS)
    for seed in range(2, 8):  # other random numbers
        assert "serial, generic: right" in run([program, "serial", str(seed)])


def test_clang_with_its_own_openmp_library(programs):
    output = run([programs.build(SUITE, "clang", *NATIVE)])
    assert all(f"{kind}, generic: right" in output for kind in KINDS)


def test_clang_without_openmp(programs):
    output = run([programs.build(SUITE, "clang", "-O3")])
    assert "pool, generic: right" in output
    assert "openmp" not in output


def test_without_threads(programs):
    output = run([programs.build(SUITE, "gcc", *NATIVE, "-DERNIEM_SERIAL")])
    assert "serial, generic: right" in output
    assert "pool" not in output
    assert "openmp" not in output


def test_aarch64_in_an_emulator(programs):
    if platform.machine() == "aarch64":
        pytest.skip("the other tests run on aarch64 already")
    if shutil.which("qemu-aarch64") is None:
        pytest.skip("qemu-aarch64 is not installed")
    program = programs.build(SUITE, *AARCH64)
    lines = [f"{kind}, {isa}: right\n" for kind in KINDS for isa in ("neon", "generic")]
    assert run(["qemu-aarch64", program]) == "".join(lines)


def zig(target):
    """The compiler of the package ziglang, which first builds the libraries of a system."""
    pytest.importorskip("ziglang", reason="pip install 'numpy-erniem[cross]' brings a compiler")
    return [sys.executable, "-m", "ziglang", "cc", "-target", target]


def compiler_for_musl():
    """Debian's, which has its library ready, or zig."""
    return ["musl-gcc"] if shutil.which("musl-gcc") else zig(f"{platform.machine()}-linux-musl")


def compiler_for_windows():
    """Clang with Debian's libraries of MinGW, or zig."""
    libraries = sorted(Path("/usr/lib/gcc/x86_64-w64-mingw32").glob("*-posix/libgcc.a"))
    if not libraries or shutil.which("clang") is None:
        return zig("x86_64-windows-gnu")
    place = f"-L{libraries[-1].parent}"
    command = ["clang", "--target=x86_64-w64-mingw32", "-static", place]
    return [*command, "-Wno-unused-command-line-argument"]  # a file is compiled without its library


@pytest.mark.skipif(sys.platform != "linux", reason="a program for Linux")
def test_kernels_run_with_musl(programs):
    """The libc of musllinux wheels, whose threads have small stacks."""
    output = run([programs.compile(SUITE, *compiler_for_musl(), "-O2")])
    assert "pool, generic: right" in output
    assert "serial, generic: right" in output


@pytest.mark.parametrize("target", ["x86_64-macos", "aarch64-macos"])
def test_kernels_compile_for_macos(programs, target):
    program = programs.compile(SUITE, *zig(target), "-O2")
    assert program.read_bytes().startswith(b"\xcf\xfa\xed\xfe")  # a 64-bit Mach-O file


def test_kernels_run_on_windows(programs):
    """Under wine where it is installed; without it the kernels are compiled at least."""
    program = programs.compile(SUITE, *compiler_for_windows(), "-O2")
    assert program.read_bytes().startswith(b"MZ")
    places = os.pathsep.join(("/usr/lib/wine", os.environ["PATH"]))
    wine, server = (
        shutil.which(f"{name}64", path=places) or shutil.which(name)
        for name in ("wine", "wineserver")
    )
    if wine is None or server is None:
        pytest.skip("compiled, but wine is not installed to run it")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as prefix:  # some 700 MB
        variables = {"WINEPREFIX": prefix, "WINEDEBUG": "-all"}
        output = run([wine, program], **variables)
        subprocess.run([server, "--wait"], env={**os.environ, **variables})  # it ends by itself
    assert "pool, generic: right" in output
    assert "serial, generic: right" in output
