"""Up to the moment a job exists: planned, held against the plan and the id that were named, places looked at, record opened.

Starts nothing; what runs an opened job is ``launch``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from runner import databases, keyed, keys, planhash, redact, storage, study_claim
from runner import plan as plans
from runner.errors import Refused
from runner.facts import new_record
from runner.jobs import JobStore, Lease
from runner.plan import Plan, Request


class Job(NamedTuple):
    """A job about to be opened; ``known`` is the one of the same id and request, where there is one."""

    plan: Plan
    store: JobStore
    record: dict[str, Any]
    known: dict[str, Any] | None


def prepare(request: Request) -> Job:
    """Everything up to opening the record: planned, held against the plan that was named, places looked at."""
    request = planhash.complete(request)
    plan = plans.make(request)
    store = JobStore(request.workspace)
    remote = any(storage.is_remote(str(item["uri"])) for item in plan.inputs)
    # Asking the store what the inputs are takes a request for each; where nobody compares, it is not asked.
    identity = planhash.identify(plan) if request.plan or request.job_id or not remote else None
    if identity:
        planhash.check(plan, identity)
    record = new_record(plan, identity=identity)
    known = _known(store, plan, identity) if request.job_id and identity else None
    if known is None:
        _check_places(plan)
        _hide_secrets(store, plan)
        if request.job_id and identity:
            planhash.keep(plan, identity)  # so that another request for this id is told what differs
    return Job(plan, store, record, known)


def _known(store: JobStore, plan: Plan, identity: planhash.Identity) -> dict[str, Any] | None:
    """The job of the id that is asked for, if it exists and was asked for in the same words."""
    job_id = plan.ticket.id
    if not store.path(job_id).exists():
        return None
    record = store.reconcile(job_id)
    before = record["hashes"].get("plan")
    if before == identity.hash:
        return record
    kept = planhash.find(store.workspace, before) if before else None
    raise Refused(
        f"--job-id {job_id}: a job of this id exists ({record['state']}) and is not the one that is asked for now.",
        problems=list(planhash.differences(kept["facts"], identity.facts)) if kept else [],
        hint=f"Take another id, or see it: skillbank status {job_id} --workspace {store.workspace}",
    )


@contextmanager
def opened(job: Job) -> Iterator[Lease | None]:
    """The lease of the opened record; None where somebody else has just opened the same one."""
    try:
        lease = job.store.open(job.record)
    except Refused:
        if job.plan.request.job_id is None or not job.store.path(job.record["id"]).exists():
            raise
        yield None
        return
    with lease:
        yield lease


def named(job: Job, record: dict[str, Any]) -> dict[str, Any]:
    """The record as it comes back: whoever gave the id is told that the job is new."""
    return {**record, "existing": False} if job.plan.request.job_id else record


def _hide_secrets(store: JobStore, plan: Plan) -> None:
    secrets = plan.schema.secrets()
    store.hide(secrets, redact.values_of(plan.spec, secrets) | redact.surroundings(os.environ) | databases.secrets())


def _check_places(plan: Plan) -> None:
    """Inputs that are locked or not to be had, and a place for results that cannot be written, before a record exists."""
    if plan.search:
        study_claim.check(plan.search)
    if locked := keyed.locked(plan.spec, plan.action, plan.inputs):
        raise keys.KeyMissing(f"{plan.action.name}: an input cannot be read.", problems=locked)
    remote = [(str(item["key"]), str(item["uri"])) for item in plan.inputs if storage.is_remote(str(item["uri"]))]
    if remote or plan.upload_uri:
        storage.preflight(remote, plan.request.workspace / "cache", plan.upload_uri)
    for folder in (plan.results_dir, plan.request.workspace):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".probe-{os.urandom(6).hex()}"
            probe.touch(exist_ok=False)
            probe.unlink()
        except OSError as error:
            raise Refused(
                f"The folder {folder} cannot be written: {error.strerror}.",
                hint="Give another with --workspace or --set results_dir=DIR.",
                exit_code=7,
            ) from None
