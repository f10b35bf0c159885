"""A database that is away for a while: every call to it is made again until it is there. Knows no studies and no searches.

A call that was cut off may have been carried out. That does no harm: a leg made twice is withdrawn by its key, one that was
taken and names no owner is given up after a while, and what is noted is noted once more.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

OUTAGE = 300.0  # seconds that a database may be away once it was there; trainings go on meanwhile
PAUSE = 1.0


def wait_out(storage: RDBStorage) -> RDBStorage:
    """The same storage, whose calls wait while its database is away."""
    within = threading.local()
    for name in dir(type(storage)):
        inside = name.startswith("__") or not callable(getattr(type(storage), name))
        if not inside and not isinstance(_own(storage, name), staticmethod | classmethod):
            setattr(storage, name, _patient(getattr(storage, name), within))
    return storage


def _own(storage: RDBStorage, name: str) -> Any:
    return next(vars(kind)[name] for kind in type(storage).__mro__ if name in vars(kind))


def _patient(call: Callable[..., Any], within: threading.local) -> Callable[..., Any]:
    """The call, made again; one within another is a part of its transaction and fails with it."""

    @functools.wraps(call)
    def patiently(*words: Any, **more: Any) -> Any:
        if getattr(within, "busy", False):
            return call(*words, **more)
        began = time.monotonic()
        while True:
            within.busy = True
            try:
                return call(*words, **more)
            except Exception as error:
                if not _passes(error) or time.monotonic() - began > OUTAGE:
                    raise
            finally:
                within.busy = False
            time.sleep(PAUSE)

    return patiently


def _passes(error: BaseException | None) -> bool:
    """Whether the connection broke, rather than the call being wrong."""
    from sqlalchemy import exc

    while error is not None:
        if isinstance(error, exc.OperationalError | exc.InterfaceError | exc.PendingRollbackError):
            return True
        error = error.__cause__
    return False
