"""One page of all jobs of a workspace, sortable, with links to the reports that tell of them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runner import redact
from runner import spec as specs
from runner.report import disk, jobs, page, words
from runner.report.collect import Record, age
from runner.report.make import FOLDER, now
from runner.report.results import number

if TYPE_CHECKING:
    from runner.jobs import JobStore

NAME = "index.html"
LARGEST = 64 * 2**20  # bytes of a report.json that is read
LONGEST = 160  # characters of an error
ORDER = ("complete", "running", "pending", "failed", "canceled", "unknown")


def make(store: JobStore, out: Path | None, command: Sequence[str]) -> tuple[Path, list[str]]:
    """Write the page to ``out``, else beside the reports; gives its place and the ids of the jobs on it.

    Raises:
        SkillBankError: the folder cannot be written.
    """
    broken: list[str] = []
    records = [redact.redact(record) for record in store.list(reconcile=True, broken=broken)]
    reports = store.workspace / FOLDER
    folder = (out or reports).absolute()
    told = table(records, told_by(reports), folder)
    script = (page.TEMPLATES / "sort.js").read_text(encoding="utf-8")
    template = page.environment().get_template("index.html.j2")
    content = template.render(
        i=told,
        workspace=str(store.workspace),
        broken=broken,
        comparisons=comparisons(reports, folder),
        command=[str(word) for word in command],
        generated_at=now(),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    disk.put(folder, {NAME: content})
    return folder / NAME, [row["id"] for row in told["rows"]]


def table(records: Sequence[Record], reports: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """Headline, a row per job that is no trial, newest first, and the best accuracy on each test set."""
    trials: dict[str, int] = {}
    for record in records:
        if jobs.role(record) == "trial":
            trials[record["study_job"]] = trials.get(record["study_job"], 0) + 1
    ids = {record["id"] for record in records}
    shown = [r for r in sorted(records, key=age, reverse=True) if r.get("study_job") not in ids or jobs.role(r) != "trial"]
    rows = [_row(record, trials.get(record["id"], 0), reports, folder) for record in shown]
    counts = {status: sum(row["status"] == status for row in rows) for status in ORDER}
    said = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
    return {"headline": words.count(len(rows), "job") + (f": {said}" if said else ""), "rows": rows, "best": _best(rows)}


def told_by(reports: Path) -> dict[str, Path]:
    """The report page that tells of each job: the one named after it, else the newest one that it is in."""
    found: dict[str, Path] = {}
    pages = [path for path in reports.glob("*/report.html") if path.is_file()]
    for path in sorted(pages, key=lambda path: path.stat().st_mtime):
        for job in _jobs_in(path.with_name("report.json")):
            if job not in found or found[job].parent.name != job:
                found[job] = path
    return found


def comparisons(reports: Path, folder: Path) -> list[dict[str, str]]:
    """The comparisons among the reports: headline, jobs and link, newest first."""
    found = []
    for path in sorted(reports.glob("*/compare.html"), key=lambda path: -path.stat().st_mtime):
        told = _read(path.with_name("compare.json"))
        sides = told.get("sides")
        names = ", ".join(str(s.get("job")) for s in sides if isinstance(s, dict)) if isinstance(sides, list) else ""
        found.append({"headline": str(told.get("headline") or path.parent.name), "jobs": names, "link": _link(path, folder)})
    return found


def _row(record: Record, trials: int, reports: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    metrics, spec, action = record.get("metrics") or {}, record.get("spec") or {}, str(record.get("action") or "")
    accuracy, val_acc = number(metrics.get("accuracy")), number(metrics.get("val_acc"))
    data = next((path for key in _data_keys(action) if (path := specs.get(spec, key)) not in (None, "", "???")), None)
    report = reports.get(record["id"])
    return {
        "id": record["id"],
        "action": action,
        "status": jobs.status(record),
        "trials": trials,
        "started": record.get("started_at") or record.get("submitted_at"),
        "seconds": jobs.duration(record),
        "accuracy": accuracy if action == "evaluate" else None,
        "val_acc": 100 * val_acc if val_acc is not None and action == "train" else None,
        "val_loss": number(metrics.get("val_loss")) if action == "train" else None,
        "data": str(data) if data else "",
        "data_name": Path(str(data)).parent.name or str(data) if data else "",
        "parent": str(record.get("parent_job") or ""),
        "error": textwrap.shorten(str((record.get("error") or {}).get("message") or ""), LONGEST, placeholder=" …"),
        "report": _link(report, folder) if report else None,
    }


def _data_keys(action: str) -> tuple[str, ...]:
    return (f"{action}.test_dataset.data_path", "dataset.train_dataset.data_path", f"{action}.data")


def _best(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    best: dict[str, dict[str, Any]] = {}
    for row in rows:
        told = row["accuracy"] is not None and row["data"] and row["status"] == "complete"
        if told and (row["data"] not in best or row["accuracy"] > best[row["data"]]["accuracy"]):
            best[row["data"]] = row
    counts = {data: sum(r["data"] == data and r["accuracy"] is not None for r in rows) for data in best}
    return [{**row, "tested": counts[data]} for data, row in sorted(best.items())]


def _jobs_in(path: Path) -> list[str]:
    told = _read(path).get("jobs")
    return [str(job["id"]) for job in told if isinstance(job, dict) and "id" in job] if isinstance(told, list) else []


def _read(path: Path) -> dict[str, Any]:
    """A JSON object, empty where there is none: a page of the workspace does not fail for one bad file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size <= LARGEST else None
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _link(path: Path, folder: Path) -> str:
    """Relative, so that the folder can be moved; no name in it can be taken for another scheme."""
    return "./" + quote(os.path.relpath(path, folder))
