"""Threads of training: no more than there are cores, whatever is asked for."""

import threading

from numpy_erniem.backend.dispatch import get_num_threads
from numpy_erniem.training import threads


def test_parts_run_in_no_more_threads_than_there_are_cores(monkeypatch):
    monkeypatch.setattr(threads, "available_cores", lambda: 2)

    two = threading.Barrier(2, timeout=60)

    def work(part):
        two.wait()
        return part, threading.get_ident()

    done = threads.in_threads(work, range(64))
    assert [part for part, _ in done] == list(range(64))
    assert len({thread for _, thread in done}) == 2


def test_numpy_divides_the_batch_and_the_kernels_their_work(backend):
    before = get_num_threads()
    with threads.parts_of_batch(3) as parts:
        inside = get_num_threads()
    assert (parts, inside) == ((3, before) if backend == "numpy" else (1, 3))
    assert get_num_threads() == before


def test_a_number_of_threads_that_is_set_already_is_not_set_again(monkeypatch):
    def refuse(n):
        raise AssertionError(f"set to {n}")

    monkeypatch.setattr(threads, "set_num_threads", refuse)
    with threads.parts_of_batch(get_num_threads()):
        pass
