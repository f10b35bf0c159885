"""Jobs of a workspace -> the files of their report: what the command line, the server and the demo all call."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner import backend, bank
from runner.errors import SkillBankError
from runner.report import page, pictures
from runner.report.artifacts import Artifacts
from runner.report.collect import Record, gather
from runner.report.content import build

if TYPE_CHECKING:
    from runner.jobs import JobStore

TOOL = "poses"  # of the skill: shows sequences of the data a job has read as figures
PATIENCE = 120.0  # seconds a tool has for it
FOLDER = "reports"


def make(store: JobStore, jobs: Sequence[str], out: Path | None, command: Sequence[str]) -> tuple[dict[str, Path], list[str]]:
    """Write the report of ``jobs`` to ``out``, else to the workspace; gives its files and the ids of all jobs in it.

    Raises:
        UnknownJob: one of ``jobs`` is not there.
        SkillBankError: the folder cannot be written.
    """
    for job in jobs:
        store.reconcile(job)
    records = gather(store.read, store.list, jobs)
    skill = bank.get(records[0]["skill"])
    actions = {name: {"not_run_reason": action.not_run_reason} for name, action in skill.actions.items()}
    built = build(records, actions=actions, generated_at=now(), command=command)
    known = {record["id"]: record for record in records}
    entrypoint = ((skill.info.get("tools") or {}).get(TOOL) or {}).get("entrypoint")

    def ask(job: str, indices: list[int]) -> dict[str, Any]:
        if not entrypoint:
            raise SkillBankError(f"the skill {skill.name} has no tool {TOOL!r}")
        return _asked(str(entrypoint), known[job], indices)

    seen = pictures.take(built["evaluations"], ask)
    return page.write(built, out or store.workspace / FOLDER / jobs[0], seen), list(known)


def now() -> str:
    """The time, as reports say it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _asked(entrypoint: str, record: Record, indices: list[int]) -> dict[str, Any]:
    """What the tool answers, from a process of its own: the runner imports no trainer."""
    facts = Artifacts([record]).json(record, "data_facts")
    test = facts.get("test") if isinstance(facts, dict) else None
    settings = {"action": record["action"], "spec": record.get("spec") or {}, "facts": test, "indices": indices}
    end = time.monotonic() + PATIENCE
    with tempfile.TemporaryDirectory(prefix="skillbank-report-") as folder:
        outcome = backend.run_child(
            entrypoint,
            settings,
            log=Path(folder) / "log",
            outcome=Path(folder) / "outcome.json",
            should_stop=lambda: 15 if time.monotonic() > end else None,
        )
    return outcome.metrics
