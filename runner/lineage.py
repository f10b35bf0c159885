"""The jobs that a plan builds on, its parent and the one it goes on with, and the id that is asked for its own. Reads only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from runner import infer
from runner import spec as specs
from runner.errors import ParentError, Problem, UnknownJob, UsageError
from runner.jobs import JobStore, Ticket
from runner.jobs.record import ID
from runner.schema import ActionSchema
from runner.skill import Action, Skill

MOST_ID = 128  # characters of a job id that the caller gives: it is a folder's name


def ticket(store: JobStore, job_id: str | None) -> Ticket | None:
    """The name and place of a job whose id the caller gives."""
    if job_id is None:
        return None
    if len(job_id) > MOST_ID or not ID.fullmatch(job_id):
        allowed = f"up to {MOST_ID} letters, digits, '.', '_' and '-', the first a letter or digit"
        raise UsageError(f"--job-id {job_id}: not a job id; allowed: {allowed}.")
    return Ticket(job_id, str(store.workspace / "results" / job_id / "results_dir"))


def record_of(store: JobStore, job_id: str | None, flag: str, skill: Skill, *, join: bool = False) -> dict[str, Any] | None:
    """The record of a job that ``flag`` names, fit for that use; None where none is named.

    A search that is to be joined may still run.
    """
    if job_id is None:
        return None
    record = store.reconcile(job_id)
    if record["network_arch"] != skill.network_arch:
        raise ParentError(
            f"{flag} {job_id} is a job of network {record['network_arch']}; {skill.name} needs one of {skill.network_arch}."
        )
    ended = record["state"] in ("COMPLETE", "CANCELED", "ERROR") or (join and record["automl"])
    if flag == "--resume" and (record["action"] != "train" or not ended):
        raise ParentError(
            f"--resume {job_id}: only a train job that has ended can be resumed; this is {record['action']}, "
            f"{record['state']}.",
            hint="--join adds workers to a search that runs." if record["automl"] else "",
        )
    return record


def parent_of(store: JobStore, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The parent of a job, while its record is there."""
    try:
        return store.read(record["parent_job"]) if record["parent_job"] else None
    except UnknownJob:
        return None


def changes(before: Mapping[str, Any], now: Mapping[str, Any], action: Action, schema: ActionSchema) -> list[Problem]:
    """Settings that are not what they were in a job that goes on; its own folders and secrets do not count."""
    own = {*action.outputs, *schema.secrets(), *(k for k, f in action.spec_params.items() if f in ("output_dir", "key"))}
    old, new = (specs.flatten(spec, schema.map_leaves()) for spec in (before, now))
    keys = [key for key in old.keys() | new.keys() if key not in own and old.get(key) != new.get(key)]
    return [Problem(key, f"is {new.get(key)!r}", f"{old.get(key)!r}") for key in sorted(keys)]


def agree(spec: dict[str, Any], sources: Mapping[str, str], action: Action, parent: dict[str, Any] | None) -> None:
    """What describes the model is the parent's; a word of the user's that says otherwise is refused, not overruled."""
    if parent is None:
        return
    keys = [key for key, function in action.spec_params.items() if function == "parent_spec" and key in sources]
    pairs = [(key, specs.get(spec, key), specs.get(parent["spec"], key)) for key in keys if specs.has(parent["spec"], key)]
    problems = [Problem(key, f"is {ours} ({sources[key]})", str(theirs)) for key, ours, theirs in pairs if ours != theirs]
    if problems:
        raise ParentError(f"The spec contradicts the model of {parent['id']}.", problems=problems)


def still_there(inferred: Iterable[infer.Inferred], record: dict[str, Any] | None) -> None:
    """A checkpoint that the record names and that is gone (a search keeps its winner's only)."""
    found = ((item.key, item.value) for item in inferred if item.function.startswith(("parent_model", "resume_model", "ptm")))
    for key, path in found:
        if record and isinstance(path, str) and "://" not in path and not os.path.exists(path):
            study = record["study_job"]
            hint = f"It was a trial of {study}, which keeps those of its best trial only: --parent {study}." if study else ""
            raise ParentError(f"{key}: {record['id']} names {path}, which is not there any more.", hint=hint)
