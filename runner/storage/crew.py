"""Threads that move bytes while the caller's thread reports and can end it. Knows neither S3 nor files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event, Lock

from runner.storage.client import Stopped
from runner.storage.place import Limits, Moved, Progress


class Crew:
    """A number of workers, the bytes they moved so far, and the word to stop."""

    def __init__(self, limits: Limits, progress: Progress | None, what: str, address: str, total: int) -> None:
        self.limits = limits
        self.stop = Event()
        self.total = total
        self._progress, self._what, self._address = progress, what, address
        self._done, self._lock = 0, Lock()

    def moved(self, count: int) -> None:
        """Count bytes (a worker does); fewer than none when they turned out wrong.

        Raises:
            Stopped: the transfer was ended.
        """
        if self.stop.is_set():
            raise Stopped
        with self._lock:
            self._done += count

    def report(self) -> None:
        """Tell the caller where the transfer is."""
        if self._progress is not None:
            self._progress(Moved(self._what, self._address, min(self._done, self.total), self.total))

    def run(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Do all tasks; the first error ends the others and is raised."""
        from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

        self.report()
        with ThreadPoolExecutor(min(self.limits.workers, max(1, len(tasks)))) as pool:
            pending = {pool.submit(task) for task in tasks}
            try:
                while pending:
                    done, pending = wait(pending, timeout=0.1, return_when=FIRST_EXCEPTION)
                    for future in done:
                        future.result()
                    self.report()
            except BaseException:
                self.stop.set()
                for future in pending:
                    future.cancel()
                raise
