"""File locks: what makes a record survive crashes and neighbours. Knows no records."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner import private
from runner.errors import SkillBankError


class Lease:
    """The right to run one job; held while the file descriptor is open, here or in a process it was handed to."""

    def __init__(self, job_id: str, fd: int) -> None:
        self.job_id = job_id
        self._fd = fd

    def fileno(self) -> int:
        """The descriptor to hand to a detached supervisor (``pass_fds``); it is not inherited otherwise."""
        return self._fd

    def close(self) -> None:
        """Let go here. The job stays alive while another process holds the same open file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def release_to_child(self) -> None:
        """Let go after the descriptor was handed over: from now on the other process alone keeps the job alive."""
        self.close()

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_lock(path: Path) -> int:
    """A descriptor of the lock file, created when missing; not inherited by other programs."""
    with private.words(f"the workspace file {path} cannot be opened"):
        return private.opened(path, os.O_RDWR)


def flock(fd: int, *, wait: bool) -> bool:
    """Lock an open file exclusively; False when another open file holds it and ``wait`` is off.

    Raises:
        SkillBankError: the system or the file system has no such locks (exit code 7).
    """
    try:
        import fcntl
    except ImportError:
        raise SkillBankError("job records need flock(), which Linux and macOS have", exit_code=7) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES) and not wait:
            return False
        hint = "Put the workspace on a local disk (--workspace DIR)."
        raise SkillBankError(
            f"the workspace's file system does not lock files: {error.strerror}", hint=hint, exit_code=7
        ) from None
    return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` for the length of the block, waiting for it."""
    fd = open_lock(path)
    try:
        flock(fd, wait=True)
        yield
    finally:
        os.close(fd)
