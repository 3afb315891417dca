"""Kernels of weights of 16 bits, as a C program: under sanitizers, and for other processors."""

import platform
import shutil
from pathlib import Path

import pytest

from tests.native.test_sanitizers import build, run

SUITE = Path(__file__).with_name("suite_16.c")
NUMBERS = ("2", "3", "4")  # ERNIEM_BFLOAT16, ERNIEM_STORED_BFLOAT16, ERNIEM_FLOAT16


def assert_right(output):
    """Every line says that a kernel is right, and each number type has a line."""
    lines = output.splitlines()
    assert all(line.endswith(": right") for line in lines)
    for number in NUMBERS:
        assert f"{number}, generic, generic: right" in lines


def test_no_memory_error_and_nothing_undefined(tmp_path):
    flags = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    assert_right(run([build(tmp_path, "gcc", *flags, suite=SUITE)]))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_every_kernel_equals_the_formula(tmp_path, compiler):
    assert_right(run([build(tmp_path, compiler, "-O3", "-fopenmp", suite=SUITE)]))


def test_no_race(tmp_path):
    flags = ["-O1", "-g", "-fsanitize=thread"]
    assert_right(run([build(tmp_path, "gcc", *flags, suite=SUITE)]))


def test_aarch64_in_an_emulator(tmp_path):
    if platform.machine() == "aarch64":
        pytest.skip("the other tests run on aarch64 already")
    if shutil.which("qemu-aarch64") is None:
        pytest.skip("qemu-aarch64 is not installed")
    program = build(tmp_path, "aarch64-linux-gnu-gcc", "-O2", "-static", suite=SUITE)
    output = run(["qemu-aarch64", "-cpu", "max", program])
    assert_right(output)
    assert "2, neon, neon-bf16: right" in output.splitlines()
