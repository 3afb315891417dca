"""Kernels of weights of 16 bits, as a C program: under sanitizers, and for other processors."""

import platform
import shutil

import pytest

from tests.native.programs import AARCH64, CHECKED, NATIVE, RACES, run

SUITE = "suite_16.c"
NUMBERS = ("2", "3", "4")  # ERNIEM_BFLOAT16, ERNIEM_STORED_BFLOAT16, ERNIEM_FLOAT16


def assert_right(output):
    """Every line says that a kernel is right, and each number type has a line."""
    lines = output.splitlines()
    assert all(line.endswith(": right") for line in lines)
    for number in NUMBERS:
        assert f"{number}, generic, generic: right" in lines


def test_no_memory_error_and_nothing_undefined(programs):
    assert_right(run([programs.build(SUITE, "gcc", *CHECKED)]))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_every_kernel_equals_the_formula(programs, compiler):
    assert_right(run([programs.build(SUITE, compiler, *NATIVE)]))


def test_no_race(programs):
    assert_right(run([programs.build(SUITE, "gcc", *RACES)]))


def test_aarch64_in_an_emulator(programs):
    if platform.machine() == "aarch64":
        pytest.skip("the other tests run on aarch64 already")
    if shutil.which("qemu-aarch64") is None:
        pytest.skip("qemu-aarch64 is not installed")
    program = programs.build(SUITE, *AARCH64)
    output = run(["qemu-aarch64", "-cpu", "max", program])
    assert_right(output)
    assert "2, neon, neon-bf16: right" in output.splitlines()
