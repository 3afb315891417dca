"""The kernel suite as a C program: under sanitizers, and for other systems and processors."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

SUITE = Path(__file__).with_name("kernel_suite.c")
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{REPOSITORY / 'csrc'}"]
KINDS = ("pool", "openmp", "serial")


def compile_suite(folder, *compiler, suite=SUITE):
    """Compile the kernels and a suite."""
    program = folder / "suite.exe"
    sources = [suite, *sorted((REPOSITORY / "csrc").rglob("*.c"))]
    command = [*compiler, *STRICT, *sources, "-o", program, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


def build(folder, compiler, *flags, suite=SUITE):
    """Compile a suite; skips where the compiler or its libraries are missing."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    probe = folder / "probe.c"
    header = "#include <omp.h>\n" if "-fopenmp" in flags else ""
    probe.write_text(f"{header}int main(void) {{ return 0; }}")
    command = [compiler, *flags, probe, "-o", folder / "probe"]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip(f"{compiler} cannot build with {' '.join(flags)}")
    return compile_suite(folder, compiler, *flags, suite=suite)


def run(command, **variables):
    """What a program prints; fails where it reports an error."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=900, env={**os.environ, **variables}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def checked_suite(tmp_path_factory):
    """The suite under AddressSanitizer and UndefinedBehaviorSanitizer."""
    flags = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fopenmp"]
    return build(tmp_path_factory.mktemp("checked"), "gcc", *flags)


@pytest.mark.parametrize("kind", KINDS)
def test_no_memory_error_and_nothing_undefined(checked_suite, kind):
    assert f"{kind}, generic: right" in run([checked_suite, kind])


def test_no_race(tmp_path):
    """ThreadSanitizer, with the pool alone.

    It cannot follow OpenMP: it sees the calls of pthreads and the atomics of code that it compiled,
    and GNU's library is neither. There a parallel region begins and ends by futexes, so everything
    that one thread wrote before a region and another reads inside it is reported as a race. What
    the threads do inside a region is the same code as with the pool.
    """
    program = build(tmp_path, "gcc", "-O1", "-g", "-fsanitize=thread")
    assert "pool, generic: right" in run([program, "pool"])


def test_gcc_with_openmp(tmp_path):
    program = build(tmp_path, "gcc", "-O2", "-fopenmp")
    output = run([program])
    assert all(f"{kind}, generic: right" in output for kind in KINDS)
    for seed in range(2, 8):  # other random numbers
        assert "serial, generic: right" in run([program, "serial", str(seed)])


def test_clang_with_its_own_openmp_library(tmp_path):
    output = run([build(tmp_path, "clang", "-O2", "-fopenmp")])
    assert all(f"{kind}, generic: right" in output for kind in KINDS)


def test_clang_without_openmp(tmp_path):
    output = run([build(tmp_path, "clang", "-O2")])
    assert "pool, generic: right" in output
    assert "openmp" not in output


def test_without_threads(tmp_path):
    output = run([build(tmp_path, "gcc", "-O1", "-DERNIEM_SERIAL", "-fopenmp")])
    assert "serial, generic: right" in output
    assert "pool" not in output
    assert "openmp" not in output


def test_aarch64_in_an_emulator(tmp_path):
    if platform.machine() == "aarch64":
        pytest.skip("the other tests run on aarch64 already")
    if shutil.which("qemu-aarch64") is None:
        pytest.skip("qemu-aarch64 is not installed")
    program = build(tmp_path, "aarch64-linux-gnu-gcc", "-O2", "-static", "-fopenmp")
    lines = [f"{kind}, {isa}: right\n" for kind in KINDS for isa in ("neon", "generic")]
    assert run(["qemu-aarch64", program]) == "".join(lines)


def cross_compile(folder, target):
    """The suite for another system, by the compiler of the package ziglang."""
    pytest.importorskip("ziglang", reason="pip install 'numpy-erniem[cross]' brings a compiler")
    compiler = [sys.executable, "-m", "ziglang", "cc"]
    return compile_suite(folder, *compiler, "-target", target, "-O2")


@pytest.mark.skipif(sys.platform != "linux", reason="a program for Linux")
def test_kernels_run_with_musl(tmp_path):
    """The libc of musllinux wheels, whose threads have small stacks."""
    output = run([cross_compile(tmp_path, f"{platform.machine()}-linux-musl")])
    assert "pool, generic: right" in output
    assert "serial, generic: right" in output


@pytest.mark.parametrize("target", ["x86_64-macos", "aarch64-macos"])
def test_kernels_compile_for_macos(tmp_path, target):
    program = cross_compile(tmp_path, target)
    assert program.read_bytes().startswith(b"\xcf\xfa\xed\xfe")  # a 64-bit Mach-O file


def test_kernels_run_on_windows(tmp_path):
    """Under wine where it is installed; without it the kernels are compiled at least."""
    program = cross_compile(tmp_path, "x86_64-windows-gnu")
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
