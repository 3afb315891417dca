"""Counts that many threads raise at once: exact with and without the GIL, and without a lock.

Each thread counts in a dict of its own, which no other thread writes. A reader adds them up.
"""

import os
import threading
import weakref
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable


class _Alive:
    """Lives as long as the thread-local storage that holds it."""


class _Mine(threading.local):
    """What one thread counts, made at its first count: `mine.counts[key] += 1`."""

    def __init__(self, register: Callable[[_Alive], dict[Hashable, int]]) -> None:
        self.alive = _Alive()
        self.counts = register(self.alive)


class CallCounts:
    """The counts of all threads, also of those that have ended.

    Attributes
    ----------
    mine : threading.local
        `mine.counts[key] += 1` counts in the thread that runs it.
    """

    def __init__(self) -> None:
        self._renew_lock()
        self._threads: list[tuple[weakref.ref, dict[Hashable, int]]] = []
        self._ended: Counter = Counter()
        self._before_reset: Counter = Counter()
        self.mine = _Mine(self._register)
        if hasattr(os, "register_at_fork"):  # the thread that holds it does not exist in the child
            os.register_at_fork(after_in_child=self._renew_lock)

    def totals(self) -> dict[Hashable, int]:
        """Add up what all threads counted since the last reset; keys that count 0 are left out."""
        with self._lock:
            return dict(self._all() - self._before_reset)

    def reset(self) -> None:
        """Start again from zero."""
        with self._lock:
            self._before_reset = self._all()

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()

    def _register(self, alive: _Alive) -> dict[Hashable, int]:
        counts: dict[Hashable, int] = defaultdict(int)
        with self._lock:
            self._collect_ended()
            self._threads.append((weakref.ref(alive), counts))
        return counts

    def _collect_ended(self) -> None:
        """Keep the counts of ended threads as one sum, so that the list does not grow."""
        ended = [entry for entry in self._threads if entry[0]() is None]
        for entry in ended:
            self._ended.update(entry[1])
            self._threads.remove(entry)

    def _all(self) -> Counter:
        self._collect_ended()
        total = self._ended.copy()
        for _, counts in self._threads:
            total.update(dict(counts))  # a copy in one step: its thread may be adding a key
        return total
