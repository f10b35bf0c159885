"""build(): records -> the report as plain data. The main path of the report, read downward."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from typing import Any

from runner import redact
from runner.report import card, findings, jobs, results, trust
from runner.report.artifacts import Artifacts
from runner.report.collect import Record, age, linked
from runner.report.search import search
from runner.report.series import series

Section = Callable[[Record, Artifacts], dict[str, Any]]
SECTIONS: dict[str, tuple[str, Section]] = {
    "evaluate": ("evaluations", trust.evaluation),
    "export": ("exports", results.exported),
    "inference": ("inferences", results.predicted),
    "dataset_convert": ("conversions", results.converted),
}
NAMED_FILES = {
    "checkpoint": "checkpoint",
    "onnx": "ONNX model",
    "labels": "class names of the ONNX model",
    "metrics": "evaluation metrics",
    "predictions": "predictions",
    "objects": "converted sequences",
    "best_spec": "spec of the best trial",
    "series": "every training of the series",
}
NOT_REQUESTED = "not requested"


def build(
    records: list[Record],
    *,
    actions: dict[str, dict[str, Any]],
    generated_at: object,
    command: str | Iterable[str],
) -> dict[str, Any]:
    """The report of ``records``.

    Args:
        records: job records with their parents, trials and children (see ``gather``).
        actions: every action of the skill, in order, with {"not_run_reason": the words for data that came ready, or None}.
        generated_at: when the report is made (ISO text or datetime).
        command: the command that makes it.

    Artifact files that a record names and that cannot be read are listed under ``missing``; nothing is raised for them.
    """
    secrets: set[str] = set()
    for record in records:
        secrets |= redact.values_of(record.get("spec") or {})
    ordered = sorted(records, key=age)
    artifacts = Artifacts(ordered)
    sections = _sections(ordered, artifacts, secrets)
    sections["missing"] = [*_missing_jobs(ordered), *artifacts.missing]
    sections["actions"] = _actions(ordered, actions, sections)
    numbers = findings.figures(sections)
    skills = {(str(r.get("skill") or ""), str(r.get("skill_version") or ""), str(r.get("network_arch") or "")) for r in ordered}
    report = {
        "schema_version": 1,
        "title": "Validation report" + "".join(f" · {name}" for name in sorted({skill[0] for skill in skills if skill[0]})),
        "generated_at": generated_at.isoformat() if hasattr(generated_at, "isoformat") else str(generated_at),
        "command": [command] if isinstance(command, str) else [str(word) for word in command],
        "skills": [dict(zip(("name", "version", "network_arch"), skill, strict=True)) for skill in sorted(skills)],
        "verdict": findings.verdict(sections, numbers),
        "figures": numbers,
        "notes": findings.notes(sections),
        "files": _files(sections),
        **sections,
        "card": card.card(sections),
        "provenance": card.provenance(ordered, sections),
        "environments": _environments(ordered),
        "reproduce": [
            {"job": job["id"], "action": job["action"], "command": job["command"]}
            for job in sections["jobs"]
            if job["role"] != "trial"
        ],
        "report_files": {},
    }
    shown: dict[str, Any] = redact.redact(_strict(report), (), secrets)
    return shown


def _sections(records: list[Record], artifacts: Artifacts, secrets: set[str]) -> dict[str, Any]:
    """One list per kind of finding. Files are read by the paths as recorded; what is shown of a record is redacted."""
    known = {record["id"]: record for record in records}
    sections: dict[str, Any] = {
        name: []
        for name in ("trainings", "searches", "series", *(name for name, _ in SECTIONS.values()), "data", "checks", "jobs")
    }
    for record in records:
        sections["jobs"].append(jobs.view(_shown(record, secrets), artifacts))
        if record.get("study_job") in known and jobs.role(record) == "trial":
            continue
        action = str(record.get("action"))
        if record.get("automl"):
            sections["searches"].append(search(record, known, artifacts))
        if record.get("series"):
            sections["series"].append(series(record, known))
        elif action == "train":
            sections["trainings"].append(results.training(_curves_of(record, known), artifacts, of=record))
        elif action in SECTIONS:
            name, section = SECTIONS[action]
            sections[name].append(section(record, artifacts))
        for split in results.data(record, artifacts):
            _add_split(sections["data"], split)
        _add_checks(sections["checks"], results.checks(record, artifacts))
    return sections


def _shown(record: Record, secrets: set[str]) -> Record:
    """The record without secrets; that a secret setting came from the user is none."""
    return {**redact.redact(record, (), secrets), "sources": record.get("sources") or {}}


def _add_split(splits: list[dict[str, Any]], split: dict[str, Any]) -> None:
    """The same file read by several jobs is told once."""
    same = next((s for s in splits if all(s[key] == split[key] for key in ("split", "path", "sha256"))), None)
    if same:
        same["jobs"] += split["jobs"]
        same["per_class"] = same["per_class"] or split["per_class"]  # inference may have read it without labels
    else:
        splits.append(split)


def _add_checks(told: list[dict[str, Any]], looked: dict[str, Any] | None) -> None:
    """What was noticed before a job; a finding that an earlier job had already is told once."""
    if looked is None:
        return
    earlier = [finding for entry in told for finding in entry["findings"]]
    fresh = []
    for finding in looked["findings"]:
        same = next((f for f in earlier if all(f[key] == finding[key] for key in ("level", "split", "text", "samples"))), None)
        if same:
            same["jobs"] += finding["jobs"]
        else:
            fresh.append(finding)
    told.append({**looked, "findings": fresh})


def _curves_of(record: Record, known: dict[str, Record]) -> Record:
    """The job whose curves to show: the job itself, or a search's best trial."""
    best = ((record.get("automl") or {}).get("best") or {}).get("job_id")
    return known.get(str(best), record)


def _actions(records: list[Record], actions: dict[str, dict[str, Any]], sections: dict[str, Any]) -> list[dict[str, Any]]:
    """Every action of the skill, and any other that ran, with its status: that of its latest job, or ``not run: why``."""
    names = dict.fromkeys([*actions, *(str(r.get("action")) for r in records)])
    return [_action(name, actions.get(name) or {}, records, sections) for name in names]


def _action(name: str, facts: dict[str, Any], records: list[Record], sections: dict[str, Any]) -> dict[str, Any]:
    own = [
        job
        for job in sections["jobs"]
        if job["action"] == name and (job["role"] != "trial" or not _has(records, job["study_job"]))
    ]
    if not own:
        reason = (facts.get("not_run_reason") if _data_was_ready(records) else None) or NOT_REQUESTED
        return {
            "action": name,
            "status": f"not run: {reason}",
            "jobs": [],
            "route": None,
            "duration_seconds": None,
            "result": "",
        }
    latest = own[-1]
    return {
        "action": name,
        "status": latest["status"],
        "jobs": [job["id"] for job in own],
        "route": latest["route"],
        "duration_seconds": latest["duration_seconds"],
        "result": findings.action_result(name, sections)
        if latest["status"] == "complete"
        else (latest["error"] or {}).get("message", ""),
    }


def _has(records: list[Record], job: str | None) -> bool:
    return any(record["id"] == job for record in records)


def _data_was_ready(records: list[Record]) -> bool:
    """True when some job was given sequences by path, so that nothing had to be converted first."""
    return any(
        row["value"] not in (None, "", "???") and row["key"].endswith(".data_path")
        for record in records
        for row in jobs.spec_rows(record)
    )


def _missing_jobs(records: list[Record]) -> list[dict[str, str]]:
    known = {record["id"] for record in records}
    gone = {(record["id"], other) for record in records for other in linked(record) if other not in known}
    return [
        {"job": job, "artifact": "job record", "path": other, "reason": "no such job in the workspace"}
        for job, other in sorted(gone)
    ]


def _files(sections: dict[str, Any]) -> list[dict[str, str]]:
    """Where to find what a reader wants in hand, of each action's latest complete job."""
    files: dict[tuple[str, str], dict[str, str]] = {}
    for job in sections["jobs"]:
        if job["role"] == "trial" or job["status"] != "complete":
            continue
        for entry in job["artifacts"]:
            if entry["name"] in NAMED_FILES and entry["state"] in ("present", "remote"):
                what = NAMED_FILES[entry["name"]]
                what = (
                    "predicted class of each sequence"
                    if (job["action"], entry["name"]) == ("inference", "predictions")
                    else what
                )
                files[job["action"], entry["name"]] = {"what": what, "path": entry["path"], "job": job["id"]}
    return list(files.values())


def _environments(records: list[Record]) -> list[dict[str, Any]]:
    """The environments that occur, each once, with the jobs that ran in it."""
    groups: list[dict[str, Any]] = []
    for record in records:
        values = {"host": record.get("host"), **(record.get("environment") or {})}
        group = next((g for g in groups if g["values"] == values), None)
        if group is None:
            groups.append(group := {"jobs": [], "values": values})
        group["jobs"].append(record["id"])
    return groups


def _strict(thing: Any) -> Any:
    """Plain JSON data: NaN and infinity become None, anything unknown its text."""
    if isinstance(thing, dict):
        return {str(key): _strict(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [_strict(item) for item in thing]
    if isinstance(thing, float):
        return thing if math.isfinite(thing) else None
    if thing is None or isinstance(thing, (bool, int, str)):
        return thing
    return os.fspath(thing) if isinstance(thing, os.PathLike) else str(thing)
