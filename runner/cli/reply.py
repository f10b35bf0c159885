"""What a verb answers, and what several of them say of a job. Prints nothing."""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """What a verb answers: data for --json, text for people, what to call next, and the exit code."""

    data: Any
    text: str
    next: tuple[str, ...] = ()
    exit_code: int = 0
    warnings: tuple[str, ...] = ()
    error: dict[str, Any] | None = None


def facts(record: dict[str, Any]) -> dict[str, Any]:
    """The job's record with the names `run` and `status` promise."""
    return {"job_id": record["id"], **record}


def ended(record: dict[str, Any]) -> Reply:
    """A job that has ended: its facts, and the exit code that says how."""
    from runner import render_search

    code = 0
    error = record.get("error")
    if record["state"] != "COMPLETE":
        code = int((error or {}).get("exit_code") or 1)
    return Reply(
        facts(record),
        render_search.job(record),
        exit_code=code,
        error={**error, "job_id": record["id"]} if error else None,
    )


def quoted(word: str) -> str:
    """A word as a shell takes it."""
    import shlex

    return shlex.quote(word)


def store_of(arguments: argparse.Namespace) -> Any:
    """The jobs of the workspace that was named."""
    from runner.jobs import JobStore

    return JobStore(arguments.workspace.absolute())
