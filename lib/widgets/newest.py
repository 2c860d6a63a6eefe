"""Slow work that must not hold up the hand: a thread that does the newest job and forgets the older ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["NewestWins"]

Job = TypeVar("Job")
Result = TypeVar("Result")


class NewestWins(Generic[Job, Result]):
    """Does one job at a time, in a thread of its own that ends when nothing is left to do.

    Args:
        work: job -> result.
        done: called in the thread with job, result and the seconds since the job was submitted.
        failed: called in the thread with what `work` or `done` raised.
        lock: held during `work`; share one where two workers use the same networks.
    """

    def __init__(
        self, work: Callable[[Job], Result], done: Callable[[Job, Result, float], None],
        failed: Callable[[Exception], None], *, lock: threading.Lock | None = None,
    ) -> None:  # fmt: skip
        self._work, self._done, self._failed = work, done, failed
        self._lock = lock or threading.Lock()
        self._state = threading.Condition()
        self._waiting: tuple[Job, float] | None = None
        self._running = False

    @property
    def busy(self) -> bool:
        """Whether a job is being done or waits."""
        return self._running or self._waiting is not None

    def submit(self, job: Job) -> None:
        """Do this job next; one that waits and has not begun is forgotten."""
        with self._state:
            self._waiting = (job, time.perf_counter())
            if self._running:
                return
            self._running = True
        threading.Thread(target=self._run, daemon=True).start()

    def forget(self) -> None:
        """Forget the job that waits, if there is one."""
        with self._state:
            self._waiting = None

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing is left to do; False if that takes longer."""
        with self._state:
            return self._state.wait_for(lambda: not self.busy, seconds)

    def _run(self) -> None:
        while True:
            with self._state:
                if self._waiting is None:
                    self._running = False
                    self._state.notify_all()
                    return
                (job, since), self._waiting = self._waiting, None
            try:
                with self._lock:
                    result = self._work(job)
                self._done(job, result, time.perf_counter() - since)
            except Exception as error:  # nobody watches a thread
                self._failed(error)
