"""The cache on disk: one name per content, one fetch at a time, and a partial file that a later fetch can go on with.

``<id>/<file name>`` is complete and verified; ``<id>.part`` and ``<id>.parts`` are what a fetch has so far; ``<id>.lock`` is
held by the one that fetches.
"""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from runner import private
from runner.errors import StorageError
from runner.storage.place import size

_BLOCK = 1024 * 1024
_RECORD = re.compile(r"(\d{1,9}) ([0-9a-f]{8})\n")


def identity(*facts: object) -> str:
    """The name that a content has in the cache."""
    return hashlib.sha256("\n".join(str(fact) for fact in facts).encode()).hexdigest()[:24]


@contextmanager
def held(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock file; while another process does, ``waiting`` is called five times a second and may raise.

    Raises:
        StorageError: the file system has no locks.
    """
    import fcntl
    import time

    private.folder(path.parent)
    fd = private.opened(path, os.O_RDWR)
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waiting()
                time.sleep(0.2)
            except OSError as error:
                hint = "Put the workspace on a local disk (--workspace DIR)."
                raise StorageError(f"{path.parent} does not lock files: {error.strerror}", hint=hint) from None
        yield
    finally:
        os.close(fd)


def check_room(folder: Path, needed: int, what: str) -> None:
    """Refuse what will not fit before the first byte comes.

    Raises:
        StorageError: the disk has less than ``needed`` bytes left.
    """
    import shutil

    there = next(f for f in (folder, *folder.absolute().parents) if f.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        hint = "Make room, or give a workspace on another disk (--workspace DIR)."
        raise StorageError(f"{what}: {size(needed)} do not fit on {there}, which has {size(free)} left", hint=hint)


class Partial:
    """A file that grows part by part, in any order, with a journal of the parts that are whole (number, CRC-32)."""

    def __init__(self, path: Path, total: int, part: int) -> None:
        self.path, self.total = path, total
        self.journal = path.with_suffix(".parts")
        self.ranges = [(start, min(start + part, total)) for start in range(0, total, part)]
        self._header = f"{total} bytes in parts of {part}\n"
        self._lock = Lock()

    def open(self) -> set[int]:
        """Make the file ready to be written; the numbers of the parts that are there already, each read and compared."""
        whole = {}
        if self.path.is_file() and self.path.stat().st_size == self.total:
            whole = {n: crc for n, crc in self._recorded().items() if n < len(self.ranges) and self._crc(n) == crc}
        with self.path.open("r+b" if whole else "wb") as file:
            file.truncate(self.total)
        self.journal.write_text(self._header + "".join(f"{n} {crc:08x}\n" for n, crc in whole.items()))
        return set(whole)

    def record(self, number: int, crc: int) -> None:
        """A part has been written whole."""
        with self._lock, self.journal.open("a") as file:
            file.write(f"{number} {crc:08x}\n")

    def drop(self) -> None:
        """Forget what was fetched."""
        self.path.unlink(missing_ok=True)
        self.journal.unlink(missing_ok=True)

    def become(self, target: Path) -> None:
        """Give the complete file its name, in one step that survives a power cut."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(self.path, target)
        self.journal.unlink(missing_ok=True)

    def _recorded(self) -> dict[int, int]:
        """What the journal says; a torn last line says nothing, a journal of other parts neither."""
        try:
            text = self.journal.read_text(errors="replace")
        except OSError:
            return {}
        if not text.startswith(self._header):
            return {}
        return {int(n): int(crc, 16) for n, crc in _RECORD.findall(text)}

    def _crc(self, number: int) -> int:
        start, end = self.ranges[number]
        crc = 0
        with self.path.open("rb") as file:
            file.seek(start)
            while start < end and (block := file.read(min(_BLOCK, end - start))):
                crc, start = zlib.crc32(block, crc), start + len(block)
        return crc
