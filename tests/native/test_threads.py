"""Threads: the same bits for any number of them, several callers at once, and life after fork."""

import hashlib
import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from numpy_erniem.backend import dispatch as backend

SIZES = ((3, 97, 70), (150, 200, 64), (300, 64, 1600), (1030, 520, 770))


def everything(seed=1):
    """A result of every kernel, of sizes that several threads share."""
    from numpy_erniem.backend import native

    rng = np.random.default_rng(seed)
    results = []
    for m, n, k in SIZES:
        w = {"weight": rng.standard_normal((n, k), np.float32), "bias": np.ones(n, np.float32)}
        results.append(native.linear(rng.standard_normal((m, k), np.float32), w, "gelu"))
    q, k, v = rng.standard_normal((3, 1, 2, 200, 32), np.float32)
    results.append(native.attention(q, k, v, mask=rng.random((1, 1, 200, 200)) < 0.5)[0])
    w = {"weight": np.ones(512, np.float32), "bias": np.ones(512, np.float32)}
    results.append(native.layer_norm(rng.standard_normal((200, 512), np.float32), w, 1e-5))
    return [hashlib.sha256(result).hexdigest() for result in results]


def test_results_do_not_depend_on_the_number_of_threads(isa, threads):
    threads(1)
    want = everything()
    for n in (2, 3, 5, 8):
        threads(n)
        assert everything() == want, f"{n} threads"


def test_several_python_threads_at_once(threads):
    threads(3)
    want = [everything(seed) for seed in range(4)]
    wrong = []

    def run(seed):
        for _ in range(20):
            if everything(seed) != want[seed]:
                wrong.append(seed)

    callers = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


def report(queue):
    queue.put(everything())


def run_in_fork():
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=report, args=(queue,), daemon=True)
    child.start()
    child.join(20)
    finished = child.exitcode == 0
    child.kill()
    assert finished, "the child hung or crashed"
    return queue.get()


fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
ignore = pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")


@fork
@ignore
def test_kernels_run_before_and_after_a_fork(threads):
    threads(3)
    want = everything()
    assert run_in_fork() == want
    assert everything() == want
    assert run_in_fork() == want


@fork
@ignore
def test_a_fork_while_another_thread_computes(threads):
    threads(2)
    want = everything()
    stop = threading.Event()

    def keep_busy():
        while not stop.is_set():
            everything(2)

    busy = threading.Thread(target=keep_busy)
    busy.start()
    try:
        for _ in range(5):
            assert run_in_fork() == want
    finally:
        stop.set()
        busy.join()


def test_the_number_is_checked(threads):
    for wrong in (0, -1, 1025, 1.5, "2", None):
        with pytest.raises(ValueError, match=r"not a whole number in 1\.\.1024"):
            backend.set_num_threads(wrong)
    backend.set_num_threads(3)
    assert backend.get_num_threads() == 3


ASK = "from numpy_erniem.backend.dispatch import get_num_threads; print(get_num_threads())"


def ask(code, **variables):
    environment = {k: v for k, v in os.environ.items() if "NUM_THREADS" not in k and "ISA" not in k}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env={**environment, **variables}, capture_output=True, text=True, timeout=60
    )


def test_the_environment_sets_the_number():
    assert ask(ASK, OMP_NUM_THREADS="5").stdout == "5\n"
    assert ask(ASK, OMP_NUM_THREADS="5,2").stdout == "5\n"
    assert ask(ASK, OMP_NUM_THREADS="5", NUMPY_ERNIEM_NUM_THREADS="7").stdout == "7\n"
    wrong = ask(ASK, NUMPY_ERNIEM_NUM_THREADS="many")
    assert "NUMPY_ERNIEM_NUM_THREADS=many is not a number in 1..1024" in wrong.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_by_default_there_are_as_many_as_usable_cores():
    core = min(os.sched_getaffinity(0))
    assert ask(f"import os; os.sched_setaffinity(0, {{{core}}}); {ASK}").stdout == "1\n"
    assert ask(ASK).stdout == f"{len(os.sched_getaffinity(0))}\n"


def test_the_environment_turns_strassen_off():
    code = "from numpy_erniem.backend import settings; print(settings.get_strassen())"
    assert ask(code).stdout == ask(code, NUMPY_ERNIEM_STRASSEN="1").stdout == "True\n"
    assert ask(code, NUMPY_ERNIEM_STRASSEN="0").stdout == "False\n"
    wrong = ask(code, NUMPY_ERNIEM_STRASSEN="off")
    assert "NUMPY_ERNIEM_STRASSEN=off is neither 0 nor 1" in wrong.stderr


def test_the_environment_forces_an_instruction_set():
    code = "import numpy_erniem; print(numpy_erniem.backend_report()['native'])"
    from numpy_erniem.backend import settings

    for name in settings.available_isas():
        assert ask(code, NUMPY_ERNIEM_ISA=name).stdout == f"C kernels, {name}\n"
    missing = "neon" if "neon" not in settings.available_isas() else "avx2"
    for wrong in (missing, "altivec"):
        result = ask(code, NUMPY_ERNIEM_ISA=wrong)
        assert f"NUMPY_ERNIEM_ISA={wrong} cannot be used here" in result.stderr
        assert "generic" in result.stderr
