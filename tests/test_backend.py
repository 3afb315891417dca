"""Dispatch: which implementation runs, and what the report says about it."""

import contextvars
import os
import threading
import warnings

import numpy as np
import pytest

from numpy_erniem.backend import dispatch as backend
from numpy_erniem.backend.cores import MAX_THREADS, available_cores, check_num_threads, cpu_quota
from numpy_erniem.backend.counts import CallCounts
from numpy_erniem.backend.dispatch import (
    Unsupported,
    accelerated,
    backend_report,
    reset_backend_report,
    use_backend,
)


@pytest.fixture
def kernels(monkeypatch):
    """A native backend of our own making, empty at first."""
    table = {}
    monkeypatch.setattr(backend, "_native", lambda: (table, "a test's kernels"))
    reset_backend_report()
    yield table
    backend._environment_choice.cache_clear()
    reset_backend_report()


@accelerated
def double(x):
    """Return 2 x, by the formula."""
    return 2 * x


def test_the_kernel_runs_where_there_is_one(kernels):
    kernels["double"] = lambda x: "kernel"
    assert double(1) == "kernel"
    assert backend_report()["calls"] == {"double": {"native": 1}}


def test_the_formula_runs_without_a_kernel(kernels):
    assert double(1) == 2
    assert backend_report()["calls"] == {}


def test_the_formula_runs_where_the_kernel_declines(kernels):
    kernels["double"] = lambda x: Unsupported("odd") if x % 2 else "kernel"
    assert [double(1), double(2), double(3)] == [2, "kernel", 6]
    assert backend_report()["calls"] == {"double": {"native": 1, "odd": 2}}


def run_in_threads(work, count=8):
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_no_call_of_any_thread_is_lost_or_counted_twice(kernels):
    kernels["double"] = lambda x: Unsupported("odd") if x % 2 else "kernel"
    double(0), double(1)
    reset_backend_report()
    threads = run_in_threads(lambda: [double(x) for x in range(500)])
    while any(thread.is_alive() for thread in threads):
        backend_report()
    assert backend_report()["calls"] == {"double": {"native": 2000, "odd": 2000}}


def test_counts_of_ended_threads_are_kept_in_one_place():
    counts = CallCounts()

    def count():
        counts.mine.counts["a"] += 1

    for _ in range(20):
        (thread,) = run_in_threads(count, 1)
        thread.join()
    assert counts.totals() == {"a": 20}
    assert len(counts._threads) == 1  # of the thread that is alive
    counts.reset()
    assert counts.totals() == {}
    count()
    assert counts.totals() == {"a": 1}


def test_a_thread_counts_where_no_other_thread_writes():
    """What makes counting exact without the GIL: no dict has two writers."""
    counts, seen = CallCounts(), []
    together = threading.Barrier(3)

    def count():
        together.wait()
        seen.append(counts.mine.counts)
        together.wait()

    threads = run_in_threads(count, 3)
    for thread in threads:
        thread.join()
    assert len({id(own) for own in seen}) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_counting_goes_on_in_a_child_whose_parent_was_counting():
    counts = CallCounts()
    with counts._lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about forks beside other threads
        child = os.fork()
    if child == 0:
        counts.mine.counts["a"] += 1
        (thread,) = run_in_threads(counts.totals, 1)  # another thread needs the lock
        thread.join(20)
        os._exit(0 if not thread.is_alive() and counts.totals() == {"a": 1} else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_cores_are_counted_by_affinity_where_there_is_one(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 7}, raising=False)
    assert available_cores(tmp_path) == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_cores(tmp_path) == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores(tmp_path) == 1


def lay(root, files):
    """Write files below a folder that stands for / ."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def v1(folder, quota, period="100000"):
    """The files of a group under version 1."""
    folder = f"sys/fs/cgroup/{folder}"
    return {
        f"{folder}/cpu.cfs_quota_us": f"{quota}\n",
        f"{folder}/cpu.cfs_period_us": f"{period}\n",
    }


def v2(folder, text):
    """The file of a group under version 2."""
    return {f"sys/fs/cgroup/{folder}/cpu.max": f"{text}\n"}


QUOTAS = {
    "no files": ("", {}, None),
    "v2": ("0::/app\n", v2("app", "200000 100000"), 2),
    "v2, rounded up": ("0::/app\n", v2("app", "150000 100000"), 2),
    "v2, less than one core": ("0::/app\n", v2("app", "1000 100000"), 1),
    "v2, another period": ("0::/app\n", v2("app", "150000 50000"), 3),
    "v2, no period": ("0::/app\n", v2("app", "300000"), 3),
    "v2, max": ("0::/app\n", v2("app", "max 100000"), None),
    "v2, the group around it": (
        "0::/a/b/c\n",
        v2("a/b/c", "max 100000") | v2("a/b", "400000 100000") | v2("a", "300000 100000"),
        3,
    ),
    "v2, the group itself": (
        "0::/a/b\n",
        v2("a/b", "200000 100000") | v2("a", "800000 100000"),
        2,
    ),
    "v2, another group": ("0::/a/b\n", v2("a/c", "100000 100000"), None),
    "v2, at the top of a container": ("0::/\n", v2("", "200000 100000"), 2),
    "v2, named as the host sees it": ("0::/../other/x\n", v2("", "200000 100000"), 2),
    "v2, hybrid": ("1:name=systemd:/\n0::/a\n", v2("unified/a", "200000 100000"), 2),
    "v1": ("4:cpu,cpuacct:/app\n", v1("cpu,cpuacct/app", 250000), 3),
    "v1, linked": ("4:cpuacct,cpu:/app\n", v1("cpu/app", 250000), 3),
    "v1, cpu alone": ("9:memory:/m\n1:cpu:/app\n0::/\n", v1("cpu/app", 200000), 2),
    "v1, another period": ("1:cpu:/app\n", v1("cpu/app", 200000, 50000), 4),
    "v1, no limit": ("1:cpu:/app\n", v1("cpu/app", -1) | v1("cpu", -1), None),
    "v1, named as the host sees it": ("1:cpu:/docker/0123\n", v1("cpu", 200000), 2),
    "v1, the group around it": ("1:cpu:/a/b\n", v1("cpu/a/b", -1) | v1("cpu/a", 100000), 1),
    "v1, cpuset is not cpu": ("3:cpuset:/app\n", v1("cpuset/app", 100000), None),
    "both, the smaller one": (
        "1:cpu:/a\n0::/b\n",
        v1("cpu/a", 300000) | v2("unified/b", "200000 100000"),
        2,
    ),
    "v2, damaged": ("0::/app\n", v2("app", "many 100000") | v2("", "200000 100000"), 2),
    "v2, empty": ("0::/app\n", v2("app", ""), None),
    "v2, no time at all": ("0::/app\n", v2("app", "0 100000"), None),
    "v2, period 0": ("0::/app\n", v2("app", "100000 0"), None),
    "v1, period 0": ("1:cpu:/app\n", v1("cpu/app", 100000, 0), None),
    "v1, no period": ("1:cpu:/app\n", {"sys/fs/cgroup/cpu/app/cpu.cfs_quota_us": "100000"}, None),
    "damaged list": (b"\0\xff:::\n0\n0::/\0x\n1:cpu\n", v2("", "200000 100000"), 2),
    "a group that is not UTF-8": (b"0::/\xff\n", v2("", "200000 100000"), 2),
    "a long number": ("0::/app\n", v2("app", "9" * 5000 + " 100000"), None),
}


@pytest.mark.parametrize("name", QUOTAS)
def test_the_cpu_quota_of_a_container_is_read(tmp_path, name):
    groups, files, want = QUOTAS[name]
    lay(tmp_path, {"proc/self/cgroup": groups, **files})
    assert cpu_quota(tmp_path) == want


def test_a_system_without_control_groups_has_no_quota(tmp_path):
    assert cpu_quota(tmp_path) is None
    lay(tmp_path, {"proc/self/cgroup/folder/instead": "", "sys/fs/cgroup/cpu.max/too": ""})
    assert cpu_quota(tmp_path) is None


def test_cores_are_the_smaller_of_affinity_and_quota(monkeypatch, tmp_path):
    lay(tmp_path, {"proc/self/cgroup": "0::/app\n", **v2("app", "250000 100000")})
    for affinity, want in ((range(8), 3), (range(2), 2)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid, a=affinity: set(a), raising=False)
        assert available_cores(tmp_path) == want


def test_one_check_of_the_number_of_threads():
    assert check_num_threads(1) == 1
    assert check_num_threads(MAX_THREADS) == MAX_THREADS
    for wrong in (0, -1, MAX_THREADS + 1, 1.5, "2", None):
        with pytest.raises(ValueError, match=r"V is .*, not a whole number in 1\.\.1024"):
            check_num_threads(wrong, "V")


def test_without_kernels_only_the_name_of_the_threads_is_checked(monkeypatch):
    monkeypatch.setattr(backend, "_settings", lambda: None)
    monkeypatch.setattr(backend, "_native", lambda: ({}, "the C kernels are not built"))
    for name in ("openmp", "pool", "serial"):
        backend.set_threading(name)
        assert backend.get_threading() == "serial"
    with pytest.raises(ValueError, match="'fibers' is not one of openmp, pool, serial"):
        backend.set_threading("fibers")
    backend.set_num_threads(3)
    assert backend.get_num_threads() == backend.threads_in_use() == 1
    with pytest.raises(ValueError, match="not a whole number"):
        backend.set_num_threads(0)
    assert backend_report()["threading"] == "serial"


def test_without_kernels_there_is_no_strassen(monkeypatch):
    monkeypatch.setattr(backend, "_settings", lambda: None)
    backend.set_strassen(True)
    assert backend.get_strassen() is False


@pytest.mark.parametrize("wrong", [1, 0, "1", None])
def test_strassen_is_switched_by_a_bool(wrong):
    with pytest.raises(TypeError, match="set_strassen takes True or False, not"):
        backend.set_strassen(wrong)


def test_numpy_backend_never_calls_the_kernel(kernels):
    kernels["double"] = lambda x: "kernel"
    with use_backend("numpy"):
        assert double(1) == 2
        assert backend_report()["backend"] == "numpy"
    assert backend_report()["backend"] == "native"


def test_the_environment_chooses(kernels, monkeypatch):
    kernels["double"] = lambda x: "kernel"
    monkeypatch.setenv("NUMPY_ERNIEM_BACKEND", "numpy")
    backend._environment_choice.cache_clear()
    assert double(1) == 2
    with use_backend("auto"):
        assert double(1) == "kernel"
    monkeypatch.setenv("NUMPY_ERNIEM_BACKEND", "fortran")
    backend._environment_choice.cache_clear()  # it is looked at once
    with pytest.raises(ValueError, match="'fortran' is not one of auto, numpy, native"):
        double(1)


def test_native_is_refused_where_nothing_is_built(kernels):
    message = "'native' cannot be used: a test's kernels"
    with pytest.raises(ValueError, match=message), use_backend("native"):
        pass


def test_a_choice_holds_for_its_thread_alone(kernels):
    kernels["double"] = lambda x: "kernel"
    seen = []
    with use_backend("numpy"):
        fresh = contextvars.Context()  # what a thread starts with, before Python 3.14
        thread = threading.Thread(target=fresh.run, args=(lambda: seen.append(double(1)),))
        thread.start()
        thread.join()
    assert seen == ["kernel"]


def test_an_error_inside_the_block_restores_the_choice(kernels):
    kernels["double"] = lambda x: "kernel"
    with pytest.raises(KeyError), use_backend("numpy"):
        raise KeyError
    assert backend_report()["backend"] == "native"


def test_both_backends_compute_the_same(rng, close):
    from tests.conftest import native_is_built
    from tests.oracles import ids_and_mask, our_model

    if not native_is_built():
        pytest.skip("the C kernels are not built")
    model = our_model()
    ids, mask = ids_and_mask(rng)
    reset_backend_report()
    with use_backend("numpy"):
        want = model(ids, attention_mask=mask).last_hidden_state
    assert backend_report()["calls"] == {}
    with use_backend("native"):
        got = model(ids, attention_mask=mask).last_hidden_state
    assert backend_report()["calls"]["mlp"]["native"] >= 3
    close(got, want, "primitive")


def test_native_kernels_take_any_layout(backend, rng, close):
    from numpy_erniem.ops import add_norm

    w = {"weight": rng.standard_normal(6, np.float32), "bias": rng.standard_normal(6, np.float32)}
    x = rng.standard_normal((5, 12), np.float32)
    want = add_norm.body(x[:, ::2], x[:, 1::2], w, 1e-5)
    close(add_norm(x[:, ::2], x[:, 1::2], w, 1e-5), want, "primitive")
    swapped = x[:, ::2].astype(">f4")
    np.testing.assert_allclose(
        add_norm(swapped, None, w, 1e-5), add_norm.body(swapped, None, w, 1e-5)
    )
    shifted = np.frombuffer(b"\0" + x.tobytes(), np.float32, x.size, 1).reshape(x.shape)[:, :6]
    assert not shifted.flags.aligned
    close(add_norm(shifted, None, w, 1e-5), add_norm.body(x[:, :6], None, w, 1e-5), "primitive")
