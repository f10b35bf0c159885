"""Which commands make sense now: after a verb, by the state of the job it is about, and after a refusal, by what was wrong."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping
from typing import Any

from runner import errors
from runner.cli.reply import quoted

OWN = {"--json", "-q", "--quiet", "-v", "--verbose", "--detach"}  # flags of how a command answers, not of what it does
NAMED = ("--plan", "--job-id")  # options that name one very plan or job, with their value
RUNNING = ("PENDING", "RUNNING", "UNKNOWN")


def again(verb: str, words: Iterable[str], *more: str, drop: Iterable[str] = NAMED) -> str:
    """A command line with another verb: what was said, without flags of the answer and options that name one plan or job."""
    from runner.redact import redact

    kept, drop, skip = [], tuple(drop), False
    for word in list(words)[1:]:
        if skip or word in OWN or word.startswith(tuple(f"{name}=" for name in drop)):
            skip = False
        elif word in drop:
            skip = True
        else:
            kept.append(word)
    return " ".join(["skillbank", verb, *map(quoted, [*redact(kept), *more])])


def of_job(record: Mapping[str, Any], workspace: str) -> list[str]:
    """What can be done with a job in the state it is in."""
    place = f"--workspace {quoted(workspace)}"
    job, run = f"{record['id']} {place}", f"skillbank run {record['skill']} {record['action']}"
    state = record["state"]
    if state in RUNNING:
        return [f"skillbank {words} {job}" for words in ("status", "logs -f", "wait", "cancel")]
    report = f"skillbank report {job}"
    if state == "COMPLETE":
        return [*_children(record, job, place), report]
    resume = [f"{run} --resume {one} {place}" for one in resumable(record)] if record["action"] == "train" else []
    if state == "CANCELED":
        return [*resume, *([] if resume else _repeated(record)), report]
    return [f"skillbank logs {job}", *_mending(record), *resume, report]


def resumable(record: Mapping[str, Any]) -> list[str]:
    """The jobs an ended one can be continued from: itself, or those of its series that were cut off."""
    if record.get("automl"):
        return [record["id"]] if record["state"] == "CANCELED" or record.get("err_class") == "ERR_INFRA" else []
    within = (record.get("series") or {}).get("children") or []
    if within:
        return [one["job_id"] for one in within if one["state"] == "CANCELED" and one["job_id"]]
    return [record["id"]] if record.get("checkpoints") else []


def _repeated(record: Mapping[str, Any]) -> list[str]:
    """The command that started the job, as far as it is known and holds nothing that was masked."""
    words = list(record.get("command") or [])[1:]
    return [again("run", words, drop=("--job-id",))] if words[:1] == ["run"] and "***" not in " ".join(words) else []


def _mending(record: Mapping[str, Any]) -> list[str]:
    """Where a job failed by what the user gave: what the action takes."""
    code = (record.get("error") or {}).get("exit_code")
    return [f"skillbank show {record['skill']} {record['action']}"] if code in (3, 4) else []


def _children(record: Mapping[str, Any], job: str, place: str) -> list[str]:
    """The actions of the skill that go on from a finished job's model, or from the data it made."""
    if "train_data" in (record.get("artifacts") or {}):
        return [f"skillbank run {record['skill']} train --dataset {quoted(str(record['results_dir']))} {place}"]
    found = []
    for one in record.get("onward") or []:
        data = f" --dataset {quoted(_dataset(record) or 'DIR')}" if one["data"] else ""
        found.append(f"skillbank run {record['skill']} {one['action']}{data} --parent {job}")
    return found


def _dataset(record: Mapping[str, Any]) -> str | None:
    """The folder the job had its data from."""
    uris = {str(item["uri"]) for item in record.get("inputs") or [] if item.get("source") == "dataset"}
    folders = {uri.rpartition("/")[0] if "://" in uri or not os.path.isdir(uri) else uri for uri in uris}
    return folders.pop() if len(folders) == 1 else None


def after(data: Any, arguments: argparse.Namespace) -> list[str]:
    """What makes sense after a verb that has answered, by what it was about; a verb may know better and say so itself."""
    said = vars(arguments)
    place = f" --workspace {quoted(str(said['workspace']))}" if said.get("workspace") is not None else ""
    if isinstance(said.get("job"), str) and data is None:  # Ctrl-C while it was looked at
        return [f"skillbank {verb} {said['job']}{place}" for verb in ("status", "logs -f", "wait", "cancel")]
    if not isinstance(data, Mapping):
        return []
    if {"job_id", "state", "transitions"} <= data.keys():
        return of_job(data, str(said["workspace"]))
    if isinstance(rows := data.get("jobs"), list):
        rows = [{"id": row, "state": ""} if isinstance(row, str) else row for row in rows]
        at_work = [row for row in rows if row["state"] in RUNNING]
        return [f"skillbank status {row['id']}{place}" for row in (at_work or rows)[-3:]] or ["skillbank list"]
    if "job_id" in data:
        return [f"skillbank status {data['job_id']}{place}"]
    return []


def after_error(error: errors.SkillBankError, arguments: argparse.Namespace) -> list[str]:
    """What to look at or to do after a refusal; ``arguments`` may be empty where the command line could not be read."""
    said = vars(arguments)
    words, verb = list(said.get("words") or []), said.get("called") or ""
    workspace = said.get("workspace")
    place = f" --workspace {quoted(str(workspace))}" if workspace is not None else ""
    skill, action = said.get("skill"), said.get("action")
    told = error.hint.removeprefix("See: ") if error.hint.startswith("See: skillbank ") else "skillbank --help"
    help_ = f"skillbank {verb} --help" if "json" in said else told  # a verb that is none has set nothing
    if isinstance(error, errors.NoMatch):
        near = [one["skill"] for one in error.candidates if one["score"]]
        return [*(f"skillbank show {name}" for name in near[:2]), "skillbank list"]
    if isinstance(error, errors.UnknownSkill):
        return ["skillbank list"]
    if isinstance(error, errors.UnknownAction):
        return [f"skillbank show {skill}" if isinstance(skill, str) else "skillbank list"]
    if isinstance(error, errors.UsageError):
        return [help_]
    if isinstance(error, errors.SpecInvalid | errors.InputMissing):
        return [f"skillbank show {skill} {action}" if isinstance(skill, str) and action else help_]
    if isinstance(error, errors.SchemaInvalid):
        return ["skillbank schemas build" if verb == "schemas" else "skillbank schemas check"]
    if isinstance(error, errors.UnknownJob):
        return [f"skillbank jobs{place}"]
    if isinstance(error, errors.ParentError):
        named = said.get("parent") or said.get("resume")
        known = [f"skillbank status {named}{place}"] if named else []
        return [*known, f"skillbank jobs --state COMPLETE{place}"]
    if isinstance(error, errors.StillRunning):
        return [f"skillbank {one} {said['job']}{place}" for one in ("status", "logs -f", "wait", "cancel")]
    if isinstance(error, errors.Refused) and error.exit_code == errors.Refused.exit_code:
        return _refused(error, said, words, place)
    return [again(verb, words)] if isinstance(error, errors.StorageError) and words else []


def _refused(error: errors.Refused, said: Mapping[str, Any], words: list[str], place: str) -> list[str]:
    if isinstance(said.get("job"), str):
        return [f"skillbank {verb} {said['job']}{place}" for verb in ("status", "report")]
    if said.get("job_id") and error.message.startswith("--job-id"):
        return [f"skillbank status {said['job_id']}{place}"]
    if said.get("plan"):  # an option of `run`
        return [again("plan", words)] if said.get("skill") or said.get("phrase") else ["skillbank plan --help"]
    return []
