"""One thread for each model, which runs the items of several requests as one batch."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from numpy_erniem.pipelines.tokens import TextTooLongError
from numpy_erniem.serving.errors import TOO_LONG, WRONG_VALUE, RequestError, busy
from numpy_erniem.serving.jobs import CancelledError, Job, Slice, run_slices
from numpy_erniem.serving.logs import log

CHARACTERS = 2  # at least so many are a token, on average; more only make a batch smaller
Observe = Callable[[int, int, float], None]  # texts, tokens and seconds of a batch


class Runner:
    """A queue of jobs, and a thread that runs them in batches.

    A long job does not keep short ones waiting: each batch takes some items of every job, in turn,
    until it is full. What a batch computes for an item does not depend on the others in it.

    Parameters
    ----------
    batch_tokens : int
        A batch is full when it has so many tokens.
    batch_wait : float
        Seconds that a batch waits at most for as many jobs as the last one had.
    max_waiting : int
        Most items that wait.
    max_text_tokens : int
        Most tokens of an item.
    observe : function
        Told of each batch.
    """

    def __init__(
        self,
        *,
        batch_tokens: int,
        batch_wait: float,
        max_waiting: int,
        max_text_tokens: int,
        observe: Observe = lambda texts, tokens, seconds: None,
    ) -> None:
        self.batch_tokens = batch_tokens
        self.batch_wait = batch_wait
        self.max_waiting = max_waiting
        self.max_text_tokens = max_text_tokens
        self.observe = observe
        self.changed = threading.Condition()
        self.queue: deque[Job] = deque()
        self.waiting = 0  # items of all jobs in the queue
        self.last = 1  # jobs of the last batch
        self.stopping = False
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self.thread = threading.Thread(target=self._work, name="erniem-runner", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Finish what is in the queue, and end the thread."""
        with self.changed:
            self.stopping = True
            self.changed.notify_all()
        if self.thread is not None:
            self.thread.join()

    @property
    def alive(self) -> bool:
        """Whether jobs are run."""
        return self.thread is not None and self.thread.is_alive()

    def submit(self, job: Job) -> None:
        """Put a job at the end of the queue.

        Raises
        ------
        RequestError
            The queue is full, or the server stops.
        """
        with self.changed:
            if self.stopping:
                raise stopping()
            if self.waiting + len(job.items) > self.max_waiting and self.waiting:
                raise busy(f"{self.waiting} texts are waiting already; try again later")
            self.queue.append(job)
            self.waiting += len(job.items)
            self.changed.notify_all()

    def cancel(self, job: Job) -> None:
        """Take a job out of the queue, and end it where it runs."""
        job.over = True
        self._withdraw(job)

    def _withdraw(self, job: Job) -> None:
        """Take a job out of the queue, if it is there."""
        with self.changed:
            if job in self.queue:
                self.queue.remove(job)
                self.waiting -= job.waiting

    def _work(self) -> None:
        while self._wait():
            batch = self._gather()
            self.last = max(1, len({id(part.job) for part in batch}))
            groups: dict[tuple[Any, ...], list[Slice]] = {}
            for part in batch:
                groups.setdefault(part.job.key, []).append(part)
            for parts in groups.values():
                self._run(parts)

    def _wait(self) -> bool:
        """Wait for jobs; False when the server stops and there is none."""
        with self.changed:
            self.changed.wait_for(lambda: self.queue or self.stopping)
            if self.last > 1:
                self.changed.wait_for(
                    lambda: len(self.queue) >= self.last or self.stopping, self.batch_wait
                )
            return bool(self.queue)

    def _gather(self) -> list[Slice]:
        """Items of the jobs in turn, prepared, until the batch is full or the queue is empty."""
        batch: list[Slice] = []
        tokens = 0
        while tokens < self.batch_tokens:
            taken = self._take(self.batch_tokens - tokens)
            if taken is None:
                break
            part = self._prepare(*taken)
            if part is not None:
                batch.append(part)
                tokens += sum(len(row) for p in part.prepared for row in p.rows) or 1
        return batch

    def _take(self, room: int) -> tuple[Job, list[Any]] | None:
        """The next items of the first job, which goes to the end of the queue if it has more."""
        with self.changed:
            if not self.queue:
                return None
            job = self.queue.popleft()
            count, characters = 0, 0
            while count < job.waiting and (not count or characters < CHARACTERS * room):
                characters += job.task.size_of(job.items[job.taken + count])
                count += 1
            items = job.items[job.taken : job.taken + count]
            job.taken += count
            self.waiting -= count
            if job.waiting:
                self.queue.append(job)
            return job, items

    def _prepare(self, job: Job, items: list[Any]) -> Slice | None:
        """The rows of some items; None where the job ends by an error."""
        first = job.taken - len(items)
        try:
            prepared = job.task.prepare(items)
            for n, item in enumerate(prepared, first):
                if item.tokens > self.max_text_tokens:
                    raise _in_item(job, n, f"has {item.tokens} tokens", self.max_text_tokens)
            return Slice(job, items, prepared)
        except RequestError as error:
            self._fail(job, error)
        except ValueError as error:
            self._fail(job, self._of_one(job, first, items) or RequestError(400, str(error)))
        except Exception as error:
            self._fail(job, error)
        return None

    def _of_one(self, job: Job, first: int, items: list[Any]) -> RequestError | None:
        """The error of the first item that cannot be prepared."""
        for n, item in enumerate(items, first):
            try:
                job.task.prepare([item])
            except ValueError as error:
                code = TOO_LONG if isinstance(error, TextTooLongError) else WRONG_VALUE
                return RequestError(400, f"{job.places[n]}: {error}", job.places[n], code)
        return None

    def _fail(self, job: Job, error: Exception) -> None:
        self._withdraw(job)
        job.fail(error)

    def _run(self, parts: list[Slice]) -> None:
        """Run slices of one key; each job gets its results, or the error."""
        start = time.perf_counter()
        try:
            results = run_slices(parts)
        except CancelledError:
            return
        except Exception as error:
            if len(parts) > 1:  # one by one, so that one request does not spoil the others
                for part in parts:
                    self._run([part])
            else:
                self._fail(parts[0].job, error)
            return
        texts = sum(len(part.items) for part in parts)
        tokens = sum(len(row) for part in parts for p in part.prepared for row in p.rows)
        try:
            self.observe(texts, tokens, time.perf_counter() - start)
        except Exception as error:  # such as a full disk: counts are lost, and no answer
            log("a batch was not counted", logging.ERROR, error)
        for part, of_part in zip(parts, results, strict=True):
            part.job.add(of_part, part.prepared)


def stopping() -> RequestError:
    """A refusal because the server ends."""
    headers = {"Retry-After": "1", "Connection": "close"}
    return RequestError(503, "the server stops; try again", code="stopping", headers=headers)


def _in_item(job: Job, n: int, what: str, most: int) -> RequestError:
    return RequestError(
        400, f"{job.places[n]} {what}; at most {most} are taken", job.places[n], TOO_LONG
    )
