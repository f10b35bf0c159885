"""What a series' record says: its trainings, mean and spread, the learning curve, and what more data would do.

Knows the ``series`` part of a record; the trainings' own records only for their logs.
"""

from __future__ import annotations

from typing import Any

from runner.report import words
from runner.report.collect import Record
from runner.report.results import count, number, text


def series(record: Record, records: dict[str, Record]) -> dict[str, Any]:
    """The series of one job."""
    told = record["series"]
    metrics = {str(name): str(way) for name, way in (told.get("metrics") or {}).items()}
    best = (told.get("best") or {}).get("number")
    verdict = told.get("verdict") or {}
    return {
        "job": record["id"],
        "what": str(told.get("what") or ""),
        "metrics": list(metrics),
        "counts": [str(name) for name in told.get("counts") or []],
        "trainings": [_child(c, best, metrics, told, records) for c in told.get("children") or [] if isinstance(c, dict)],
        "summary": [_summary(name, found) for name, found in (told.get("summary") or {}).items()],
        "curve": [_point(point) for point in told.get("curve") or [] if isinstance(point, dict)],
        "answer": text(verdict.get("answer")),
        "verdict": text(verdict.get("says")),
    }


def in_words(told: dict[str, Any]) -> str:
    """The first of the metrics with its spread, in a few words; "" while there is none."""
    if not told["summary"]:
        return ""
    first = told["summary"][0]
    spread = f" ± {value(first['name'], first['std'])}" if first["std"] is not None else ""
    return f"{first['name']} {value(first['name'], first['mean'])}{spread} over {words.count(first['n'], 'training')}"


def value(metric: str, thing: Any) -> str:
    """A metric for people: accuracies as shares, all else as numbers."""
    return words.share(thing) if is_share(metric) else words.number(thing)


def is_share(metric: str) -> bool:
    """Whether a metric is a fraction of 1, as its name tells."""
    return metric.endswith("acc")


def _child(
    child: dict[str, Any], best: Any, metrics: dict[str, str], told: dict[str, Any], records: dict[str, Record]
) -> dict[str, Any]:
    own, found = records.get(str(child.get("job_id"))) or {}, child.get("metrics") or {}
    share = (told.get("keys") or {}).get("share")
    return {
        "number": count(child.get("number")),
        "label": str(child.get("label") or ""),
        "job_id": text(child.get("job_id")),
        "status": words.STATUS.get(str(child.get("state")), "unknown"),
        "share": number((child.get("params") or {}).get(share)) if share else None,
        "metrics": {name: number(found.get(name)) for name in metrics},
        "counts": {str(name): number(found.get(name)) for name in told.get("counts") or []},
        "seconds": number(child.get("seconds")),
        "error": text(child.get("error")),
        "log": text(own.get("log")),
        "best": best is not None and child.get("number") == best,
    }


def _summary(name: str, found: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": str(name),
        "n": count(found.get("n")) or 0,
        **{key: number(found.get(key)) for key in ("mean", "std", "min", "max")},
    }


def _point(point: dict[str, Any]) -> dict[str, Any]:
    return {
        "share": number(point.get("share")),
        "sequences": number(point.get("sequences")),
        "metrics": [_summary(name, found) for name, found in (point.get("metrics") or {}).items()],
    }
