"""Files of the bank's own: records, locks, logs. Nobody else reads them, and no link that somebody planted diverts a write.

A folder made here is open to its owner only. Whoever opens it to others (``chmod``) opens the files that are written to it
from then on: a file is as readable as the folder it lies in. Knows no jobs.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runner.errors import SkillBankError

OWNER, OTHERS = 0o600, 0o066


def folder(path: Path) -> Path:
    """Make a folder that only its owner can enter; one that exists is left as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    return path


def opened(path: Path, flags: int) -> int:
    """A descriptor of the file, created when missing; programs that are started do not inherit it.

    Raises:
        OSError: among others, the file is a symbolic link.
    """
    try:
        return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, _mode(path.parent))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link, which is not written through", str(path)) from None
        raise


def appending(path: Path) -> int:
    """A descriptor that writes at the end of the file."""
    return opened(path, os.O_WRONLY | os.O_APPEND)


def replace(path: Path, text: str, *, mode: int | None = None) -> None:
    """Write whole or not at all, and survive a power cut: temp, fsync, rename, fsync of the folder.

    ``mode`` is 0o666 for what is not the bank's own, such as results: then the user's umask rules.
    """
    temporary = path.with_name(f".{path.name.lstrip('.')}.{os.urandom(6).hex()}.tmp")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _mode(path.parent) if mode is None else mode)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fd = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def words(what: str) -> Iterator[None]:
    """Say an operating-system error as a sentence that starts with ``what``."""
    try:
        yield
    except OSError as error:
        raise SkillBankError(f"{what}: {error.strerror or error}", exit_code=7) from None


def _mode(parent: Path) -> int:
    return OWNER | (os.stat(parent).st_mode & OTHERS)


def tail(path: Path, lines: int = 20) -> list[str]:
    """The last lines of a text file, without terminal codes; empty when there is no such file."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 65536))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line for raw in re.split(r"[\r\n]+", text) if (line := plain(raw))][-lines:]


def plain(line: str) -> str:
    """A line without colours and cursor movements."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip()
