"""Threads of training: no more than there are cores, whatever is asked for."""

import threading

from numpy_erniem.backend import cores
from numpy_erniem.backend.dispatch import get_num_threads
from numpy_erniem.models.weights import flatten
from numpy_erniem.training import threads, value_and_grad
from numpy_erniem.training.optimizer import AdamW, clip_factor
from tests.models.conftest import B, T, V
from tests.training.conftest import make


def test_parts_run_in_no_more_threads_than_there_are_cores(monkeypatch):
    monkeypatch.setattr(threads, "counted_cores", lambda: 2)

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


def test_a_step_does_not_count_the_cores(backend, monkeypatch, rng):
    def refuse(root="/"):
        raise AssertionError("the files of control groups were read")

    threads.counted_cores()  # once in a program
    monkeypatch.setattr(cores, "cpu_quota", refuse)
    model = make("ErnieMForTokenClassification")
    ids, labels = rng.integers(2, V, (B, T)), rng.integers(0, 2, (B, T))
    batch = {"input_ids": ids, "labels": labels}
    _, gradients = value_and_grad(model, batch, threads=get_num_threads() + 1)
    weights, flat = flatten(model.weights), flatten(gradients)
    factor, _ = clip_factor(flat, 1.0, threads=3)
    AdamW(1e-3).step(weights, flat, threads=3, gradient_factor=factor)
