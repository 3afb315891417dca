"""Packed weights and result memory: right, shared, and given back."""

import gc
import mmap
import threading
from pathlib import Path

import numpy as np
import pytest

from numpy_erniem import ops
from numpy_erniem.backend.unsupported import Unsupported

memory = pytest.importorskip("numpy_erniem.backend.packing")


@pytest.fixture(autouse=True)
def no_packs():
    memory.forget_panels()
    yield
    memory.forget_panels()


def frozen(array):
    array.setflags(write=False)
    return array


def weights(rng, n=20, k=30, freeze=True):
    w = {"weight": rng.standard_normal((n, k), np.float32), "bias": np.ones(n, np.float32)}
    return {name: frozen(a) if freeze else a for name, a in w.items()}


def test_a_weight_that_cannot_change_is_packed_once(rng):
    from numpy_erniem.backend import native

    w, x = weights(rng), rng.standard_normal((4, 30), np.float32)
    native.linear(x, w)
    ((_, packed),) = memory._packs.values()
    native.linear(x, w)
    assert memory.panels(w["weight"]) is packed


def test_its_panels_die_with_it(rng):
    from numpy_erniem.backend import native

    w, x = weights(rng), rng.standard_normal((4, 30), np.float32)
    native.linear(x, w)
    assert len(memory._packs) == len(memory._layers) == 1
    del w
    gc.collect()
    assert memory._packs == memory._layers == {}


def test_a_norm_whose_bias_is_part_of_its_weight_dies_too(rng):
    from numpy_erniem.backend import native

    both = frozen(rng.standard_normal(60, np.float32))
    w = {"weight": both[:30], "bias": both[30:]}
    native.layer_norm(rng.standard_normal((4, 30), np.float32), w, 1e-5)
    assert len(memory._layers) == 1
    del w, both
    gc.collect()
    assert memory._layers == {}


def test_another_instruction_set_packs_anew(rng, close):
    from numpy_erniem.backend import native

    w, x = weights(rng, 70, 50), rng.standard_normal((4, 50), np.float32)
    want = ops.linear.body(x, w)
    try:
        for isa in native.available_isas():
            native.choose_isa(isa)
            close(native.linear(x, w), want, "primitive", isa)
            close(native.linears(x, [w])[0], want, "primitive", isa)
    finally:
        native.choose_isa(native.available_isas()[0])


def test_a_read_only_view_of_a_writable_bias_may_change(rng, close):
    from numpy_erniem.backend import native

    w, x = weights(rng), rng.standard_normal((4, 30), np.float32)
    owner = np.zeros(20, np.float32)
    layer = {"weight": w["weight"], "bias": frozen(owner[:])}
    native.linear(x, layer)
    owner += 5
    close(native.linear(x, layer), ops.linear.body(x, layer), "primitive")


def test_a_linear_layer_is_no_norm(rng):
    from numpy_erniem.backend import native

    w, x = weights(rng, 30, 30), rng.standard_normal((4, 30), np.float32)
    native.linear(x, w)
    assert isinstance(native.layer_norm(x, w, 1e-5), Unsupported)


def test_a_norm_that_may_change_is_read_anew(rng, close):
    from numpy_erniem.backend import native

    x = rng.standard_normal((4, 30), np.float32)

    def check(w):
        close(native.layer_norm(x, w, 1e-5), ops.layer_norm.body(x, w, 1e-5), "primitive")

    w = {"weight": np.ones(30, np.float32), "bias": np.zeros(30, np.float32)}
    check(w)
    w["weight"] *= 2
    w["bias"] += 1
    check(w)
    for array in w.values():
        array.setflags(write=False)
    check(w)
    check({**w, "bias": frozen(np.full(30, 7, np.float32))})
    check(w)
    for array in w.values():
        array.setflags(write=True)
        array += 3
        check(w)
        array.setflags(write=False)
        check(w)


def test_a_weight_that_may_change_is_read_anew(rng, close):
    from numpy_erniem.backend import native

    w, x = weights(rng, freeze=False), rng.standard_normal((4, 30), np.float32)
    native.linear(x, w)
    w["weight"] *= 2
    close(native.linear(x, w), ops.linear.body(x, w), "primitive")
    assert memory._packs == {}


def test_a_read_only_view_of_a_writable_weight_may_change(rng, close):
    from numpy_erniem.backend import native

    w, x = weights(rng, freeze=False), rng.standard_normal((4, 30), np.float32)
    view = {"weight": frozen(w["weight"][:]), "bias": w["bias"]}
    native.linear(x, view)
    w["weight"][:] = 0
    close(native.linear(x, view), np.ones((4, 20), np.float32), "exact")


def test_a_bias_may_change_beside_a_weight_that_cannot(rng, close):
    from numpy_erniem.backend import native

    w, x = weights(rng), rng.standard_normal((4, 30), np.float32)
    steps = np.zeros(40, np.float32)
    for bias in (w["bias"], np.zeros(20, np.float32), steps[::2]):
        layer = {"weight": w["weight"], "bias": bias}
        native.linear(x, layer)
        if bias.flags.writeable:
            bias += 5
        close(native.linear(x, layer), ops.linear.body(x, layer), "primitive")
        close(native.linears(x, [layer])[0], ops.linear.body(x, layer), "primitive")
    assert isinstance(native.linear(x, {**w, "bias": np.ones(19, np.float32)}), Unsupported)
    assert isinstance(native.linear(x, {**w, "bias": np.ones(20)}), Unsupported)


def test_a_weight_that_is_made_writable_again_is_read_anew(rng, close):
    from numpy_erniem.backend import native

    w, x = weights(rng), rng.standard_normal((4, 30), np.float32)
    native.linear(x, w)
    w["weight"].setflags(write=True)
    w["weight"][:] = 0
    close(native.linear(x, w), np.ones((4, 20), np.float32), "exact")
    w["weight"].setflags(write=False)
    close(native.linear(x, w), np.ones((4, 20), np.float32), "exact")


def test_what_counts_as_frozen(tmp_path):
    path = tmp_path / "numbers"
    np.arange(64, dtype=np.float32).tofile(path)
    assert memory.is_frozen(np.memmap(path, np.float32, "r"))
    assert not memory.is_frozen(np.memmap(path, np.float32, "r+"))
    assert memory.is_frozen(np.memmap(path, np.float32, "r")[3:9].reshape(2, 3))
    with path.open("r+b") as file:
        for access, expected in ((mmap.ACCESS_READ, True), (mmap.ACCESS_WRITE, False)):
            array = np.frombuffer(mmap.mmap(file.fileno(), 0, access=access), np.float32)
            array.setflags(write=False)
            assert memory.is_frozen(array) is expected
    assert memory.is_frozen(np.frombuffer(b"abcd", np.float32))
    assert not memory.is_frozen(frozen(np.frombuffer(bytearray(b"abcd"), np.float32)))
    assert not memory.is_frozen(np.zeros(3, np.float32))


def test_large_results_are_separate_arrays():
    first, second = memory.new_array((600, 1000)), memory.new_array((600, 1000))
    first[:], second[:] = 1, 2
    assert first.flags.writeable
    assert first.flags.c_contiguous
    part = first[3:5]
    del first
    third = memory.new_array((600, 1000))
    third[:] = 3
    assert (part == 1).all()
    assert (second == 2).all()


def test_memory_of_a_large_result_is_used_again():
    address = memory.new_array((600, 1000)).ctypes.data
    assert memory.new_array((600, 1000)).ctypes.data == address


@pytest.fixture
def mapped(tmp_path, rng):
    """A mapped array of 4 MB, and how many KB of it are in this process's memory."""
    path, smaps = tmp_path / "weight", Path("/proc/self/smaps")
    if not smaps.exists():
        pytest.skip(f"this system has no {smaps}")
    original = rng.standard_normal((1000, 1000), np.float32)
    original.tofile(path)

    def resident():
        lines = iter(smaps.read_text().splitlines())
        for line in lines:
            if line.endswith(str(path)):
                return next(int(x.split()[1]) for x in lines if x.startswith("Rss:"))

    return np.memmap(path, np.float32, "r", shape=original.shape), original, resident


def test_a_mapped_weight_leaves_its_pages_to_the_file(mapped, rng):
    from numpy_erniem.backend import native

    weight, original, resident = mapped
    assert weight.sum() == pytest.approx(original.sum(), rel=1e-3)
    assert resident() > 3000
    x, bias = rng.standard_normal((3, 1000), np.float32), np.zeros(1000, np.float32)
    got = native.linear(x, {"weight": weight, "bias": bias})
    assert resident() < 200
    np.testing.assert_array_equal(weight, original)
    np.testing.assert_allclose(got, x @ original.T, atol=1e-3)


@pytest.mark.parametrize("texts", [1, 3, 16])  # of a call
def test_a_mapped_table_does_not_come_into_memory_row_by_row(mapped, close, monkeypatch, texts):
    from numpy_erniem.backend import native

    table, original, resident = mapped
    norm = {"weight": np.ones(1000, np.float32), "bias": np.zeros(1000, np.float32)}
    w = {
        "word_embeddings": {"weight": table},
        "position_embeddings": {"weight": original[:64]},
        "layer_norm": norm,
    }
    ids = np.arange(48 * 64).reshape(48, 64) % 1000  # the last ends where pages are let go
    monkeypatch.setattr(memory, "_rows_read", 0)
    for some in np.split(ids, 48 // texts):
        got = native.embed(some, np.arange(64)[None], w, 1e-5)
        close(got, native.layer_norm(original[some] + original[:64], norm, 1e-5), "primitive")
    assert resident() < 200
    table.sum()
    assert resident() > 3000


def peak_megabytes():
    resource = pytest.importorskip("resource")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_a_thread_gets_its_own_block_back():
    lib = memory.lib
    size = 12_345_678
    mine, both_have_one = lib.erniem_acquire(size), threading.Barrier(2, timeout=60)

    def other():
        block = lib.erniem_acquire(size)
        both_have_one.wait()
        both_have_one.wait()
        lib.erniem_release(block)

    thread = threading.Thread(target=other)
    thread.start()
    both_have_one.wait()
    lib.erniem_release(mine)
    both_have_one.wait()
    thread.join()  # its block was released last
    again = lib.erniem_acquire(size)
    lib.erniem_release(again)
    assert again == mine


def test_ten_thousand_calls_leak_nothing(rng):
    from numpy_erniem.backend import native

    w, x = weights(rng, 33, 64), rng.standard_normal((40, 64), np.float32)
    q = rng.standard_normal((1, 2, 40, 64), np.float32)
    large = rng.standard_normal((9, 64), np.float32)
    wide = weights(rng, 40_000, 64)

    def calls(n):
        for i in range(n):
            native.linear(x, w, "gelu")
            native.attention(q, q, q)
            native.add_norm(x, x, {"weight": x[0], "bias": x[1]}, 1e-5)
            if i % 50 == 0:  # a result of 1.4 MB, a weight packed and dropped
                native.linear(large, wide)
                native.linear(x, weights(rng, 33, 64))

    calls(500)
    before = peak_megabytes()
    calls(10_000)
    assert peak_megabytes() - before < 8
    assert len(memory._packs) == 2
