"""Why a trial failed: whose fault it was, and what follows from it for the search. Reads records of jobs, no studies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from runner.errors import JobFailed, Problem

BY_EXIT_CODE = {3: "spec", 4: "data", 5: "data", 6: "data", 7: "resources"}
MEMORY = re.compile(r"MemoryError|out of memory|cannot allocate memory|bad_alloc|SIGKILL|SIGBUS|No space left", re.IGNORECASE)
DIED = re.compile(r"killed \(SIG(KILL|BUS)\)|ended without a word")
HOPELESS = ("data",)  # wrong data or a checkpoint that does not fit, which no other settings would mend


class Fault(NamedTuple):
    """``kind`` is program, resources, data or spec; empty where the user ended the trial."""

    kind: str
    cause: str
    died: bool = False  # its process was killed: it may go on from its checkpoint


def of(record: Mapping[str, Any]) -> Fault:
    """Why the job came to nothing."""
    error = record.get("error") or {}
    told = [Problem(**one).says if isinstance(one, dict) else str(one) for one in error.get("problems", [])]
    message = str(error.get("message") or record["state"]).splitlines()[0]
    if record["state"] == "CANCELED":
        return Fault("", f"canceled: {record['transitions'][-1]['message']}")
    cause = "; ".join([message, *told])
    kind = BY_EXIT_CODE.get(int(error.get("exit_code") or 1), "")
    if not kind:
        kind = "resources" if MEMORY.search(cause) else "program"
    return Fault(kind, cause, bool(DIED.search(message)))


def hopeless(record: Mapping[str, Any], fault: Fault, *, given: bool) -> JobFailed | None:
    """The error that ends the search: the user's data are wrong, or the spec as given is."""
    if fault.kind not in HOPELESS and not (given and fault.kind == "spec"):
        return None
    error = record.get("error") or {}
    return JobFailed(
        f"{record['id']}: {error.get('message') or record['state']}",
        problems=[Problem(**problem) for problem in error.get("problems", [])],
        exit_code=int(error.get("exit_code") or 1),
    )
