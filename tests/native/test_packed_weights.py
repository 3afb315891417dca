"""Packed weights: right, shared, and given back."""

import contextlib
import gc
import mmap
import os
import threading
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest

from numpy_erniem import ops
from numpy_erniem.backend.frozen import freeze, is_frozen
from numpy_erniem.backend.unsupported import Unsupported
from tests.conftest import native_is_built
from tests.native.conftest import float32_kernels

if native_is_built():
    from numpy_erniem.backend import native, packing, settings


def read_only(array):
    array.setflags(write=False)
    return array


def weights(rng, n=20, k=30):
    return {"weight": rng.standard_normal((n, k), np.float32), "bias": np.ones(n, np.float32)}


def frozen(w):
    return {name: freeze(array.copy()) for name, array in w.items()}


@pytest.fixture
def packs(monkeypatch):
    """The shapes of all weights that are packed during a test."""
    shapes, pack = [], packing.pack
    monkeypatch.setattr(
        packing, "pack", lambda w, *scale: shapes.append(w.shape) or pack(w, *scale)
    )
    return shapes


def test_a_frozen_weight_is_packed_once(rng, packs):
    w, x = frozen(weights(rng)), rng.standard_normal((4, 30), np.float32)
    for _ in range(3):
        native.linear(x, w)
        native.linears(x, [w])
    assert packs == [(20, 30)]


def test_a_weight_that_two_threads_need_at_once_is_packed_once(rng, monkeypatch, close):
    """Two packs could both stay: one as the panels, the other one as part of the layer."""
    w, x = frozen(weights(rng)), rng.standard_normal((4, 30), np.float32)
    both, pack, packed, results = threading.Barrier(2), packing.pack, [], []

    def slow_pack(weight, scale):
        packed.append(weight.shape)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)  # the second thread arrives here only if it packs as well
        return pack(weight, scale)

    monkeypatch.setattr(packing, "pack", slow_pack)
    callers = [
        threading.Thread(target=lambda: results.append(native.linear(x, w))) for _ in range(2)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert packed == [(20, 30)]
    for result in results:
        close(result, ops.linear.body(x, w), "primitive")
    kept = w["weight"].base.kept
    assert kept.layer[3][2] is kept.panels[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_packs_whose_parent_was_packing(rng):
    w, x = frozen(weights(rng)), rng.standard_normal((4, 30), np.float32)
    with packing._lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about forks beside other threads
        child = os.fork()
    if child == 0:
        other = threading.Thread(target=lambda: native.linear(x, w), daemon=True)
        other.start()
        other.join(20)
        os._exit(0 if w["weight"].base.kept is not None and not other.is_alive() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_weight_shared_by_layers_is_packed_once(rng, packs, close):
    w, x = frozen(weights(rng)), rng.standard_normal((4, 30), np.float32)
    other = {"weight": w["weight"], "bias": freeze(np.full(20, 7, np.float32))}
    for layer in (w, other, w, dict(other)):
        close(native.linear(x, layer), ops.linear.body(x, layer), "primitive")
    assert packs == [(20, 30)]


def test_a_pack_dies_with_its_weight(rng):
    w, x = frozen(weights(rng)), rng.standard_normal((4, 30), np.float32)
    native.linear(x, w)
    pack = weakref.ref(w["weight"].base.kept.panels[1])
    view = w["weight"][:2]
    del w
    gc.collect()
    assert pack() is not None
    del view
    gc.collect()
    assert pack() is None


def test_layers_that_share_their_arrays_crosswise_die_too(rng):
    scale, shift = freeze(np.ones(30, np.float32)), freeze(np.zeros(30, np.float32))
    x = rng.standard_normal((4, 30), np.float32)
    native.layer_norm(x, {"weight": scale, "bias": shift}, 1e-5)
    native.layer_norm(x, {"weight": shift, "bias": scale}, 1e-5)
    gone = weakref.ref(scale), weakref.ref(shift)
    del scale, shift
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_another_kernel_packs_again(rng, close, packs):
    w, x = frozen(weights(rng, 70, 50)), rng.standard_normal((4, 50), np.float32)
    want = ops.linear.body(x, w)
    names = float32_kernels()
    try:
        for name in names:
            settings.choose_isa(name)
            close(native.linear(x, w), want, "primitive", name)
            close(native.linears(x, [w])[0], want, "primitive", name)
        for name in names:
            settings.choose_isa(name)
            close(native.linears(x, [w, w])[1], want, "primitive", name)
    finally:
        settings.choose_isa(settings.available_isas()[0])
    assert len(packs) == (2 * len(names) if len(names) > 1 else 1)


def test_an_array_that_is_replaced_in_its_layer_is_noticed(rng, close):
    w, x = frozen(weights(rng)), rng.standard_normal((4, 30), np.float32)
    native.linear(x, w)
    for name, array in frozen(weights(rng)).items():
        w[name] = array
        close(native.linear(x, w), ops.linear.body(x, w), "primitive", name)


def test_a_shape_that_is_changed_in_place_is_noticed(rng, close):
    w, x = frozen(weights(rng)), rng.standard_normal((4, 60), np.float32)
    native.linear(x[:, :30], w)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from NumPy 2.5 on
        w["weight"].shape = (10, 60)
    w["bias"] = freeze(np.ones(10, np.float32))
    close(native.linear(x, w), ops.linear.body(x, w), "primitive")


def changing():
    """Arrays that are read-only, and over memory that somebody can write to: each with a writer."""
    array = read_only(np.zeros((20, 30), np.float32))

    def thaw():
        array.setflags(write=True)
        array[:] = 1
        array.setflags(write=False)

    yield "made writable, changed and read-only again", array, thaw
    owner = np.zeros((20, 30), np.float32)
    yield "a read-only view", read_only(owner[:]), lambda owner=owner: owner.fill(1)
    below = read_only(np.zeros((20, 30), np.float32))
    view = below[:]

    def thaw_below():
        below.setflags(write=True)
        below.fill(1)
        below.setflags(write=False)

    yield "a view of an array that is made writable", view, thaw_below
    owner = np.zeros((20, 30), np.float32)
    view = np.asarray(memoryview(owner).toreadonly())
    yield "a read-only memoryview of an array", view, lambda owner=owner: owner.fill(1)
    buffer = bytearray(2400)
    view = np.frombuffer(memoryview(buffer).toreadonly(), np.float32).reshape(20, 30)

    def overwrite(buffer=buffer):
        buffer[:] = np.ones(600, np.float32).tobytes()

    yield "a read-only memoryview of a bytearray", view, overwrite
    anonymous = mmap.mmap(-1, 2400)
    view = read_only(np.frombuffer(anonymous, np.float32).reshape(20, 30))

    def overwrite(anonymous=anonymous):
        anonymous[:] = np.ones(600, np.float32).tobytes()

    yield "a mapping that can be written to", view, overwrite


@pytest.mark.parametrize("case", range(6))
def test_a_read_only_weight_that_can_change_is_never_stale(rng, close, case):
    name, weight, change = list(changing())[case]
    assert not weight.flags.writeable
    x, bias = rng.standard_normal((4, 30), np.float32), freeze(np.ones(20, np.float32))
    w = {"weight": weight, "bias": bias}
    for _ in range(2):
        close(native.linear(x, w), np.ones((4, 20), np.float32), "exact", name)
        close(native.linears(x, [w])[0], np.ones((4, 20), np.float32), "exact", name)
    change()
    want = ops.linear.body(x, w)
    assert np.abs(want - 1).max() > 1
    close(native.linear(x, w), want, "primitive", name)
    close(native.linears(x, [w])[0], want, "primitive", name)


@pytest.mark.parametrize("case", range(6))
def test_a_frozen_copy_of_memory_that_can_change_stays(case):
    name, weight, change = list(changing())[case]
    if weight.flags.owndata:
        pytest.skip("an array that owns its memory is handed over, not copied")
    copied = freeze(weight)
    change()
    assert not copied.any(), name


def test_a_bias_that_can_change_beside_a_frozen_weight_is_read_anew(rng, close):
    w, x = frozen(weights(rng)), rng.standard_normal((4, 30), np.float32)
    owner, steps = np.zeros(20, np.float32), np.zeros(40, np.float32)
    for bias in (w["bias"], np.zeros(20, np.float32), steps[::2], read_only(owner[:])):
        layer = {"weight": w["weight"], "bias": bias}
        native.linear(x, layer)
        owner += 5
        if bias.flags.writeable:
            bias += 5
        close(native.linear(x, layer), ops.linear.body(x, layer), "primitive")
        close(native.linears(x, [layer])[0], ops.linear.body(x, layer), "primitive")
    assert isinstance(native.linear(x, {**w, "bias": np.ones(19, np.float32)}), Unsupported)
    assert isinstance(native.linear(x, {**w, "bias": np.ones(20)}), Unsupported)


def test_a_weight_that_may_change_is_packed_for_every_call(rng, close, packs):
    w, x = weights(rng), rng.standard_normal((4, 30), np.float32)
    native.linear(x, w)
    w["weight"] *= 2
    close(native.linear(x, w), ops.linear.body(x, w), "primitive")
    assert packs == 2 * [(20, 30)]


def test_a_norm_that_may_change_is_read_anew(rng, close):
    x = rng.standard_normal((4, 30), np.float32)
    w = {"weight": np.ones(30, np.float32), "bias": np.zeros(30, np.float32)}
    for layer in (w, frozen(w), w):
        close(native.layer_norm(x, layer, 1e-5), ops.layer_norm.body(x, layer, 1e-5), "primitive")
        for array in w.values():
            array += 3
    for array in w.values():
        read_only(array)
    for _ in range(2):
        close(native.layer_norm(x, w, 1e-5), ops.layer_norm.body(x, w, 1e-5), "primitive")
        for array in w.values():
            array.setflags(write=True)
            array += 3
            read_only(array)


def test_a_linear_layer_is_no_norm(rng):
    w, x = frozen(weights(rng, 30, 30)), rng.standard_normal((4, 30), np.float32)
    native.linear(x, w)
    assert isinstance(native.layer_norm(x, w, 1e-5), Unsupported)


def test_nobody_can_write_to_a_frozen_array(rng):
    array = freeze(rng.standard_normal((20, 30), np.float32))
    for view in (array, array[1:], array.T, array.reshape(-1), np.asarray(array.base)):
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.setflags(write=True)


def test_what_is_copied_when_it_is_frozen(tmp_path):
    path = tmp_path / "numbers"
    np.arange(64, dtype=np.float32).tofile(path)

    def is_copied(array):
        made = freeze(array)
        assert is_frozen(made)
        assert type(made) is np.ndarray
        np.testing.assert_array_equal(made, array)
        return not np.may_share_memory(made, array)

    mapped = np.memmap(path, np.float32, "r")
    step = np.lib.stride_tricks.as_strided(mapped, (2, 3), (12, 4), writeable=False)
    for constant in (mapped, mapped[3:9].reshape(2, 3), step, np.frombuffer(b"abcd", np.float32)):
        assert not is_copied(constant)
    assert not is_copied(np.zeros((3, 4), np.float32))  # handed over
    assert is_copied(np.memmap(path, np.float32, "r+"))
    assert is_copied(np.memmap(path, np.float32, "c"))
    assert is_copied(np.zeros((3, 4), np.float32)[1:])
    assert is_copied(np.zeros((3, 4), np.float32).T)
    once = freeze(np.zeros(3, np.float32))
    assert freeze(once) is once
    assert not is_copied(once[1:])


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

    return freeze(np.memmap(path, np.float32, "r", shape=original.shape)), original, resident


def test_a_mapped_weight_leaves_its_pages_to_the_file(mapped, rng):
    weight, original, resident = mapped
    assert weight.sum() == pytest.approx(original.sum(), rel=1e-3)
    assert resident() > 3000
    x, bias = rng.standard_normal((3, 1000), np.float32), np.zeros(1000, np.float32)
    got = native.linear(x, {"weight": weight, "bias": bias})
    assert resident() < 200
    np.testing.assert_array_equal(weight, original)
    np.testing.assert_allclose(got, x @ original.T, atol=1e-3)


def test_a_mapped_int8_weight_leaves_its_pages_to_the_file(tmp_path, rng):
    """Its pages are released once it is packed: what is resident afterwards is next to nothing."""
    smaps, path = Path("/proc/self/smaps"), tmp_path / "weight"
    if not smaps.exists():
        pytest.skip(f"this system has no {smaps}")
    rng.integers(-127, 128, (2000, 2000)).astype(np.int8).tofile(path)

    def resident():
        lines = iter(smaps.read_text().splitlines())
        next(line for line in lines if line.endswith(str(path)))
        return next(int(x.split()[1]) for x in lines if x.startswith("Rss:"))

    weight = freeze(np.memmap(path, np.int8, "r", shape=(2000, 2000)))
    ones = freeze(np.ones(2000, np.float32))
    total = weight.sum(dtype=np.int64)
    assert resident() > 3000
    got = native.linear(
        np.ones((1, 2000), np.float32), {"weight": weight, "scale": ones, "bias": ones}
    )
    assert resident() < 200
    assert got.sum() == pytest.approx(total + 2000, rel=1e-2, abs=1)


@pytest.mark.parametrize("texts", [1, 3, 16])  # of a call
def test_a_mapped_table_does_not_come_into_memory_row_by_row(mapped, close, texts):
    table, original, resident = mapped
    norm = {"weight": np.ones(1000, np.float32), "bias": np.zeros(1000, np.float32)}
    w = {
        "word_embeddings": {"weight": table},
        "position_embeddings": {"weight": original[:64]},
        "layer_norm": norm,
    }
    ids = np.arange(48 * 64).reshape(48, 64) % 1000  # the last ends where pages are released
    other = {**w, "word_embeddings": {"weight": freeze(original.copy())}}
    for some in np.split(ids, 48 // texts):
        native.embed(some[:1, :40], np.arange(40)[None], other, 1e-5)  # counted apart
        got = native.embed(some, np.arange(64)[None], w, 1e-5)
        close(got, native.layer_norm(original[some] + original[:64], norm, 1e-5), "primitive")
    assert resident() < 200
    table.sum()
    assert resident() > 3000


def test_one_long_row_is_read_in_parts(mapped, close, monkeypatch):
    """A packed batch: its tokens are all in one row."""
    from numpy_erniem.backend import native

    table, original, _ = mapped
    norm = {"weight": np.ones(1000, np.float32), "bias": np.zeros(1000, np.float32)}
    tables = {"word_embeddings": {"weight": table}, "position_embeddings": {"weight": original[:9]}}
    ids, rows = np.arange(700)[None] % 99, np.arange(700)[None] % 9
    counts = []
    monkeypatch.setattr(native, "rows_were_read", lambda _, count: counts.append(count))
    got = native.embed(ids, rows, {**tables, "layer_norm": norm}, 1e-5)
    close(got, native.layer_norm(original[ids] + original[rows], norm, 1e-5), "primitive")
    assert counts == [256, 256, 188]


def peak_megabytes():
    resource = pytest.importorskip("resource")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_ten_thousand_calls_leak_nothing(rng):
    w, x = frozen(weights(rng, 33, 64)), rng.standard_normal((40, 64), np.float32)
    q = rng.standard_normal((1, 2, 40, 64), np.float32)
    large = rng.standard_normal((9, 64), np.float32)
    wide = frozen(weights(rng, 40_000, 64))

    def calls(n):
        for i in range(n):
            native.linear(x, w, "gelu")
            native.attention(q, q, q)
            native.add_norm(x, x, {"weight": x[0], "bias": x[1]}, 1e-5)
            if i % 50 == 0:  # a result of 1.4 MB, a weight packed and dropped
                native.linear(large, wide)
                native.linear(x, weights(rng, 33, 64))
                native.linear(x, frozen(weights(rng, 33, 64)))

    calls(500)
    before = peak_megabytes()
    calls(10_000)
    assert peak_megabytes() - before < 8
