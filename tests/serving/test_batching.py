"""A runner: items of several jobs in one batch, in turn, bounded, and cancelled."""

import threading

import pytest

from numpy_erniem.pipelines.base import Pipeline
from numpy_erniem.pipelines.streaming import Prepared
from numpy_erniem.serving.batching import Runner
from numpy_erniem.serving.errors import RequestError
from numpy_erniem.serving.jobs import Job

SECONDS = 20  # until a test fails that waits in vain


class Task(Pipeline):
    """Gives each text in upper case; notes its batches, and waits before each for `go`."""

    def __init__(self):
        self.batches, self.go, self.running = [], threading.Event(), threading.Event()
        self.go.set()

    def check_options(self):
        pass

    def prepare(self, items):
        if any("unfit" in item for item in items):
            raise ValueError("this text is unfit")
        return [
            Prepared([[1] * len(item)], len(item), 1 if "long" in item else 0) for item in items
        ]

    def compute(self, rows, done):
        self.running.set()
        assert self.go.wait(SECONDS)
        self.batches.append([len(row) for row in rows])
        done(0.5)
        if any(len(row) == 13 for row in rows):
            raise ValueError("the model gives NaN")
        return rows

    def finish(self, item, prepared, outputs):
        assert outputs == prepared.rows
        return item.upper()


class Waiting(Job):
    """A job whose end a test can wait for."""

    def __init__(self, task, items, key=("k",)):
        self.event = threading.Event()
        places = [f"input[{n}]" for n in range(len(items))]
        super().__init__(task, items, key, places, lambda job: self.event.set())

    def wait(self):
        assert self.event.wait(SECONDS)
        if self.error is not None:
            raise self.error
        return self.results


@pytest.fixture
def task():
    return Task()


@pytest.fixture
def runner():
    made = []

    def make(**options):
        limits = {"batch_tokens": 100, "batch_wait": 0.0, "max_waiting": 50, "max_text_tokens": 80}
        made.append(Runner(**(limits | options)))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def hold(runner, task):
    """Start a runner, and keep it in a batch of one item of one token."""
    task.go.clear()
    first = Waiting(task, ["a"])
    runner.submit(first)
    runner.start()
    assert task.running.wait(SECONDS)
    return first


def test_jobs_that_wait_run_as_one_batch(runner, task):
    one = runner()
    first = hold(one, task)
    jobs = [Waiting(task, [text]) for text in ("bb", "ccc", "dddd")]
    for job in jobs:
        one.submit(job)
    task.go.set()
    assert [job.wait() for job in [first, *jobs]] == [["A"], ["BB"], ["CCC"], ["DDDD"]]
    assert task.batches == [[1], [2, 3, 4]]


def test_jobs_with_different_keys_run_apart(runner, task):
    one = runner()
    hold(one, task)
    jobs = [Waiting(task, ["bb"], ("x",)), Waiting(task, ["ccc"], ("y",))]
    for job in jobs:
        one.submit(job)
    task.go.set()
    assert [job.wait() for job in jobs] == [["BB"], ["CCC"]]
    assert task.batches == [[1], [2], [3]]


def test_a_batch_is_full_at_its_tokens(runner, task):
    one = runner(batch_tokens=6)
    hold(one, task)
    jobs = [Waiting(task, ["bbb"]) for _ in range(4)]
    for job in jobs:
        one.submit(job)
    task.go.set()
    assert [job.wait() for job in jobs] == [["BBB"]] * 4
    assert task.batches == [[1], [3, 3], [3, 3]]


def test_a_long_job_does_not_keep_a_short_one_waiting(runner, task):
    one = runner(batch_tokens=4)
    hold(one, task)
    long, short = Waiting(task, ["bbb"] * 40), Waiting(task, ["cc"])
    one.submit(long)
    one.submit(short)
    task.go.set()
    assert short.wait() == ["CC"]
    assert long.wait() == ["BBB"] * 40
    place = next(n for n, batch in enumerate(task.batches) if 2 in batch)
    assert place <= 2


def test_a_batch_waits_for_as_many_jobs_as_the_last_one_had(runner, task):
    one = runner(batch_wait=SECONDS)
    hold(one, task)
    jobs = [Waiting(task, ["bb"]) for _ in range(2)]
    for job in jobs:
        one.submit(job)
    task.go.set()
    for job in jobs:
        job.wait()
    again = [Waiting(task, ["cc"]) for _ in range(2)]
    for job in again:  # the first of them waits for the second
        one.submit(job)
    for job in again:
        job.wait()
    assert task.batches == [[1], [2, 2], [2, 2]]


def test_a_full_queue_refuses_more(runner, task):
    one = runner(max_waiting=5)
    hold(one, task)
    one.submit(Waiting(task, ["b"] * 4))
    with pytest.raises(RequestError, match="4 texts are waiting") as error:
        one.submit(Waiting(task, ["c"] * 2))
    assert error.value.status == 429
    assert error.value.headers["Retry-After"] == "1"
    one.submit(Waiting(task, ["c"]))
    task.go.set()


def test_an_empty_queue_takes_a_job_of_any_size(runner, task):
    one = runner(max_waiting=5)
    one.start()
    job = Waiting(task, ["b"] * 9)
    one.submit(job)
    assert job.wait() == ["B"] * 9


def test_a_cancelled_job_leaves_the_queue(runner, task):
    one = runner(max_waiting=5)
    hold(one, task)
    job = Waiting(task, ["bb"] * 5)
    one.submit(job)
    one.cancel(job)
    assert one.waiting == 0
    last = Waiting(task, ["c"])
    one.submit(last)
    task.go.set()
    assert last.wait() == ["C"]
    assert task.batches == [[1], [1]]
    assert not job.event.is_set()


def test_a_job_that_is_cancelled_while_it_runs_takes_no_further_batch(runner, task):
    one = runner(batch_tokens=2)
    task.go.clear()
    job, last = Waiting(task, ["bb"] * 9), Waiting(task, ["c"])
    one.submit(job)
    one.start()
    assert task.running.wait(SECONDS)
    one.cancel(job)
    one.submit(last)
    task.go.set()
    assert last.wait() == ["C"]
    assert task.batches == [[2, 2], [1]]


def test_a_text_that_cannot_be_prepared_is_named(runner, task):
    one = runner()
    one.start()
    job = Waiting(task, ["fine", "unfit", "fine"])
    one.submit(job)
    with pytest.raises(RequestError, match=r"^input\[1\]: this text is unfit") as error:
        job.wait()
    assert (error.value.status, error.value.param) == (400, "input[1]")


def test_a_text_with_too_many_tokens_is_refused(runner, task):
    one = runner(max_text_tokens=9)
    one.start()
    job = Waiting(task, ["b" * 9, "c" * 10])
    one.submit(job)
    with pytest.raises(RequestError, match=r"input\[1\] has 10 tokens; at most 9") as error:
        job.wait()
    assert error.value.code == "context_length_exceeded"


def test_an_error_of_one_job_leaves_the_others_whole(runner, task):
    one = runner()
    first = hold(one, task)
    bad = [Waiting(task, ["b" * 13]), Waiting(task, ["unfit"])]
    good = [Waiting(task, ["c"]), Waiting(task, ["dd"])]
    for job in (bad[0], good[0], bad[1], good[1]):
        one.submit(job)
    task.go.set()
    assert [job.wait() for job in [first, *good]] == [["A"], ["C"], ["DD"]]
    with pytest.raises(ValueError, match="NaN"):
        bad[0].wait()
    with pytest.raises(RequestError, match="unfit"):
        bad[1].wait()
    assert one.alive


def test_what_was_cut_is_noted(runner, task):
    one = runner(batch_tokens=3)
    one.start()
    job = Waiting(task, ["long", "b", "long"])
    one.submit(job)
    job.wait()
    assert job.cut == [0, 2]
    assert job.tokens == [4, 1, 4]
    assert job.read == 9


def test_a_runner_that_stops_finishes_its_queue_and_takes_no_more(runner, task):
    one = runner()
    hold(one, task)
    job = Waiting(task, ["bb"])
    one.submit(job)
    stopper = threading.Thread(target=one.stop)
    stopper.start()
    task.go.set()
    assert job.wait() == ["BB"]
    stopper.join(SECONDS)
    assert not one.alive
    with pytest.raises(RequestError, match="stops") as error:
        one.submit(Waiting(task, ["c"]))
    assert error.value.status == 503


def test_batches_are_told(runner, task):
    seen = []
    one = runner(observe=lambda *numbers: seen.append(numbers))
    one.start()
    job = Waiting(task, ["bb", "ccc"])
    one.submit(job)
    job.wait()
    one.stop()
    ((texts, tokens, seconds),) = seen
    assert (texts, tokens) == (2, 5)
    assert seconds >= 0


def test_a_batch_that_cannot_be_counted_is_answered_all_the_same(runner, task):
    def full(*numbers):
        raise OSError("no space left on device")

    one = runner(observe=full)
    one.start()
    for _ in range(2):  # the thread goes on
        job = Waiting(task, ["a text"])
        one.submit(job)
        assert job.wait() == ["A TEXT"]


def test_a_batch_is_told_before_its_results(runner, task):
    seen = []
    one = runner(observe=lambda *numbers: seen.append(job.over))
    job = Waiting(task, ["a text"])
    one.submit(job)
    one.start()
    job.wait()
    assert seen == [False]
