"""The study of a search on behalf of its job: where it is, opened, and who may run it.

There is one parent at a time, whose right is a lock that goes with its process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner import databases
from runner import spec as specs
from runner.errors import Refused, UnknownJob
from runner.jobs.locks import flock, open_lock

if TYPE_CHECKING:  # a plan looks at the lock only
    from runner.automl import study as studies
    from runner.automl.strategies import Setup


def place(text: str) -> Path | str:
    """Where a study is: a journal file, or a database by its URL."""
    return text if "://" in text else Path(text)


@contextmanager
def claimed(facts: Mapping[str, Any], job_id: str) -> Iterator[Callable[[], None]]:
    """Hold the right to the search for the length of the block; who joins needs none.

    What it gives is to be called now and then: it keeps the right, which a database that is started anew forgets.

    Raises:
        Refused: another process has it.
    """
    where = place(facts["study"])
    if facts["join"]:
        yield _nothing
        return
    if isinstance(where, str):
        from runner.automl import shared

        with shared.parent(databases.whole(where), facts["study_id"]) as right:
            yield right.keep
        return
    where.parent.mkdir(parents=True, exist_ok=True)
    fd = open_lock(_lock(where))
    try:
        if not flock(fd, wait=False):
            raise _taken(where)
        os.ftruncate(fd, 0)
        os.pwrite(fd, job_id.encode(), 0)
        yield _nothing
    finally:
        os.close(fd)


def _nothing() -> None:
    """The lock of a file goes with its process and needs no keeping."""


def check(facts: Mapping[str, Any]) -> None:
    """Look whether the search can be run, before there is a job.

    Raises:
        Refused: another process runs it; or nobody does, and there is nothing to join. StorageError: no such database.
    """
    where, join = place(facts["study"]), facts["join"]
    if isinstance(where, str):
        from runner.automl import shared

        if shared.has_parent(databases.whole(where), facts["study_id"]) and not join:
            raise shared.taken(facts["study_id"])
        return
    held = _held(where)
    if held and not join:
        raise _taken(where)
    if join and not held:
        raise Refused("Nobody runs this search, so that there is nothing to join.", hint="Leave out --join to go on with it.")


def _held(where: Path) -> bool:
    if not _lock(where).exists():
        return False
    fd = open_lock(_lock(where))
    try:
        return not flock(fd, wait=False)
    finally:
        os.close(fd)


def _taken(where: Path) -> Refused:
    job_id = _lock(where).read_text(encoding="utf-8").strip() or "another process"
    return Refused(f"The search is run by {job_id}.", hint="--join adds workers to it; `skillbank cancel` ends it.")


def _lock(where: Path) -> Path:
    return where.with_name(f"{where.name}.owner")


def opened(facts: dict[str, Any], spec: dict[str, Any], *, resumed: bool) -> studies.Opened:
    """The study, created where it is not there yet; one that goes on takes the budget that is asked for now."""
    from runner.automl import study as studies

    where = place(facts["study"])
    if resumed and facts["trials"] and isinstance(where, Path) and not where.exists():
        raise UnknownJob(f"the study {where} is not there any more", hint="Begin a new search.")
    setup = setup_of(facts, spec) or setup_of({**facts, "seed": studies.new_seed()}, spec)
    assert setup is not None
    if isinstance(where, str):
        beat = max(1, int(facts["lost_after"]) // studies.PATIENCE)
        found = studies.open_study(databases.whole(where), setup, name=facts["study_id"], beat=beat)
    else:
        found = studies.open_study(where, setup)
    if resumed and not facts["join"]:
        found = studies.extend(found, trials=setup.trials, epochs=setup.epochs)
    return found


def setup_of(facts: Mapping[str, Any], spec: Mapping[str, Any]) -> Setup | None:
    """What the study is asked for; None where the spec says no seed, which is then drawn at the start."""
    from runner.automl.strategies import Setup

    seed = facts["seed"]
    if not isinstance(seed, int) or seed < 0:
        return None
    others = {f"{p['key'].rpartition('.')[0]}.{_other(p)}" if "." not in _other(p) else _other(p) for p in facts["space"]}
    return Setup(
        algorithm=facts["algorithm"],
        metric=facts["metric"],
        direction=facts["direction"],
        space=facts["space"],
        max_epochs=facts["epochs"],
        seed=seed,
        given={key: specs.get(spec, key) for key in others if isinstance(specs.get(spec, key), int | float)},
        trials=facts["budget"]["trials"],
        epochs=facts["budget"].get("epochs"),
        step=facts["interval"] if isinstance(facts["interval"], int) else 1,
        prune=facts["prune"],
        late=bool(facts.get("late")),  # which records of earlier versions are without
    )


def _other(parameter: dict[str, Any]) -> str:
    """The setting that a parameter is related to."""
    return ((parameter.get("depends_on") or "").split() or [""])[-1]
