"""What a study in a database tells those who work on it elsewhere: the task, and whether it was ended. Who may be its parent.

The right to be the parent is a lock of the database that goes with the connection, as a file's goes with its process.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from runner import databases
from runner.automl.study import REACH, Opened, opening
from runner.errors import Refused, SchemaInvalid, StorageError

TASK, CLOSED = "task", "closed"
GHOST = 120.0  # seconds in which a server has found out that a connection is dead, and let its locks go


def publish(opened: Opened, task: Mapping[str, Any]) -> None:
    """Say what is trained; a search that had been ended is open again."""
    opened.study.set_user_attr(TASK, dict(task))
    opened.study.set_user_attr(CLOSED, None)


def task(opened: Opened) -> dict[str, Any]:
    """What is trained.

    Raises:
        SchemaInvalid: nobody has said it.
    """
    found = opened.study.user_attrs.get(TASK)
    if not isinstance(found, dict):
        raise SchemaInvalid(f"the study {opened.study.study_name} does not say what is trained; it is no search over machines")
    return found


def close(opened: Opened, why: str) -> None:
    """Tell all workers that the search is over."""
    opened.study.set_user_attr(CLOSED, why)


def closed(opened: Opened) -> str | None:
    """Why the search is over, if its parent said so."""
    found = opened.study.user_attrs.get(CLOSED)
    return str(found) if found else None


class Right:
    """The right to be the parent of a study, from here to ``end``.

    Raises:
        Refused: another process has it. StorageError: the database cannot be asked.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url, self._name = url, name
        self._lost: float | None = None  # since when another session has it
        self._connection = _connected(url)
        if not _locked(self._connection, name):
            self.end()
            raise taken(name)

    def keep(self) -> None:
        """Take it again where the connection broke, as it does when the database is started anew.

        A database that is away is asked again the next time; so is one that has not noticed yet that the old connection is
        gone.

        Raises:
            Refused: another process has taken the right meanwhile.
        """
        try:
            if not self._alive():
                self.end()
                self._connection = _connected(self._url)
                self._lost = None if _locked(self._connection, self._name) else self._lost or time.monotonic()
            elif self._lost is not None and _locked(self._connection, self._name):
                self._lost = None
        except (StorageError, _broken()):
            return
        if self._lost is not None and time.monotonic() - self._lost > GHOST:
            raise taken(self._name)

    def end(self) -> None:
        """Give it up."""
        with suppress(Exception):  # the database may be gone; so is the lock then
            self._connection.close()

    def _alive(self) -> bool:
        from sqlalchemy import text

        if self._connection.closed:
            return False
        try:
            self._connection.execute(text("SELECT 1"))
        except _broken():
            return False
        return True


@contextmanager
def parent(url: str, name: str) -> Iterator[Right]:
    """Hold the right to be the parent of a study for the length of the block.

    Raises:
        Refused: another process has it. StorageError: the database cannot be asked.
    """
    right = Right(url, name)
    try:
        yield right
    finally:
        right.end()


def has_parent(url: str, name: str) -> bool:
    """Whether a process holds that right now."""
    connection = _connected(url)
    try:
        return not _locked(connection, name)
    finally:
        connection.close()


def taken(name: str) -> Refused:
    """Somebody else is the parent."""
    hint = f"`skillbank automl worker {name}` or --join adds workers to it; `skillbank cancel` ends it."
    return Refused(f"The search {name} is run by another process.", hint=hint)


def _broken() -> type[Exception]:
    from sqlalchemy import exc

    return exc.SQLAlchemyError


def _connected(url: str) -> Any:
    from sqlalchemy import create_engine, make_url, pool, text

    reach = {key: value for key, value in REACH.items() if key not in make_url(url).query}
    with opening(databases.shown(url)):
        engine = create_engine(url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT", connect_args=reach)
        connection = engine.connect()
        # The same for the server, which lets the lock go when this machine is gone.
        for setting in ("tcp_keepalives_idle = 30", "tcp_keepalives_interval = 10", "tcp_keepalives_count = 3"):
            connection.execute(text(f"SET {setting}"))
    return connection


def _locked(connection: Any, name: str) -> bool:
    from sqlalchemy import text

    key = int.from_bytes(hashlib.sha256(f"skillbank {name}".encode()).digest()[:8], "big", signed=True)
    return bool(connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar())
