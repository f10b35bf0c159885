"""The job record as plain data: its fields, its states, how it steps from one to the next, and how its text is read."""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runner.errors import Problem, SchemaInvalid

Record = dict[str, Any]
Records = list[Record]

STATES = ("PENDING", "RUNNING", "COMPLETE", "ERROR", "CANCELED", "UNKNOWN")
TERMINAL = frozenset({"COMPLETE", "ERROR", "CANCELED"})
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
DIED = "the process that ran the job ended without a word (killed, or the machine went down)"

MAPS = ("spec", "sources", "metrics", "artifacts", "environment", "hashes")
LISTS = ("transitions", "inputs", "outputs", "checkpoints", "command", "upload_excludes")
TEXTS = ("id", "skill", "skill_version", "network_arch", "action", "state", "submitted_at", "results_dir")
PATHS = ("log", "artifacts", "checkpoints", "hashes")
JOBS = ("parent_job", "study_job", "retry_of")
OPTIONAL = (
    "started_at",
    "ended_at",
    "log",
    "route",
    "parent_job",
    "study_job",
    "retry_of",
    "automl",
    "error",
    "err_class",
    "backend_ref",
    "host",
    "upload_uri",
    "uploaded",
    "recipe",
    "series",
    "onward",
    "notes",
)
LATER = ("recipe", "series", "onward", "notes")  # records of earlier versions are without; they say nothing of it
FIELDS = frozenset({"schema_version", "redacted", *MAPS, *LISTS, *TEXTS, *OPTIONAL})
# Only the store sets these; `blank` passes over them, so that a record may start as a copy of another.
RULED = frozenset({"schema_version", "redacted", "state", "transitions", "submitted_at", "started_at", "ended_at"})
_KINDS: tuple[tuple[tuple[str, ...], type, str], ...] = ((MAPS, dict, "object"), (LISTS, list, "array"), (TEXTS, str, "string"))
BROKEN = "Records are written by skillbank only; move this file away to go on without it."


class Ticket(NamedTuple):
    """A job's name and place before anything of it exists on disk."""

    id: str
    results_dir: str


def now() -> str:
    """The time in UTC, ISO 8601 with microseconds, so that text order is time order."""
    return stamp(time.time_ns() // 1000)


def stamp(microseconds: int) -> str:
    """A moment since 1970 in the same form as ``now``."""
    seconds, micro = divmod(microseconds, 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{micro:06d}Z"


def host() -> str:
    """The machine's name."""
    return os.uname().nodename


def blank(given: Mapping[str, Any]) -> Record:
    """A full record from the fields that are known at the start; the others are empty."""
    check_fields(given.keys() - RULED - {"id"})
    record: Record = {"schema_version": 1, "redacted": True, "submitted_at": now(), "skill_version": ""}
    record |= dict.fromkeys(OPTIONAL) | {name: {} for name in MAPS} | {name: [] for name in LISTS}
    record |= {key: value for key, value in given.items() if key not in RULED}
    record["host"] = host()
    missing = [name for name in TEXTS if name not in record and name != "state"]
    if missing:
        raise ValueError(f"a job record needs {', '.join(missing)}")
    return record


def check_fields(fields: Collection[str]) -> None:
    """Refuse fields that no record has, and those that only the store sets."""
    wrong = sorted(name for name in fields if name not in FIELDS or name in RULED or name == "id")
    if wrong:
        raise ValueError(f"not to be set in a job record: {', '.join(wrong)}")


def step(record: Record, state: str, message: str, source: str) -> Record:
    """Append a transition and set what follows from it."""
    if state not in STATES or (state == "PENDING" and record["transitions"]):
        raise ValueError(f"a job does not go to {state!r}; states: {', '.join(STATES)}")
    at = now()
    record["state"] = state
    record["transitions"] = [*record["transitions"], {"ts": at, "state": state, "message": message, "source": source}]
    if state == "RUNNING":
        record["started_at"] = record["started_at"] or at
    if state in TERMINAL:
        record["ended_at"] = at
    return record


def parse(text: str, path: Path) -> Record:
    """The record in a file's text.

    Raises:
        SchemaInvalid: the file is not a job record; every problem is listed.
    """
    try:
        record = json.loads(text)
    except ValueError as error:
        raise SchemaInvalid(f"the job record {path} is not JSON: {error}", hint=BROKEN) from None
    if not isinstance(record, dict):
        raise SchemaInvalid(f"the job record {path} is not a JSON object", hint=BROKEN)
    record = dict.fromkeys(LATER) | record
    problems = [Problem(name, "missing") for name in sorted(FIELDS - record.keys())]
    kinds: tuple[tuple[tuple[str, ...], type, str], ...] = (
        (MAPS, dict, "object"),
        (LISTS, list, "array"),
        (TEXTS, str, "string"),
    )
    for names, kind, called in kinds:
        problems += [Problem(n, "wrong type", called) for n in names if n in record and not isinstance(record[n], kind)]
    if record.get("state") not in STATES:
        problems.append(Problem("state", f"{record.get('state')!r} is no state", ", ".join(STATES)))
    if record.get("schema_version") != 1:
        problems.append(Problem("schema_version", f"{record.get('schema_version')!r} is not known here", "1"))
    if record.get("id") != path.name.removesuffix(".json"):
        problems.append(Problem("id", f"{record.get('id')!r} does not match the file's name"))
    if problems:
        raise SchemaInvalid(f"{path} is not a job record", problems=problems, hint=BROKEN)
    return record


def plain(value: Any) -> Any:
    """The value as strict JSON has it: paths become text, NaN and infinity, which it lacks, null."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
