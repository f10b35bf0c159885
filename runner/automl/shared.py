"""What a study in a database tells those who work on it elsewhere: the task, and whether it was ended. Who may be its parent.

The right to be the parent is a lock of the database that goes with the connection, as a file's goes with its process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from runner import databases
from runner.automl.study import Opened, opening
from runner.errors import Refused, SchemaInvalid

TASK, CLOSED = "task", "closed"


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


@contextmanager
def parent(url: str, name: str) -> Iterator[None]:
    """Hold the right to be the parent of a study for the length of the block.

    Raises:
        Refused: another process has it. StorageError: the database cannot be asked.
    """
    connection = _connected(url)
    try:
        if not _locked(connection, name):
            raise taken(name)
        yield
    finally:
        with suppress(Exception):  # the database may be gone; so is the lock then
            connection.close()


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


def _connected(url: str) -> Any:
    from sqlalchemy import create_engine, pool, text

    with opening(databases.shown(url)):
        engine = create_engine(url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")
        connection = engine.connect()
        # A machine that loses its power says nothing: the server finds that out within minutes, not hours.
        for setting in ("tcp_keepalives_idle = 30", "tcp_keepalives_interval = 10", "tcp_keepalives_count = 3"):
            connection.execute(text(f"SET {setting}"))
    return connection


def _locked(connection: Any, name: str) -> bool:
    from sqlalchemy import text

    key = int.from_bytes(hashlib.sha256(f"skillbank {name}".encode()).digest()[:8], "big", signed=True)
    return bool(connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar())
