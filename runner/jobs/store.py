"""The store: one JSON file per job under ``<workspace>/jobs``.

Whoever runs a job holds an exclusive lock, its lease, for as long as the job lives; the kernel lets go of it when the
last holder dies, however it dies. So life is asked of the lease and never of a process id. A record is written under a
second lock that is held only for the write.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from runner import private
from runner.errors import Refused, SchemaInvalid, UnknownJob
from runner.jobs.locks import Lease, flock, locked, open_lock
from runner.jobs.record import (
    DIED,
    ID,
    JOBS,
    PATHS,
    TERMINAL,
    TEXTS,
    Record,
    Records,
    Ticket,
    blank,
    check_fields,
    host,
    parse,
    plain,
    stamp,
    step,
)
from runner.redact import redact, values_of

# What others find a job and its files by is never masked, not even where it looks like a secret or contains one (a
# passphrase may be "train"); the secrets themselves are looked for in what people read.
_NAMES = frozenset(
    {*TEXTS, *PATHS, *JOBS, "schema_version", "redacted", "started_at", "ended_at", "sources", "backend_ref", "host"}
)
_PROSE = frozenset({"error", "command", "environment", "route"})


class JobStore:
    """The job records of one workspace."""

    def __init__(self, workspace: str | os.PathLike[str]) -> None:
        self.workspace = Path(os.path.abspath(workspace))
        self.folder = self.workspace / "jobs"
        self._keys: set[str] = set()
        self._literals: set[str] = set()

    # -- names ---------------------------------------------------------------------------------------------------

    def mint(self, network_arch: str, action: str) -> Ticket:
        """A new id and results folder; nothing is written."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{network_arch}-{action}").lstrip("._-") or "job"
        job_id = f"{name}-{os.urandom(6).hex()}"
        return Ticket(job_id, str(self.workspace / "results" / job_id / "results_dir"))

    def path(self, job_id: str) -> Path:
        """The record's file, whether it exists or not.

        Raises:
            UnknownJob: the id is none (a path, for example).
        """
        if not ID.fullmatch(job_id):
            raise UnknownJob(
                f"{job_id!r} is not a job id", hint="Letters, digits, '.', '_' and '-' only; see `skillbank jobs`."
            )
        return self.folder / f"{job_id}.json"

    def _beside(self, job_id: str, kind: str) -> Path:
        return self.path(job_id).with_name(f".{job_id}.{kind}")

    # -- writing -------------------------------------------------------------------------------------------------

    def hide(self, secret_keys: Collection[str] = (), values: Collection[str] = ()) -> None:
        """Mask these spec keys and these very values in every record written from now on."""
        self._keys |= set(secret_keys)
        self._literals |= set(values)

    def open(self, record: Mapping[str, Any], *, secret_keys: Collection[str] = ()) -> Lease:
        """Write a new record as PENDING and take its lease; fields that ``record`` leaves out start empty.

        ``secret_keys`` are dotted spec keys to mask, here and in every later write through this store.

        Raises:
            Refused: a job of this id exists already.
        """
        job_id = str(record["id"])
        fresh = blank(record)
        self.hide(secret_keys, values_of(fresh["spec"], secret_keys))
        path = self.path(job_id)
        with private.words(f"the workspace {self.workspace} cannot be written"):
            private.folder(self.folder)
        with locked(self._beside(job_id, "lock")):
            if path.exists():
                raise Refused(f"job {job_id} exists already", hint="A job is never opened twice; mint a new id.")
            lease = Lease(job_id, open_lock(self._beside(job_id, "lease")))
            try:
                if not flock(lease.fileno(), wait=False):
                    raise Refused(f"job {job_id} is held by another process")
                self._write(step(fresh, "PENDING", "recorded", "runner"))
            except BaseException:
                lease.close()
                raise
        return lease

    def adopt(self, job_id: str, fd: int) -> Lease:
        """Take over the lease that another process handed to this one as the open descriptor ``fd``."""
        try:
            same = os.path.samestat(os.fstat(fd), os.stat(self._beside(job_id, "lease")))
        except OSError:
            same = False
        if not same or not flock(fd, wait=False):
            raise Refused(f"descriptor {fd} is not the lease of job {job_id}")
        os.set_inheritable(fd, False)
        return Lease(job_id, fd)

    def admit(self, record: Mapping[str, Any]) -> None:
        """Take in the record of a job that another workspace has run to its end; one that is here already stays as it is.

        Raises:
            SchemaInvalid: it is no job record.
        """
        path = self.path(str(record["id"]))
        found = parse(json.dumps(plain(record)), path)
        with private.words(f"the workspace {self.workspace} cannot be written"):
            private.folder(self.folder)
        with locked(self._beside(found["id"], "lock")):
            if not path.exists() and found["state"] in TERMINAL:
                self._write(found)

    def mark(self, job_id: str, state: str, message: str = "", source: str = "runner", **fields: Any) -> Record:
        """Append a transition to a state that is not terminal, and set other fields with it."""
        if state in TERMINAL:
            raise ValueError(f"{state} ends a job: use close()")
        return self._change(job_id, state, message, source, fields)

    def enrich(self, job_id: str, **fields: Any) -> Record:
        """Set fields of a job that has not ended, without a transition."""
        return self._change(job_id, None, "", "", fields)

    def close(self, job_id: str, state: str, message: str = "", source: str = "runner", **outcome: Any) -> Record:
        """End the job: COMPLETE, ERROR or CANCELED. Nothing changes the record afterwards.

        Raises:
            Refused: the job has ended already.
        """
        if state not in TERMINAL:
            raise ValueError(f"{state} does not end a job: use mark()")
        return self._change(job_id, state, message, source, outcome)

    def _change(self, job_id: str, state: str | None, message: str, source: str, fields: Mapping[str, Any]) -> Record:
        check_fields(fields)
        self.read(job_id)  # so that an unknown job leaves no lock file behind
        with locked(self._beside(job_id, "lock")):
            record = self.read(job_id)
            if record["state"] in TERMINAL:
                raise Refused(
                    f"job {job_id} has ended ({record['state']}) and its record does not change any more",
                    hint="Run the action again: a new job gets a new record.",
                )
            record |= fields
            return self._write(step(record, state, message, source) if state else record)

    def _write(self, record: Record) -> Record:
        clean = {name: self._clean(name, value) for name, value in record.items()}
        text = json.dumps(plain(clean), indent=1, ensure_ascii=False, allow_nan=False)
        path = self.path(record["id"])
        with private.words(f"the job record {path} cannot be written"):
            private.replace(path, f"{text}\n")
        return dict(json.loads(text))

    def _clean(self, name: str, value: Any) -> Any:
        if name in _NAMES:
            return value
        if name == "transitions":
            return [{**one, "message": redact(one["message"], self._keys, self._literals)} for one in value]
        return redact(value, self._keys, self._literals if name in _PROSE else ())

    # -- reading -------------------------------------------------------------------------------------------------

    def read(self, job_id: str) -> Record:
        """One record as it stands on disk.

        Raises:
            UnknownJob: no such record (the nearest ids are named).
            SchemaInvalid: the file is not a job record.
        """
        path = self.path(job_id)
        try:
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            raise UnknownJob(f"no job {job_id!r} in {self.workspace}", hint=self._nearest(job_id)) from None
        except (OSError, UnicodeDecodeError) as error:
            raise SchemaInvalid(f"the job record {path} cannot be read: {error}") from None
        return parse(text, path)

    def list(self, *, reconcile: bool = False, broken: list[str] | None = None) -> Records:
        """All records, oldest first; what is no record is passed over, and ``broken`` collects what is wrong with it."""
        found: Records = []
        for job_id in self._ids():
            try:
                found.append(self.reconcile(job_id) if reconcile else self.read(job_id))
            except (SchemaInvalid, UnknownJob) as error:
                if broken is not None:
                    broken.append(str(error))
        return sorted(found, key=lambda record: (record["submitted_at"], record["id"]))

    def children(self, job_id: str) -> Records:
        """The jobs that use this one as parent or belong to its search, oldest first."""
        return [r for r in self.list() if job_id in (r["parent_job"], r["study_job"])]

    def working_on(self, record: Record) -> Record:
        """The job that a running search or series is at, or the record itself."""
        if record["state"] in TERMINAL or not (record["automl"] or record["series"]):
            return record
        return next((r for r in reversed(self.list()) if r["study_job"] == record["id"] and r["state"] == "RUNNING"), record)

    def _ids(self) -> tuple[str, ...]:
        try:
            names = os.listdir(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            return ()
        return tuple(n[:-5] for n in names if n.endswith(".json") and ID.fullmatch(n[:-5]))

    def _nearest(self, job_id: str) -> str:
        from difflib import get_close_matches

        known = self._ids()
        near = [i for i in known if job_id in i][:5] or get_close_matches(job_id, known, n=5, cutoff=0.5)
        return f"Nearest: {', '.join(near)}" if near else "See `skillbank jobs`; another workspace is chosen by --workspace."

    # -- life ----------------------------------------------------------------------------------------------------

    def reconcile(self, job_id: str, *, state: str | None = None, message: str | None = None) -> Record:
        """The record; when its job is dead without having said so, it is first ended with what is known.

        The end is ERROR, or CANCELED when the job had been asked to stop; ``state`` and ``message`` say otherwise.
        """
        record = self.read(job_id)
        if record["state"] in TERMINAL:
            return record
        with locked(self._beside(job_id, "lock")):
            record = self.read(job_id)
            if record["state"] in TERMINAL or self._held(job_id):
                return record
            reason = self.cancel_requested(job_id)
            state = state or ("ERROR" if reason is None else "CANCELED")
            known = evidence(record)
            record["checkpoints"] = record["checkpoints"] or known["checkpoints"]
            if state == "ERROR":
                record |= {"err_class": "ERR_INFRA", "error": _death(record, known)}
            for one in (record["automl"] or {}).get("trials", []):  # it says nothing of them any more; their own records do
                one["state"] = "UNKNOWN" if one["state"] in ("RUNNING", "PENDING") else one["state"]
            return self._write(step(record, state, message or reason or DIED, "reconcile"))

    def alive(self, job_id: str) -> bool:
        """True while somebody holds the job's lease."""
        self.read(job_id)
        with locked(self._beside(job_id, "lock")):
            return self._held(job_id)

    def _held(self, job_id: str) -> bool:
        """Ask the lease; only under the record's lock, so that two who ask do not take each other for the runner."""
        fd = open_lock(self._beside(job_id, "lease"))
        try:
            return not flock(fd, wait=False)
        finally:
            os.close(fd)

    def supervisor(self, job_id: str) -> int | None:
        """The id of the process that runs the job, if it is on this machine and has said so; to be trusted while ``alive``."""
        record = self.read(job_id)
        kind, _, number = (record["backend_ref"] or "").partition(":")
        here = kind == "pid" and number.isdigit() and record["host"] == host()
        return int(number) if here and record["state"] not in TERMINAL else None

    def cancel_request(self, job_id: str, reason: str = "canceled by request") -> int | None:
        """Leave word that the job is to stop; returns the process to signal, where it is known.

        Raises:
            Refused: the job has ended already.
        """
        record = self.reconcile(job_id)
        if record["state"] in TERMINAL:
            raise Refused(f"job {job_id} has ended already ({record['state']}): nothing to cancel")
        with private.words(f"job {job_id} cannot be asked to stop"):
            private.replace(self._beside(job_id, "cancel"), reason)
        return self.supervisor(job_id)

    def cancel_requested(self, job_id: str) -> str | None:
        """The reason somebody gave for stopping the job; None when nobody asked."""
        try:
            return self._beside(job_id, "cancel").read_text(encoding="utf-8") or "canceled by request"
        except FileNotFoundError:
            return None


def evidence(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a job left behind: ``last_status`` (its last status line), ``log_tail`` and ``checkpoints``."""
    from runner.checkpoints import scan

    folder = Path(record["results_dir"])
    names = [name for name in _listed(folder) if _written_since(folder / name, record["started_at"])]
    found = [{"path": str(folder / c["name"]), "epoch": c["epoch"], "step": c["step"]} for c in scan(names)]
    said = private.tail(folder / "status.json", 1)
    return {
        "last_status": said[0] if said else None,
        "log_tail": private.tail(Path(record["log"])) if record["log"] else [],
        "checkpoints": [{**c, "val_loss": None, "val_acc": None, "best": False} for c in found],
    }


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _written_since(path: Path, started_at: str | None) -> bool:
    """Whether this job can have written the file; what an earlier job left in the same folder is not its own."""
    if started_at is None:
        return False
    try:
        return stamp(os.stat(path).st_mtime_ns // 1000) >= started_at
    except OSError:
        return False


def _death(record: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    last = f"; its last status line: {known['last_status']}" if known["last_status"] else ""
    return {
        "class": "Died",
        "message": f"{DIED}{last}",
        "problems": [],
        "exit_code": 1,
        "log": record["log"],
        "log_tail": known["log_tail"],
    }
