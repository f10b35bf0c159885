"""The health of a workspace: can it be written and locked, jobs that died, records and files that belong to nothing.

Looks only; what is to be done is said.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from runner.doctor.check import Check
from runner.errors import SkillBankError
from runner.jobs import TERMINAL, JobStore
from runner.jobs.locks import flock

PRIVATE = ("jobs", "plans")  # folders of the workspace that are made for their owner alone
NAMED, REMOVED = 3, 20  # of each kind, in what is said and in the command that removes them


def workspace(place: Path) -> Iterator[Check]:
    """All of it; a workspace that is not there yet is no fault."""
    if place.exists() and not place.is_dir():
        yield Check("workspace", "fail", f"{place} is a file", "--workspace DIR")
        return
    near = next(folder for folder in (place, *place.parents) if folder.exists())
    if not os.access(near, os.W_OK | os.X_OK):
        yield Check(
            "workspace", "fail", f"{near} cannot be written", f"chmod u+rwx {shlex.quote(str(near))}, or --workspace DIR"
        )
        return
    if not place.exists():
        yield Check("workspace", "ok", f"{place} (made by the first job)")
        return
    yield _locks(place)
    yield from _open_to_others(place)
    yield from _jobs(place)


def _locks(place: Path) -> Check:
    """Jobs are told alive from dead by locks, which some network disks do not have."""
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=place) as file:
            flock(file.fileno(), wait=False)
    except (OSError, SkillBankError) as error:
        return Check("workspace", "fail", f"{place}: {error}", "--workspace DIR, on a local disk")
    return Check("workspace", "ok", str(place))


def _open_to_others(place: Path) -> Iterator[Check]:
    """What everybody may write to or look into: whoever writes there can change what jobs did, or divert what they write."""
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (place, *(place / name for name in PRIVATE)) if path.is_dir()}
    writable = [path for path, mode in modes.items() if mode & stat.S_IWOTH]
    readable = [path for path, mode in modes.items() if path != place and path not in writable and mode & stat.S_IRWXO]
    closing = "o-w" if place in writable else "o-rwx"
    for paths, may, bits in ((writable, "change or remove what lies in", closing), (readable, "look into", "o-rwx")):
        if paths:
            names, words = (between.join(map(show, paths)) for between, show in ((", ", str), (" ", _quoted)))
            yield Check("permissions", "warn", f"everybody on this machine may {may} {names}", f"chmod {bits} {words}")


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _jobs(place: Path) -> Iterator[Check]:
    store, broken = JobStore(place), list[str]()
    records = store.list(broken=broken)
    known = {path.stem for path in _listed(place / "jobs") if path.suffix == ".json"}  # broken ones too
    here = f"--workspace {shlex.quote(str(place))}"
    states = [record["state"] for record in records]
    told = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    yield Check("jobs", "ok", told or "none yet")
    if broken:
        yield Check("records", "warn", f"{len(broken)} cannot be read: {_some(broken, '; ')}", "move the files away")
    dead = [record["id"] for record in records if record["state"] not in TERMINAL and not _alive(store, record["id"])]
    if dead:
        says = f"{len(dead)} died without a word: {_some(dead)}"
        yield Check("dead jobs", "warn", says, f"skillbank jobs {here}  (writes down how they ended)")
    stale = _stale(place / "jobs", known)
    if stale:
        yield Check("stale locks", "warn", f"{len(stale)} of no job: {_some([p.name for p in stale])}", _remove(stale))
    orphans = _orphans(place / "results", known)
    if orphans:
        says = f"{len(orphans)} of no job: {_some([p.name for p in orphans])}"
        yield Check("results", "warn", says, f"keep what you need, then: {_remove(orphans)}")


def _alive(store: JobStore, job_id: str) -> bool:
    try:
        return store.alive(job_id)
    except SkillBankError:
        return True  # not to be known


def _stale(jobs: Path, known: set[str]) -> list[Path]:
    """Lock files, leases and half-written records that no record belongs to."""
    found = []
    for path in _listed(jobs):
        beside = re.fullmatch(r"\.(.+)\.(?:lock|lease|cancel)", path.name)
        if (beside and beside[1] not in known) or _left_over(path):
            found.append(path)
    return found


def _left_over(path: Path) -> bool:
    """A temporary file whose writer is gone; its name holds the process."""
    writer = re.fullmatch(r"\..+\.(\d+)\.tmp", path.name)
    return bool(writer) and not Path("/proc", writer[1]).exists() if writer else False


def _orphans(results: Path, known: set[str]) -> list[Path]:
    return [path for path in _listed(results) if path.is_dir() and path.name not in known]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _some(items: list[str], between: str = ", ") -> str:
    return between.join(items[:NAMED]) + (f"{between}... ({len(items)} in all)" if len(items) > NAMED else "")


def _remove(paths: list[Path]) -> str:
    words = " ".join(shlex.quote(str(path)) for path in paths[:REMOVED])
    return f"rm -r {words}" + ("  (then ask again: there are more)" if len(paths) > REMOVED else "")
