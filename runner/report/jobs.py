"""One record -> what the report says of the job: status, route, times, spec with sources, error, artifacts.

Knows the fields of a record; reads no artifact's content.
"""

from __future__ import annotations

from typing import Any

from runner import spec as specs
from runner.report import words
from runner.report.artifacts import Artifacts
from runner.report.collect import Record

COPIED = ("id", "action", "skill", "skill_version", "network_arch", "state")
OPTIONAL = ("parent_job", "study_job", "retry_of", "submitted_at", "started_at", "ended_at", "results_dir", "log", "host")
ROUTE = ("kind", "reason", "policy")
ERROR = ("class", "message", "problems", "exit_code", "log", "log_tail")


def view(record: Record, artifacts: Artifacts) -> dict[str, Any]:
    """The job as the report shows it. ``record`` is redacted; the files' paths are looked up by ``artifacts``."""
    return {
        **{key: str(record.get(key) or "") for key in COPIED},
        **{key: record.get(key) or None for key in OPTIONAL},
        "status": status(record),
        "role": role(record),
        "duration_seconds": duration(record),
        "route": _only(record.get("route"), ROUTE),
        "recipe": recipe(record),
        "spec": spec_rows(record),
        "inputs": [
            {"key": str(i.get("key", "")), "uri": str(i.get("uri") or i.get("path") or "")} for i in _dicts(record, "inputs")
        ],
        "artifacts": artifacts.listing(record),
        "checkpoints": [_checkpoint(c) for c in _dicts(record, "checkpoints")],
        "metrics": {
            k: v for k, v in (record.get("metrics") or {}).items() if v is None or isinstance(v, (bool, int, float, str))
        },
        "transitions": [
            {k: str(t.get(k) or "") for k in ("ts", "state", "message", "source")} for t in _dicts(record, "transitions")
        ],
        "error": _error(record),
        "hashes": {str(k): str(v) for k, v in (record.get("hashes") or {}).items()},
        "command": [str(word) for word in record.get("command") or []],
    }


def status(record: Record) -> str:
    """The state in a word."""
    return words.STATUS.get(str(record.get("state")), "unknown")


def recipe(record: Record) -> str | None:
    """Which recipe gave values to the spec and why, in a line; None where nothing is said of one."""
    told = record.get("recipe")
    if not isinstance(told, dict):
        return None
    if not told.get("name"):
        return f"none, {told.get('why', '')}"
    values = told.get("values")
    kept = words.count(len(values), "value") if isinstance(values, dict) else "values"
    return f"{told['name']} ({told.get('why', '')}), {kept}: {told.get('description', '')}"


def role(record: Record) -> str:
    """``trial`` of a search or a series, the ``study`` itself, or a plain ``job``, such as the evaluation after a search."""
    if record.get("study_job") not in (None, record.get("parent_job")):
        return "trial"
    return "study" if record.get("automl") or record.get("series") else "job"


def duration(record: Record) -> float | None:
    """Seconds from start to end, None while either is unknown."""
    return words.between(record.get("started_at") or record.get("submitted_at"), record.get("ended_at"))


def spec_rows(record: Record) -> list[dict[str, Any]]:
    """Every value of the spec with where it came from; a key that has a source of its own is one value."""
    sources = record.get("sources") or {}
    flat = specs.flatten(record.get("spec") or {}, sources)
    return [{"key": key, "value": value, "source": str(sources.get(key, "template"))} for key, value in flat.items()]


def _error(record: Record) -> dict[str, Any] | None:
    error = record.get("error")
    if not error:
        return None
    shown = _only(error, ERROR) or {}
    tail = shown["log_tail"]
    shown["problems"] = [_problem(p) for p in shown["problems"] or []]
    shown["log_tail"] = "\n".join(map(str, tail)) if isinstance(tail, list) else str(tail or "")
    return shown | {"message": str(shown["message"] or ""), "err_class": record.get("err_class")}


def _problem(problem: Any) -> str:
    """A problem is a sentence, or {path, says, allowed}."""
    if not isinstance(problem, dict):
        return str(problem)
    where = f"{problem['path']}: " if problem.get("path") else ""
    allowed = f"; allowed: {problem['allowed']}" if problem.get("allowed") else ""
    return f"{where}{problem.get('says', '')}{allowed}"


def _checkpoint(checkpoint: dict[str, Any]) -> dict[str, Any]:
    numbers = {key: checkpoint.get(key) for key in ("epoch", "step", "val_loss", "val_acc")}
    return {
        "path": str(checkpoint.get("path") or checkpoint.get("name") or ""),
        **numbers,
        "best": bool(checkpoint.get("best")),
    }


def _dicts(record: Record, key: str) -> list[dict[str, Any]]:
    return [item for item in record.get(key) or [] if isinstance(item, dict)]


def _only(thing: Any, keys: tuple[str, ...]) -> dict[str, Any] | None:
    return {key: thing.get(key) for key in keys} if isinstance(thing, dict) else None
