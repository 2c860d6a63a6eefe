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
        done: called in the thread with job, result and the seconds since the job was due.
        failed: called in the thread with what `work` or `done` raised.
        rest: seconds for which a job waits, so that a newer one can still take its place; each newer one waits anew.
    """

    def __init__(
        self, work: Callable[[Job], Result], done: Callable[[Job, Result, float], None],
        failed: Callable[[Exception], None], *, rest: float = 0.0,
    ) -> None:  # fmt: skip
        self._work, self._done, self._failed, self._rest = work, done, failed, rest
        self._state = threading.Condition()
        self._waiting: tuple[Job, float] | None = None  # and when it is due
        self._running = False

    @property
    def busy(self) -> bool:
        """Whether a job is being done or waits."""
        return self._running or self._waiting is not None

    def submit(self, job: Job, *, at_once: bool = False) -> None:
        """Do this job next; one that waits and has not begun is forgotten.

        Args:
            job: what `work` is given.
            at_once: without the rest.
        """
        with self._state:
            self._waiting = (job, time.perf_counter() + (0.0 if at_once else self._rest))
            if self._running:
                self._state.notify_all()
                return
            self._running = True
        threading.Thread(target=self._run, daemon=True).start()

    def forget(self) -> None:
        """Forget the job that waits, if there is one."""
        with self._state:
            self._waiting = None
            self._state.notify_all()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing is left to do; False if that takes longer."""
        with self._state:
            return self._state.wait_for(lambda: not self.busy, seconds)

    def _next(self) -> tuple[Job, float] | None:
        """The newest job, when it is due; None, and the thread ends, if there is none."""
        with self._state:
            while self._waiting is not None and (left := self._waiting[1] - time.perf_counter()) > 0:
                self._state.wait(left)
            job, self._waiting = self._waiting, None
            if job is None:
                self._running = False
                self._state.notify_all()
            return job

    def _run(self) -> None:
        while (due := self._next()) is not None:
            job, since = due
            try:
                result = self._work(job)
                self._done(job, result, time.perf_counter() - since)
            except Exception as error:  # nobody watches a thread
                self._failed(error)
