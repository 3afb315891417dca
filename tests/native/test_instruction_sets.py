"""The same bits on every instruction set that has fused multiply-add: AVX-512, AVX2 and NEON."""

import platform
import shutil

import numpy as np
import pytest

from numpy_erniem import ErnieMConfig, ErnieMModel
from tests.native.conftest import isas
from tests.native.programs import AARCH64, NATIVE, run

SUITE = "suite_bits.c"
LENGTHS = (1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 65, 100, 129, 200)

# Where the processor has no fused multiply-add, plain C rounds twice.
FUSED = [name for name in isas() if name not in ("none", "generic")]


def results_on(isa, model):
    """Vectors of single texts of many lengths, of a padded batch, and under a causal mask."""
    from numpy_erniem.backend import settings

    settings.choose_isa(isa)
    rng = np.random.default_rng(5)
    results = []
    for length in LENGTHS:
        output = model(rng.integers(5, 99, (1, length)))
        results += [output.last_hidden_state, output.pooler_output]
    ids = rng.integers(5, 99, (5, 77))
    padding = np.arange(77) < np.array([77, 1, 30, 48, 65])[:, None]
    results.append(model(ids, attention_mask=padding).last_hidden_state[padding])
    window = np.arange(77)[:, None] - np.arange(77)  # each token sees the 40 before it
    window = np.broadcast_to((window >= 0) & (window < 40), (5, 77, 77))
    results.append(model(ids, attention_mask=window).last_hidden_state)
    return results


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sizes that are no multiples of vectors."""
    path = tmp_path_factory.mktemp("model")
    config = ErnieMConfig(
        vocab_size=99,
        hidden_size=60,
        num_attention_heads=3,
        intermediate_size=1601,
        num_hidden_layers=2,
    )
    ErnieMModel(config, seed=1).save_pretrained(path)
    return path


@pytest.mark.skipif(len(FUSED) < 2, reason="one instruction set alone has fused multiply-add here")
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_model_has_the_same_bits_on_every_instruction_set(dtype, folder):
    from numpy_erniem.backend import settings

    try:
        first, *others = (
            results_on(isa, ErnieMModel.from_pretrained(folder, dtype=dtype)) for isa in FUSED
        )
    finally:
        settings.choose_isa(settings.available_isas()[0])
    for other in others:
        for n, (got, want) in enumerate(zip(other, first, strict=True)):
            np.testing.assert_array_equal(got, want, err_msg=str(n))


def bits_of(output):
    """What the suite printed: the hashes of the steps of each instruction set."""
    steps = {}
    for line in output.splitlines():
        isa, step, bits = line.split()
        steps.setdefault(isa, {})[step] = bits
    return steps


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_every_step_has_the_same_bits(programs, compiler):
    steps = bits_of(run([programs.build(SUITE, compiler, *NATIVE)]))
    if len(FUSED) < 2:
        pytest.skip("one instruction set alone has fused multiply-add here")
    assert all(steps[isa] == steps[FUSED[0]] for isa in FUSED)


def test_another_processor_has_the_same_bits(programs):
    """Neon in an emulator, beside the instruction sets of this processor.

    There plain C has fused multiply-add, too.
    """
    if platform.machine() == "aarch64":
        pytest.skip("the emulator is for aarch64")
    if not FUSED:
        pytest.skip("this processor has no fused multiply-add")
    if shutil.which("qemu-aarch64") is None:
        pytest.skip("qemu-aarch64 is not installed")
    here = bits_of(run([programs.build(SUITE, "gcc", *NATIVE)]))[FUSED[0]]
    program = programs.build(SUITE, *AARCH64)
    assert bits_of(run(["qemu-aarch64", program])) == {"neon": here, "generic": here}
