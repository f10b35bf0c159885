"""The study of a search: a journal file or a database, and the words it was begun with. Knows no algorithm and no results.

A journal survives a kill at any moment: half a line that a killed process left is cut off, and its locks go with the process.
In a database several machines share one search, and a worker that no longer beats is given up by the others.
"""

from __future__ import annotations

import os
import secrets
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from runner import databases
from runner.automl import patient
from runner.automl.strategies.base import Setup
from runner.errors import SchemaInvalid, StorageError, UnknownJob, UsageError
from runner.jobs.locks import flock, open_lock

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage

BEAT = 30  # seconds between two heartbeats of a running leg in a database
PATIENCE = 4  # beats that may be missing
NAME = "search"


class Opened(NamedTuple):
    """An open study with its storage."""

    study: optuna.Study
    storage: BaseStorage
    setup: Setup
    unowned: dict[int, float]  # when this process first saw a running leg of a database


def new_seed() -> int:
    """A seed for a search that was given none; kept in its study, so that a resumed search goes on alike."""
    return secrets.randbits(31)


def open_study(where: Path | str, setup: Setup | None = None, *, name: str = NAME, beat: int = BEAT) -> Opened:
    """The study in the journal file ``where`` or the database of that URL; with ``setup`` a new one is created.

    A study that is there already keeps the setup it was created with.

    Raises:
        StorageError: the file or the database cannot be opened. UnknownJob: there is no such study and no setup either.
        UsageError: a URL that names no database. SchemaInvalid: the study was written by something else.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = _journal(where, create=setup is not None) if isinstance(where, Path) else _database(where, beat)
    known = [study.study_name for study in storage.get_all_studies()]
    if name not in known and setup is None:
        raise UnknownJob(f"there is no study {name!r} in {_shown(where)}", hint=f"There: {', '.join(known) or 'none'}.")
    direction = setup.direction if setup else None
    study = (
        optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
        if setup
        else optuna.load_study(storage=storage, study_name=name, sampler=None)
    )
    if "setup" not in study.user_attrs and setup:
        study.set_user_attr("setup", _plain(setup))
    return Opened(study, storage, read_setup(study), {})


def _plain(setup: Setup) -> dict[str, Any]:
    return {**setup._asdict(), "given": dict(setup.given)}


def read_setup(study: optuna.Study) -> Setup:
    """What the search was asked for.

    Raises:
        SchemaInvalid: the study holds none that is understood here.
    """
    said = study.user_attrs.get("setup")
    if not isinstance(said, dict) or set(said) - set(Setup._fields):
        raise SchemaInvalid(f"the study {study.study_name!r} was not written by this version's searches")
    return Setup(**said)


def extend(opened: Opened, *, trials: int | None, epochs: int | None) -> Opened:
    """The study with another budget, in total over all resumes."""
    setup = opened.setup._replace(trials=trials, epochs=epochs)
    opened.study.set_user_attr("setup", _plain(setup))
    return opened._replace(setup=setup)


def beat(opened: Opened, number: int) -> None:
    """Say in a database that the leg's owner lives; in a file its lock says so."""
    storage = _database_of(opened)
    if storage is not None:
        study = storage.get_study_id_from_name(opened.study.study_name)
        storage.record_heartbeat(storage.get_trial_id_from_study_id_trial_number(study, number))


def give_up_silent(opened: Opened, beat_seconds: int = BEAT) -> None:
    """End the running legs of a database whose owner was not heard of for long; a search hands them out again.

    A leg without an owner was taken by a process that died before its first beat.
    """
    from optuna.storages import fail_stale_trials
    from optuna.trial import TrialState

    if _database_of(opened) is None:
        return
    fail_stale_trials(opened.study)
    for trial in opened.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        # When it was begun is told by the clock of another machine, which may be set otherwise: the age is that seen here.
        first = opened.unowned.setdefault(trial.number, time.monotonic())
        if "owner" not in trial.user_attrs and time.monotonic() - first > PATIENCE * beat_seconds:
            opened.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


class _KernelLock:
    """The journal's lock: the kernel frees it when its process dies, so nobody waits for a dead one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.held: list[int] = []

    def acquire(self) -> bool:
        """Wait for the lock."""
        fd = open_lock(self.path)
        flock(fd, wait=True)
        self.held.append(fd)
        return True

    def release(self) -> None:
        """Let go."""
        os.close(self.held.pop())


def _journal(path: Path, *, create: bool) -> BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    if not create and not path.exists():
        raise UnknownJob(f"there is no study {path}")
    lock = _KernelLock(path.with_name(f"{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        try:
            _mend(path)
        finally:
            lock.release()
        return JournalStorage(JournalFileBackend(str(path), lock_obj=cast(Any, lock)))
    except OSError as error:
        raise StorageError(f"the study {path} cannot be opened: {error.strerror or error}") from None
    except (ValueError, KeyError, AssertionError):
        raise SchemaInvalid(f"the study {path} is damaged: not every line is what a search writes") from None


def _mend(path: Path) -> None:
    """Cut off half a line: what it would have said was never acknowledged to anybody."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end:
            start = max(0, end - 65536)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)


def _database(url: str, beat_seconds: int) -> BaseStorage:
    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import RDBStorage
    from sqlalchemy import exc

    # Heartbeats are marked experimental, and meant for optimize(), which asks and beats as we do here.
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    warnings.filterwarnings("ignore", message="Heartbeat of storage")
    with opening(_shown(url)):
        try:
            known = _connections(url)
            found = RDBStorage(url, known, heartbeat_interval=beat_seconds, grace_period=PATIENCE * beat_seconds)
            return patient.wait_out(found) if known else found
        except (exc.ArgumentError, exc.NoSuchModuleError):
            raise UsageError(f"{_shown(url)} names no database; allowed: {databases.ALLOWED}") from None


@contextmanager
def opening(shown: str) -> Iterator[None]:
    """What a driver or a database that cannot be reached complains of, as StorageError that names the address."""
    from sqlalchemy import exc

    try:
        yield
    except ImportError:
        hint = "pip install 'tao-skill-bank[postgres]'"
        raise StorageError(f"the driver of {shown} is not installed", hint=hint) from None
    except exc.SQLAlchemyError as error:
        first = str(getattr(error, "orig", None) or error).strip().splitlines()[:1]
        hint = f"Check host, name and user; for a password: {databases.PASSWORDS}."
        raise StorageError(f"the database {shown} cannot be opened: {' '.join(first)}", hint=hint) from None


# A machine that loses its power or its network says nothing: without these a question to it waits for a quarter of an hour.
REACH = {
    "connect_timeout": 10,
    "tcp_user_timeout": 30_000,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}


def _connections(url: str) -> dict[str, Any]:
    """How connections are made: one that broke is replaced, and a database that was there is waited for."""
    from sqlalchemy.engine import make_url

    place = make_url(url)
    if place.get_backend_name() != "postgresql":
        return {}
    dialect = place.get_dialect()()
    words, options = dialect.create_connect_args(place)
    driver = place.get_dialect().import_dbapi()
    dialect.dbapi = driver
    known: list[bool] = []

    def connect() -> Any:
        began = time.monotonic()
        while True:
            try:
                found = driver.connect(*words, **{**REACH, **options})
            except driver.OperationalError:
                if not known or time.monotonic() - began > patient.OUTAGE:
                    raise
                time.sleep(1.0)
            else:
                known.append(True)
                return found

    return {"creator": connect, "pool_pre_ping": True}


def _database_of(opened: Opened) -> Any:
    from optuna.storages import RDBStorage

    return opened.storage if isinstance(opened.storage, RDBStorage) else None


def _shown(where: Path | str) -> str:
    """The place in a message, without its password."""
    return str(where) if isinstance(where, Path) else databases.shown(where)
