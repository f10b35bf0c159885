"""Jobs side by side as plain data: what was set differently, what came of it, and whether the difference is more than chance.

Each side is a training with its evaluation, told as the report tells it. Knows no pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from runner.report import paired, words
from runner.report.artifacts import Artifacts
from runner.report.collect import Record, age
from runner.report.content import build

MOST = 8  # jobs side by side
LABELS = "ABCDEFGH"
PLACES = (
    "results_dir",
    "encryption_key",
    "checkpoint",
    "resume_training_checkpoint_path",
)  # last parts of keys: where, not how
METRICS = (
    ("Accuracy", "percent", "high", "evaluation", "accuracy", "accuracy_interval"),
    ("Average over the classes", "percent", "high", "evaluation", "avg_accuracy", "avg_accuracy_interval"),
    ("Macro F1", "percent", "high", "evaluation", "macro_f1", None),
    ("Test loss", "number", "low", "evaluation", "loss", None),
    ("Calibration error", "percent", "low", "evaluation", "ece", None),
    ("Validation accuracy", "share", "high", "training", "val_acc", None),
    ("Validation loss", "number", "low", "training", "val_loss", None),
    ("Parameters", "count", "low", "training", "parameters", None),
    ("GFLOP a sequence", "number", "low", "training", "gflop_per_sequence", None),
    ("Training time", "seconds", "low", "training", "seconds", None),
)
OF_THE_TEST = ("evaluation",)  # metrics that can be set against each other only on one test set


class Side(NamedTuple):
    """One of the jobs, with the training and the evaluation that belong to it; empty where there is none."""

    label: str
    job: dict[str, Any]
    training: dict[str, Any]
    evaluation: dict[str, Any]
    settings: dict[str, Any]
    tested_on: dict[str, Any]
    trained_on: str | None
    answers: dict[tuple[Any, str], tuple[str, bool]]


def family(record: Record, everything: Mapping[str, Record]) -> list[Record]:
    """The training a job is or stands on, a search's best trial, and the evaluation of it: the job's own, or its latest."""
    train = record
    while train["action"] != "train" and everything.get(str(train.get("parent_job"))):
        train = everything[str(train["parent_job"])]
    best = everything.get(str(((train.get("automl") or {}).get("best") or {}).get("job_id")))
    tests = sorted(
        (r for r in everything.values() if r["action"] == "evaluate" and r.get("parent_job") == train["id"]), key=age
    )
    done = [r for r in tests if r["state"] == "COMPLETE"] or tests
    test = record if record["action"] == "evaluate" else done[-1] if done else None
    found = [record, train, *([best] if best else []), *([test] if test else [])]
    return list({r["id"]: r for r in found}.values())


def side(label: str, record: Record, everything: Mapping[str, Record]) -> Side:
    """One job as it is compared."""
    records = family(record, everything)
    told = build(records, actions={}, generated_at="", command=[])
    test = next((r for r in records if r["action"] == "evaluate"), None)
    training = told["trainings"][-1] if told["trainings"] else {}
    winner = training.get("curves_of")
    rows: list[dict[str, Any]] = next((job["spec"] for job in told["jobs"] if job["id"] == winner), [])
    own: list[dict[str, Any]] = next((job["spec"] for job in told["jobs"] if test and job["id"] == test["id"]), [])
    rows = [*rows, *(row for row in own if row["key"].startswith("evaluate."))]
    splits = {
        split["split"]: split
        for split in told["data"]
        if test is None or split["split"] != "test" or test["id"] in split["jobs"]
    }
    seconds = next((job["duration_seconds"] for job in told["jobs"] if job["id"] == training.get("job")), None)
    evaluation: dict[str, Any] = next((e for e in told["evaluations"] if test and e["job"] == test["id"]), {})
    return Side(
        label,
        next(job for job in told["jobs"] if job["id"] == record["id"]),
        training | {"seconds": seconds} if training else {},
        evaluation | {"ece": (evaluation["calibration"] or {}).get("ece")} if evaluation else {},
        {row["key"]: row["value"] for row in rows if row["key"].rsplit(".", 1)[-1] not in PLACES},
        splits.get("test") or {},
        (splits.get("train") or {}).get("sha256"),
        paired.answers(Artifacts(records), test) if test else {},
    )


def compare(
    records: Sequence[Record], everything: Mapping[str, Record], *, generated_at: str, command: Sequence[str]
) -> dict[str, Any]:
    """The comparison of two or more jobs; the first one is the base of differences."""
    sides = [side(label, record, everything) for label, record in zip(LABELS, records, strict=False)]
    why_not = _why_not(sides)
    tests = [] if why_not else paired.all_pairs([(s.label, s.answers) for s in sides])
    return {
        "schema_version": 1,
        "title": "Comparison of " + words.together([s.label for s in sides]),
        "generated_at": generated_at,
        "command": [str(word) for word in command],
        "headline": _headline(sides, tests, why_not),
        "comparable": not why_not,
        "why_not": why_not,
        "says": _says(sides, tests),
        "sides": [_side(s) for s in sides],
        "settings": _settings(sides),
        "same_settings": sum(1 for key in _keys(sides) if len({repr(s.settings.get(key)) for s in sides}) == 1),
        "metrics": _metrics(sides, comparable=not why_not),
        "pairs": tests,
        "classes": _classes(sides) if not why_not else [],
        "curves": [{"label": s.label, "rows": s.training.get("curves") or []} for s in sides],
    }


def _side(s: Side) -> dict[str, Any]:
    return {
        "label": s.label,
        "job": s.job["id"],
        "action": s.job["action"],
        "status": s.job["status"],
        "started_at": s.job["started_at"] or s.job["submitted_at"],
        "training": s.training.get("job"),
        "evaluation": s.evaluation.get("job"),
        "test_data": s.evaluation.get("data_path"),
        "test_sha256": s.tested_on.get("sha256"),
        "sequences": s.evaluation.get("sequences"),
    }


def _why_not(sides: Sequence[Side]) -> list[str]:
    """Why the test figures cannot be set against each other; nothing where they can."""
    untested = [s.label for s in sides if s.evaluation.get("accuracy") is None]
    if untested:
        return [f"{words.together(untested)} {'was' if len(untested) == 1 else 'were'} not evaluated"]
    unknown = [s.label for s in sides if not s.tested_on.get("sha256")]
    if unknown:
        return [f"nothing is recorded of the test data of {words.together(unknown)}"]
    groups: dict[str, list[str]] = {}
    for s in sides:
        groups.setdefault(s.tested_on["sha256"], []).append(s.label)
    if len(groups) > 1:
        sets = [f"{words.together(labels)} on {_named(sides, labels[0])}" for labels in groups.values()]
        return [f"the test sets differ: {'; '.join(sets)}"]
    return []


def _named(sides: Sequence[Side], label: str) -> str:
    s = next(s for s in sides if s.label == label)
    return f"{s.evaluation.get('data_path') or 'unnamed data'} (SHA-256 {words.short(s.tested_on['sha256'])})"


def _headline(sides: Sequence[Side], tests: Sequence[dict[str, Any]], why_not: Sequence[str]) -> str:
    if why_not:
        return "Not comparable: " + why_not[0].split(":")[0]
    ranked = sorted(sides, key=lambda s: -float(s.evaluation["accuracy"]))
    first, rest = ranked[0], ranked[1:]
    shown = words.percent(first.evaluation["accuracy"])
    behind = [s.label for s in rest if _clear(first.label, s.label, tests)]
    if not behind:
        each = [f"{s.label} {words.percent(s.evaluation['accuracy'])}" for s in sides]
        return f"No clear difference: {words.together(each)}"
    if len(behind) == len(rest):
        others = words.together([f"{words.percent(s.evaluation['accuracy'])} of {s.label}" for s in rest])
        return f"{first.label} is better: {shown} against {others}"
    return f"{first.label} leads with {shown}, clearly ahead of {words.together(sorted(behind))} only"


def _clear(a: str, b: str, tests: Sequence[dict[str, Any]]) -> bool:
    found = next((t for t in tests if {t["a"], t["b"]} == {a, b}), None)
    return found is not None and found["p"] is not None and found["p"] < paired.RARE


def _says(sides: Sequence[Side], tests: Sequence[dict[str, Any]]) -> list[str]:
    said = [paired.in_words(test) for test in tests if test["a"] == sides[0].label]
    trained = {s.trained_on for s in sides}
    if len(trained) > 1 and None not in trained:
        said.append("They were trained on different data, so the difference is not of the settings alone.")
    seen = [s.label for s in sides if s.evaluation.get("seen_in_training")]
    if seen:
        said.append(
            f"The test data of {words.together(seen)} was seen in its training: its accuracy says nothing about new sequences."
        )
    return said


def _keys(sides: Sequence[Side]) -> list[str]:
    return list(dict.fromkeys(key for s in sides for key in s.settings))


def _settings(sides: Sequence[Side]) -> list[dict[str, Any]]:
    rows = [{"key": key, "values": [s.settings.get(key) for s in sides]} for key in _keys(sides)]
    return [row for row in rows if any(repr(value) != repr(row["values"][0]) for value in row["values"])]


def _metrics(sides: Sequence[Side], *, comparable: bool) -> list[dict[str, Any]]:
    rows = []
    for name, kind, better, part, key, interval in METRICS:
        values = [getattr(s, part).get(key) for s in sides]
        if all(value is None for value in values):
            continue
        known = [value for value in values if value is not None]
        fair = (comparable or part not in OF_THE_TEST) and len(known) == len(sides) and len(set(known)) > 1
        pick: Callable[[Any], Any] = max if better == "high" else min
        ends = [getattr(s, part).get(interval) if interval else None for s in sides]
        best = [fair and value == pick(known) for value in values]
        rows.append({"name": name, "kind": kind, "better": better, "values": values, "intervals": ends, "best": best})
    return rows


def _classes(sides: Sequence[Side]) -> list[dict[str, Any]]:
    """The recall of each class on every side, the largest differences first."""
    tables = [{row["name"]: row for row in s.evaluation.get("per_class") or []} for s in sides]
    rows = []
    for name in dict.fromkeys(name for table in tables for name in table):
        recalls = [(table.get(name) or {}).get("recall") for table in tables]
        known = [recall for recall in recalls if recall is not None]
        if known:
            support = next((table[name]["support"] for table in tables if name in table), None)
            rows.append({"name": name, "support": support, "recall": recalls, "spread": max(known) - min(known)})
    return sorted(rows, key=lambda row: -float(row["spread"]))
