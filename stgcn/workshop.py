"""A hidden folder beside the results in which they are made, gone at the end, however it ends. Standard library only."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stgcn import files


@contextmanager
def workshop(folder: Path, hidden: str) -> Iterator[Path]:
    """Make a folder in ``folder`` with a name that begins with ``hidden``, and remove those of processes that were killed.

    Raises:
        ResourceError: there is an OSError in making it or within the block.
    """
    _sweep(files.make_folder(folder), hidden)
    place = folder / f"{hidden}{secrets.token_hex(6)}"
    try:
        place.mkdir()
        lock = os.open(place, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield place
        finally:
            os.close(lock)
    except OSError as error:
        raise files.unwritable(folder, error) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _sweep(folder: Path, hidden: str) -> None:
    """Remove the workshops nobody holds the lock of."""
    for left in folder.glob(f"{hidden}*"):
        with suppress(OSError):
            lock = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)
