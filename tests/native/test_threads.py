"""Threads: the same bits for any kind and number of them, several callers at once, and forks."""

import hashlib
import multiprocessing
import os
import subprocess
import sys
import threading as python_threads

import numpy as np
import pytest

import numpy_erniem as erniem
from numpy_erniem.backend import dispatch
from numpy_erniem.backend.cores import MAX_THREADS, available_cores
from tests.conftest import native_is_built

SIZES = ((3, 97, 70), (150, 200, 64), (300, 64, 1600), (1030, 520, 770))


def everything(seed=1):
    """A result of every kernel, of sizes that several threads share."""
    from numpy_erniem.backend import native

    rng = np.random.default_rng(seed)
    results = []
    for m, n, k in SIZES:
        w = {"weight": rng.standard_normal((n, k), np.float32), "bias": np.ones(n, np.float32)}
        x, residual = rng.standard_normal((m, k), np.float32), np.ones((m, n), np.float32)
        norm = residual, {"weight": np.ones(n, np.float32), "bias": np.ones(n, np.float32)}, 1e-5
        results.append(native.linear(x, w, "gelu"))
        results.append(native.linear(x, w, "gelu", norm))
    q, k, v = rng.standard_normal((3, 1, 2, 200, 32), np.float32)
    results.append(native.attention(q, k, v, mask=rng.random((1, 1, 200, 200)) < 0.5)[0])
    w = {"weight": np.ones(512, np.float32), "bias": np.ones(512, np.float32)}
    results.append(native.layer_norm(rng.standard_normal((200, 512), np.float32), w, 1e-5))
    return [hashlib.sha256(result).hexdigest() for result in results]


def kinds():
    """The kinds of threads that were built."""
    if not native_is_built():
        return ["none"]
    from numpy_erniem.backend import settings

    return settings.available_threading()


@pytest.fixture(params=kinds())
def threading(request):
    """Run a test once with each kind of threads."""
    before = dispatch.get_threading()
    dispatch.set_threading(request.param)
    yield request.param
    dispatch.set_threading(before)


def test_results_do_not_depend_on_the_number_of_threads(isa, threading, threads):
    dispatch.set_threading("serial")
    want = everything()
    dispatch.set_threading(threading)
    for n in (1, 2, 3, 5, 8):
        threads(n)
        assert everything() == want, f"{n} threads"


def test_several_python_threads_at_once(threading, threads):
    threads(3)
    want = [everything(seed) for seed in range(4)]
    wrong = []

    def run(seed):
        for _ in range(10):
            if everything(seed) != want[seed]:
                wrong.append(seed)

    callers = [python_threads.Thread(target=run, args=(seed,)) for seed in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


def test_the_kind_may_change_while_kernels_run(threads):
    threads(2)
    want, wrong, stop = everything(), [], python_threads.Event()

    def run():
        while not stop.is_set():
            if everything() != want:
                wrong.append(dispatch.get_threading())

    before = dispatch.get_threading()
    callers = [python_threads.Thread(target=run) for _ in range(2)]
    for caller in callers:
        caller.start()
    for _ in range(5):
        for name in kinds():
            dispatch.set_threading(name)
            everything()
    stop.set()
    for caller in callers:
        caller.join()
    dispatch.set_threading(before)
    assert wrong == []


def count_tasks():
    """Threads of this process, those of libraries included; Linux alone."""
    return len(os.listdir("/proc/self/task"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="no list of threads here")
@pytest.mark.parametrize("name", kinds())
def test_as_many_threads_run_as_were_asked_for(name):
    code = (
        "from tests.native.test_threads import *\n"
        "from numpy_erniem.backend.settings import lib\n"
        "lib.erniem_set_cores(MAX_THREADS)\n"
        "before = count_tasks(); everything(); print(count_tasks() - before)"
    )
    one_blas_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    for n in (1, 3):
        done = ask(
            code,
            NUMPY_ERNIEM_THREADING=name,
            NUMPY_ERNIEM_NUM_THREADS=str(n),
            **one_blas_thread,
        )
        want = 0 if name == "serial" else n - 1
        assert done.stdout == f"{want}\n", done.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
@pytest.mark.parametrize("name", kinds())
def test_no_more_threads_run_than_there_are_cores(name):
    """Threads that share a core wait for each other, and each of them may wait in a loop."""
    core = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, {{{core}}})\n"
        "from tests.native.test_threads import *\n"
        "before = count_tasks(); everything(); print(count_tasks() - before)\n"
        "print(dispatch.get_num_threads(), dispatch.threads_in_use())"
    )
    many = {"NUMPY_ERNIEM_NUM_THREADS": "8", "OPENBLAS_NUM_THREADS": "1"}
    done = ask(code, NUMPY_ERNIEM_THREADING=name, **many)
    assert done.stdout == "0\n8 1\n", done.stderr


TOO_MANY = {
    "set_num_threads": ("dispatch.set_num_threads(64)", {}),
    "OMP_NUM_THREADS": ("", {"OMP_NUM_THREADS": "64"}),
    "NUMPY_ERNIEM_NUM_THREADS": ("", {"NUMPY_ERNIEM_NUM_THREADS": "64"}),
}


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="no list of threads here")
@pytest.mark.parametrize("way", TOO_MANY)
@pytest.mark.parametrize("name", kinds())
def test_however_64_threads_are_asked_for_there_are_no_more_than_cores(name, way):
    first, asked = TOO_MANY[way]
    code = (
        "from tests.native.test_threads import *\n"
        f"from numpy_erniem.backend.cores import available_cores\n{first}\n"
        "before = count_tasks(); everything()\n"
        "print(dispatch.get_num_threads(), dispatch.threads_in_use() <= available_cores(),\n"
        "      count_tasks() - before < available_cores())"
    )
    done = ask(code, NUMPY_ERNIEM_THREADING=name, OPENBLAS_NUM_THREADS="1", **asked)
    assert done.stdout == "64 True True\n", done.stderr


def test_a_misspelt_number_of_threads_is_refused():
    wrong = ask(ASK, NUMPY_ERNIEM_THREADS="64")
    assert "NUMPY_ERNIEM_THREADS is not read; set NUMPY_ERNIEM_NUM_THREADS instead" in wrong.stderr


def test_cores_are_counted_again_where_the_number_is_set(kernels, monkeypatch):
    from numpy_erniem.backend import settings

    dispatch.set_threading(kinds()[0])
    before = settings.get_num_threads()
    for cores, n, used in ((2, 4, 2), (6, 4, 4), (5000, 1024, 1024)):
        monkeypatch.setattr(settings, "available_cores", lambda cores=cores: cores)
        dispatch.set_num_threads(n)
        assert (dispatch.get_num_threads(), dispatch.threads_in_use()) == (n, used)
    monkeypatch.undo()
    dispatch.set_num_threads(before)


def report(queue, nested):
    queue.put((dispatch.get_threading(), everything()))
    if nested:
        queue.put(run_in_fork())


def run_in_fork(nested=False):
    """What a forked child, or a child of that child, says about its threads and computes."""
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=report, args=(queue, nested))
    child.start()
    child.join(30)
    finished = child.exitcode == 0
    child.kill()
    assert finished, "the child hung or crashed"
    answer = queue.get()
    return queue.get() if nested else answer


fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
ignore = pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")


def after_a_fork(name):
    """The kind of threads that a child uses whose parent uses these."""
    return "pool" if name == "openmp" else name


@fork
@ignore
@pytest.mark.parametrize("nested", [False, True], ids=["child", "grandchild"])
def test_kernels_run_before_and_after_a_fork(threading, threads, nested):
    threads(3)
    want = everything()
    assert run_in_fork(nested) == (after_a_fork(threading), want)
    assert dispatch.get_threading() == threading
    assert everything() == want
    assert run_in_fork(nested) == (after_a_fork(threading), want)


@fork
@ignore
def test_a_fork_while_another_thread_computes(threading, threads):
    threads(2)
    want = everything()
    stop = python_threads.Event()

    def keep_busy():
        while not stop.is_set():
            everything(2)

    busy = python_threads.Thread(target=keep_busy)
    busy.start()
    try:
        for _ in range(5):
            assert run_in_fork() == (after_a_fork(threading), want)
    finally:
        stop.set()
        busy.join()


@fork
@ignore
@pytest.mark.skipif("openmp" not in kinds(), reason="OpenMP is not built in")
def test_a_child_has_no_openmp_even_if_no_kernel_ran_before_the_fork():
    """Another library of the parent may have used OpenMP."""
    code = (
        "import os\n"
        "from numpy_erniem.backend import dispatch, settings\n"
        "dispatch.set_threading('openmp')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try: dispatch.set_threading('openmp')\n"
        "    except ValueError as error: print(settings.get_threading(), error, flush=True)\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "print(dispatch.get_threading())"
    )
    done = ask(code)
    message = "threading 'openmp' cannot be used here; this process has pool, serial"
    assert done.stdout == f"pool {message}\nopenmp\n", done.stderr


def test_the_number_is_checked(threads):
    from numpy_erniem.backend import settings

    for put in (dispatch.set_num_threads, settings.set_num_threads):
        for wrong in (0, -1, 1025, 1.5, "2", None):
            with pytest.raises(ValueError, match=r"not a whole number in 1\.\.1024"):
                put(wrong)
        put(3)
        assert dispatch.get_num_threads() == settings.get_num_threads() == 3


def test_c_and_python_have_the_same_largest_number(kernels, threads):
    assert kernels.lib.ERNIEM_MAX_THREADS == MAX_THREADS
    for wrong in (0, MAX_THREADS + 1):
        assert kernels.lib.erniem_set_threads(wrong) == -1
    assert kernels.lib.erniem_set_threads(MAX_THREADS) == 0


def test_the_kind_is_chosen_and_told(threading, threads):
    threads(3)
    assert erniem.get_threading() == erniem.backend_report()["threading"] == threading


def test_the_number_is_kept_under_serial_which_uses_one(kernels, threading, threads):
    threads(3)
    assert erniem.get_num_threads() == 3
    assert kernels.lib.erniem_get_threads() == (1 if threading == "serial" else 3)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'fibers' is not one of openmp, pool, serial"):
        erniem.set_threading("fibers")


ASK = "from numpy_erniem.backend.dispatch import get_num_threads; print(get_num_threads())"
ASK_KIND = "import numpy_erniem as e; print(e.get_threading())"


def ask(code, **variables):
    ours = ("NUM_THREADS", "ISA", "THREADING")
    environment = {k: v for k, v in os.environ.items() if not k.endswith(ours)}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env={**environment, **variables}, capture_output=True, text=True, timeout=60
    )


def test_the_environment_chooses_the_kind():
    for name in kinds():
        assert ask(ASK_KIND, NUMPY_ERNIEM_THREADING=name).stdout == f"{name}\n"
    assert ask(ASK_KIND).stdout == f"{kinds()[0]}\n"
    wrong = ask(ASK_KIND, NUMPY_ERNIEM_THREADING="fibers")
    message = "NUMPY_ERNIEM_THREADING 'fibers' cannot be used here; this process has "
    assert message + ", ".join(kinds()) in wrong.stderr


def test_the_environment_sets_the_number():
    assert ask(ASK, OMP_NUM_THREADS="5").stdout == "5\n"
    assert ask(ASK, OMP_NUM_THREADS="5,2").stdout == "5\n"
    assert ask(ASK, OMP_NUM_THREADS="5", NUMPY_ERNIEM_NUM_THREADS="7").stdout == "7\n"
    for text, told in (("many", "'many'"), ("0", "0"), ("1025", "1025")):
        wrong = ask(ASK, NUMPY_ERNIEM_NUM_THREADS=text)
        message = f"NUMPY_ERNIEM_NUM_THREADS is {told}, not a whole number in 1..1024"
        assert message in wrong.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_by_default_there_are_as_many_as_usable_cores():
    core = min(os.sched_getaffinity(0))
    assert ask(f"import os; os.sched_setaffinity(0, {{{core}}}); {ASK}").stdout == "1\n"
    assert ask(ASK).stdout == f"{available_cores()}\n"


def test_the_environment_asks_for_strassen():
    code = "import numpy_erniem; print(numpy_erniem.get_strassen())"
    assert ask(code).stdout == ask(code, NUMPY_ERNIEM_STRASSEN="0").stdout == "False\n"
    assert ask(code, NUMPY_ERNIEM_STRASSEN="1").stdout == "True\n"
    code += "; from numpy_erniem.backend import settings"
    wrong = ask(code, NUMPY_ERNIEM_STRASSEN="off")
    assert "NUMPY_ERNIEM_STRASSEN=off is neither 0 nor 1" in wrong.stderr


def test_the_environment_forces_an_instruction_set():
    code = "import numpy_erniem; print(numpy_erniem.backend_report()['native'])"
    from numpy_erniem.backend import settings

    isas = settings.available_isas()
    for name in isas:
        assert ask(code, NUMPY_ERNIEM_ISA=name).stdout == f"C kernels, {name}\n"
    code = "import numpy_erniem; print(numpy_erniem.backend_report()['kernels'])"
    for number in ("float32", "int8"):
        for name in settings.available_kernels(number):
            assert (
                f"'{number}': '{name}'" in ask(code, NUMPY_ERNIEM_ISA=name).stdout or name in isas
            )
    missing = "neon" if "neon" not in settings.available_isas() else "avx2"
    for wrong in (missing, "altivec"):
        result = ask(code, NUMPY_ERNIEM_ISA=wrong)
        assert f"NUMPY_ERNIEM_ISA={wrong} cannot be used here" in result.stderr
        assert "generic" in result.stderr
