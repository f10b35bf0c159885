"""The bank from Python: skills, matching, plans and jobs of one workspace, in plain values. Prints nothing.

What runs is ``runner.launch``: ``launch.run(request)`` here and now, ``launch.submit(request)`` in the background.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runner import bank, planhash
from runner import launch as launching
from runner import match as matching
from runner import plan as plans
from runner import spec as specs
from runner.errors import StillRunning, UsageError
from runner.jobs import TERMINAL, JobStore, Record
from runner.plan import Request
from runner.skill import Skill

StrPath = str | os.PathLike[str]
EVERY = 0.2  # seconds between two looks at a job that is waited for


class Planned(NamedTuple):
    """What a request would do: its hash, the facts that `skillbank plan --json` gives, and the request that runs just that."""

    hash: str
    facts: dict[str, Any]
    request: Request


class Bank:
    """The skills that are installed, and the jobs of one workspace."""

    def __init__(self, workspace: StrPath | None = None) -> None:
        """``workspace`` is where jobs and results live; default: $SKILLBANK_WORKSPACE, else ./workspace."""
        self.workspace = Path(workspace or os.environ.get("SKILLBANK_WORKSPACE") or "workspace").absolute()

    def skills(self) -> dict[str, str]:
        """Name and description of every skill."""
        return {entry.name: entry.description for entry in bank.skills()}

    def skill(self, name: str) -> Skill:
        """One skill, with its actions and schemas.

        Raises:
            UnknownSkill: there is none of that name.
        """
        return bank.get(name)

    def match(self, phrase: str) -> matching.Match:
        """What a sentence of a user means: skill, action and AutoML word.

        Raises:
            NoMatch: nothing fits; the error names the nearest.
        """
        return matching.require(phrase, bank.load_all())

    def request(
        self,
        skill: str,
        action: str,
        *,
        dataset: StrPath | None = None,
        spec: StrPath | None = None,
        settings: Mapping[str, Any] | None = None,
        parent: str | None = None,
        checkpoint: str = "best",
        resume: str | None = None,
        pretrained: StrPath | None = None,
        automl: str | None = None,
        trials: int | None = None,
        algorithm: str | None = None,
        search: Mapping[str, str | None] | None = None,
        workers: int | None = None,
        storage: str | None = None,
        results: StrPath | None = None,
        recipe: str | None = None,
        folds: int | None = None,
        seeds: int | None = None,
        overwrite: bool = False,
        plan: str | None = None,
        job_id: str | None = None,
    ) -> Request:
        """What is asked for, as `skillbank run` takes it; ``settings`` are spec values by dotted or short key.

        ``search`` holds settings to search and how, such as {"train.optim.lr": "log:1e-3..0.1", "train.grad_clip": None}.

        Nothing is looked at yet: ``plan`` does that, and ``launch``.
        """
        return Request(
            workspace=self.workspace,
            skill=skill,
            action=action,
            dataset=_text(dataset),
            spec_file=None if spec is None else Path(spec),
            overrides=tuple(f"{key}={specs.as_text(value)}" for key, value in (settings or {}).items()),
            parent=parent,
            checkpoint=checkpoint,
            resume=resume,
            pretrained=_text(pretrained),
            automl=automl,
            budget=() if trials is None else (f"trials={trials}",),
            algorithm=algorithm,
            storage=storage,
            search=tuple(key if how is None else f"{key}={how}" for key, how in (search or {}).items()),
            workers=None if workers is None else str(workers),
            results=_text(results),
            recipe=recipe,
            folds=folds,
            seeds=seeds,
            overwrite=overwrite,
            command=("python",),
            plan=plan,
            job_id=job_id,
        )

    def plan(self, request: Request) -> Planned:
        """What the request would do. Starts nothing.

        Raises:
            SkillBankError: it cannot run; every problem is listed.
        """
        made = plans.make(request)
        identity = planhash.identify(made)
        return Planned(identity.hash, planhash.shown(made, identity), request._replace(plan=identity.hash))

    def jobs(self) -> list[Record]:
        """The records of all jobs, oldest first, the dead ones found out."""
        return self._store.list(reconcile=True)

    def job(self, job_id: str) -> Record:
        """The record of a job as it stands.

        Raises:
            UnknownJob: there is none of that id.
        """
        return self._store.reconcile(job_id)

    def wait(self, job_id: str, timeout: float | None = None) -> Record:
        """The record of a job when it has ended.

        Raises:
            StillRunning: ``timeout`` seconds are over.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (record := self.job(job_id))["state"] not in TERMINAL:
            if deadline is not None and time.monotonic() >= deadline:
                raise StillRunning(f"{job_id} is still {record['state']}.")
            time.sleep(EVERY)
        return record

    def cancel(self, job_id: str, reason: str = "canceled from Python") -> Record:
        """End a running job.

        Raises:
            Refused: it has ended already.
        """
        return launching.cancel(self._store, job_id, reason)

    def report(self, jobs: Sequence[str], out: StrPath | None = None) -> dict[str, Path]:
        """Write the report of jobs with their parents and children; the files by kind."""
        from runner.report import make

        if not jobs:
            raise UsageError("report needs the id of a job.", hint="See Bank.jobs().")
        files, _ = make.make(self._store, jobs, None if out is None else Path(out), ["python"])
        return dict(files)

    @property
    def _store(self) -> JobStore:
        return JobStore(self.workspace)


def _text(path: StrPath | None) -> str | None:
    return None if path is None else os.fspath(path)
