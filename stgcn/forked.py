"""Work done in a copy of this process, which shares what is in memory already and gives its answer as bytes."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

HELD = (signal.SIGTERM, signal.SIGINT)
MOST = 4  # processes at work at once, this one among them


def spare() -> int:
    """How many copies have a processor of their own, beside this process; none where forking is not done."""
    return min(MOST, len(os.sched_getaffinity(0))) - 1 if sys.platform == "linux" else 0


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold SIGTERM and SIGINT back, and have them at the end.

    What their handlers raise is lost where C code calls Python and clears what was raised: around a fork, and when some
    extension modules are first imported.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Forked:
    """A function at work in a copy of this process. It must not use what other threads of this process may hold."""

    def __init__(self, work: Callable[[], bytes]) -> None:
        read_end, write_end = os.pipe()
        self.pipe = os.fdopen(read_end, "rb")
        self.pid = 0
        try:
            with undisturbed(), warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of other threads, such as those of numpy
                self.pid = os.fork()
                if self.pid == 0:
                    _work(work, write_end)
                os.close(write_end)
        except BaseException:
            self.stop()
            raise

    def answer(self) -> bytes | None:
        """What the function gave; None when it failed. Waits for it; asked once."""
        with self.pipe:
            said = self.pipe.read()
        failed = os.waitpid(self.pid, 0)[1]
        self.pid = 0
        return None if failed else said

    def stop(self) -> None:
        """End it, if it did not end by itself."""
        self.pipe.close()
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


def _work(work: Callable[[], bytes], write_end: int) -> NoReturn:
    status = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
        said = work()
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(said)
        status = 0
    finally:
        os._exit(status)  # whatever happens, the copy does nothing that is up to the original
