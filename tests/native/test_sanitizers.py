"""The kernel suite as a C program: under sanitizers, and on an emulated aarch64."""

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

SUITE = Path(__file__).with_name("kernel_suite.c")
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{REPOSITORY / 'csrc'}"]


def build(folder, compiler, *flags):
    """Compile the kernels and the suite; skips where the compiler or its libraries are missing."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    program = folder / "suite"
    probe = folder / "probe.c"
    probe.write_text("int main(void) { return 0; }")
    if subprocess.run([compiler, *flags, probe, "-o", program], capture_output=True).returncode:
        pytest.skip(f"{compiler} cannot build with {' '.join(flags)}")
    sources = [SUITE, *sorted((REPOSITORY / "csrc").rglob("*.c"))]
    command = [compiler, *STRICT, *flags, *sources, "-o", program, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_no_memory_error_and_nothing_undefined(tmp_path):
    flags = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    assert "generic: right" in run([build(tmp_path, "gcc", *flags)])


def test_another_compiler(tmp_path):
    assert "generic: right" in run([build(tmp_path, "clang", "-O2")])


def test_no_race(tmp_path):
    assert "generic: right" in run([build(tmp_path, "gcc", "-O1", "-g", "-fsanitize=thread")])


def test_without_threads(tmp_path):
    assert "generic: right" in run([build(tmp_path, "gcc", "-O1", "-DERNIEM_SERIAL")])


def test_aarch64_in_an_emulator(tmp_path):
    if platform.machine() == "aarch64":
        pytest.skip("the other tests run on aarch64 already")
    if shutil.which("qemu-aarch64") is None:
        pytest.skip("qemu-aarch64 is not installed")
    program = build(tmp_path, "aarch64-linux-gnu-gcc", "-O2", "-static")
    assert run(["qemu-aarch64", program]) == "neon: right\ngeneric: right\n"
