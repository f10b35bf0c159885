"""When a running job is to end: a signal, or a deadline. Knows no jobs."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Remembers the first signal, and a deadline if there is one; the running job asks it between two breaths.

    A stop within an ``outer`` one also heeds that.
    """

    def __init__(self, outer: Stop | None = None, deadline: float | None = None, why: str = "") -> None:
        self.signal: int | None = None
        self.ended = ""
        self.outer, self.deadline, self.why = outer, deadline, why

    def __call__(self) -> int | None:
        """The signal to end the job with, or None."""
        said = self.signal or (self.outer() if self.outer else None)
        return said or (signal.SIGTERM if self.overdue() else None)

    def overdue(self) -> bool:
        """Whether the deadline has passed (``time.monotonic``)."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def end(self, why: str) -> None:
        """End it from within the program."""
        self.signal, self.ended = self.signal or signal.SIGTERM, why

    def reason(self) -> str:
        """Why, in words for the record."""
        if self.outer and self.outer():
            return self.outer.reason()
        if self.signal is None and self.overdue():
            return self.why
        return self.ended or ("interrupted" if self.signal == signal.SIGINT else "ended by a signal")


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """While a job runs, SIGINT and SIGTERM only leave a word; the job is then ended in order and recorded."""
    stop = Stop()

    def remember(number: int, _frame: FrameType | None) -> None:
        stop.signal = stop.signal or number

    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
