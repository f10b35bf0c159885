"""What came out of each action, from its metrics and the artifact files its record names.

One function per action: record -> plain data. Every number that is not there is None.
"""

from __future__ import annotations

import math
import re
from typing import Any

from runner import spec as specs
from runner.report.artifacts import Artifacts
from runner.report.collect import Record

PAIRS = 8
CURVES = ("train_loss", "val_loss", "train_acc", "val_acc", "lr", "seconds")
LEVELS = ("error", "warning", "note")
SAMPLES = 20  # shown of one finding
TOP_K = re.compile(r"top(\d+)_accuracy")
Z95 = 1.959964  # the normal quantile of a 95 % interval


def evaluation(record: Record, artifacts: Artifacts) -> dict[str, Any]:
    """Metrics per class, confusion matrix and most confused pairs of an evaluate job."""
    metrics = artifacts.json(record, "metrics")
    metrics = metrics if isinstance(metrics, dict) else record.get("metrics") or {}
    confusion = _confusion(record, artifacts)
    per_class = _per_class(metrics.get("per_class"), confusion)
    sequences, accuracy = count(metrics.get("sequences")), percent(metrics.get("accuracy"))
    k, top_k = next(((int(m[1]), v) for m, v in ((TOP_K.fullmatch(n), v) for n, v in metrics.items()) if m), (None, None))
    supports = [row["support"] for row in per_class if row["support"] is not None]
    return {
        "job": record["id"],
        "checkpoint": _setting(record, "evaluate.checkpoint"),
        "data_path": _setting(record, "evaluate.test_dataset.data_path"),
        "sequences": sequences,
        "loss": number(metrics.get("loss")),
        "accuracy": accuracy,
        "accuracy_interval": _wilson(accuracy, sequences),
        "avg_accuracy": percent(metrics.get("avg_accuracy")),
        "macro_f1": percent(metrics.get("macro_f1")),
        "top_k": k,
        "top_k_accuracy": percent(top_k),
        "majority_share": 100 * max(supports) / sum(supports) if sum(supports) else None,
        "per_class": per_class,
        "confusion": confusion,
        "confused": _confused(confusion),
    }


def training(record: Record, artifacts: Artifacts, *, of: Record) -> dict[str, Any]:
    """Learning curves of ``record``, told as those of ``of`` (a search shows the curves of its best trial)."""
    rows = artifacts.table(record, "metrics_csv") or []
    head, body = (rows[0], rows[1:]) if rows else ([], [])
    epochs = [{name: _cell(cell) for name, cell in zip(head, row, strict=False)} for row in body]
    metrics = {**(record.get("metrics") or {}), **(of.get("metrics") or {})}
    numbers = ("val_loss", "val_acc", "best_epoch", "last_val_loss", "last_val_acc", "train_loss", "train_acc")
    return {
        "job": of["id"],
        "curves_of": record["id"],
        **{name: number(metrics.get(name)) for name in numbers},
        "epochs": count(metrics.get("epochs")),
        "parameters": count(metrics.get("parameters")),
        "gflop_per_sequence": number(metrics.get("gflop_per_sequence")),
        "device": text(metrics.get("device")),
        "planned_epochs": count(_setting(of, "train.num_epochs")),
        "curves": [{"epoch": e["epoch"], **{c: e.get(c) for c in CURVES}} for e in epochs if e.get("epoch") is not None],
    }


def exported(record: Record, artifacts: Artifacts) -> dict[str, Any]:
    """What the ONNX file is and how far its answers are from the checkpoint's.

    ``tolerance`` is what was allowed in the end (the export scales it with the largest logit), and the export's own word
    on whether that holds is taken.
    """
    parity = _dict(artifacts.json(record, "parity"))
    facts = {**(record.get("metrics") or {}), **parity}
    difference, tolerance = number(facts.pop("max_abs_diff", None)), number(facts.pop("allowed", facts.get("tolerance")))
    within = difference <= tolerance if difference is not None and tolerance is not None else None
    said, cases = facts.pop("ok", None), facts.pop("cases", None)
    return {
        "job": record["id"],
        "onnx": (record.get("artifacts") or {}).get("onnx"),
        "checkpoint": _setting(record, "export.checkpoint"),
        "max_abs_diff": difference,
        "tolerance": tolerance,
        "within_tolerance": said if isinstance(said, bool) else within,
        "cases": [_case(case) for case in cases if isinstance(case, dict)] if isinstance(cases, list) else [],
        "facts": facts,
    }


def _case(case: dict[str, Any]) -> dict[str, Any]:
    return {
        "shape": _shape(case.get("shape")),
        "kind": text(case.get("kind")),
        "max_abs_diff": number(case.get("max_abs_diff")),
    }


def _shape(value: Any) -> list[int] | None:
    return value if isinstance(value, list) and all(isinstance(size, int) for size in value) else None


def predicted(record: Record, _artifacts: Artifacts) -> dict[str, Any]:
    """How many sequences an inference job put into each class."""
    metrics = record.get("metrics") or {}
    files = record.get("artifacts") or {}
    classes = _dict(metrics.get("classes"))
    return {
        "job": record["id"],
        "checkpoint": _setting(record, "inference.checkpoint"),
        "sequences": count(metrics.get("sequences")),
        "classes": [{"name": str(name), "sequences": count(n)} for name, n in classes.items()]
        + ([{"name": "unknown", "sequences": count(metrics["unknown"])}] if metrics.get("unknown") else []),
        "output_file": files.get("predictions"),
        "jsonl": files.get("predictions_jsonl"),
    }


def converted(record: Record, artifacts: Artifacts) -> dict[str, Any]:
    """What a conversion wrote."""
    metrics, files = record.get("metrics") or {}, record.get("artifacts") or {}
    numbers = {name: count(metrics.get(name)) for name in ("objects", "windows", "frames", "records")}
    details = {k: v for k, v in _dict(artifacts.json(record, "conversion")).items() if not isinstance(v, (dict, list))}
    return {"job": record["id"], **numbers, "folder": files.get("objects"), "details": details}


def data(record: Record, artifacts: Artifacts) -> list[dict[str, Any]]:
    """The facts of every split a job has read."""
    facts = _dict(artifacts.json(record, "data_facts"))
    return [_split(record["id"], str(split), told) for split, told in facts.items() if isinstance(told, dict)]


def checks(record: Record, artifacts: Artifacts) -> dict[str, Any] | None:
    """What was noticed in the data before a job began, or None when nobody looked."""
    told = _dict(artifacts.json(record, "data_facts")).get("inspection")
    if not isinstance(told, list):
        return None
    return {"job": record["id"], "findings": [_finding(record["id"], entry) for entry in told if isinstance(entry, dict)]}


def _finding(job: str, told: dict[str, Any]) -> dict[str, Any]:
    samples = told.get("samples")
    return {
        "jobs": [job],
        "level": told["level"] if told.get("level") in LEVELS else "note",
        "split": text(told.get("split")),
        "text": str(told.get("text", "")),
        "count": count(told.get("count")),
        "samples": [str(sample) for sample in samples[:SAMPLES]] if isinstance(samples, list) else [],
    }


def _split(job: str, split: str, told: dict[str, Any]) -> dict[str, Any]:
    frames, notes = _dict(told.get("frames")), told.get("notes")
    return {
        "split": split,
        "jobs": [job],
        **{key: text(told.get(key)) for key in ("path", "sha256", "dtype")},
        **{key: count(told.get(key)) for key in ("bytes", "sequences", "persons")},
        "files": [
            {key: text(file.get(key)) for key in ("path", "sha256")}
            for file in told.get("files") or []
            if isinstance(file, dict)
        ],
        "shape": _shape(told.get("shape")),
        "missing_joint_share": number(told.get("missing_joint_share")),
        "frames": {key: number(frames.get(key)) for key in ("min", "median", "max")},
        "per_class": [{"name": str(name), "sequences": count(n)} for name, n in _dict(told.get("per_class")).items()],
        "notes": [str(note) for note in notes] if isinstance(notes, list) else [],
    }


def number(value: Any) -> float | int | None:
    """``value`` when it is a finite number, else None: a file that says otherwise is not believed."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return value if known else None


def count(value: Any) -> int | None:
    """``value`` when it is a count, else None."""
    known = number(value)
    return int(known) if known is not None and known >= 0 and known == int(known) else None


def percent(value: Any) -> float | None:
    """``value`` when it lies between 0 and 100, else None."""
    known = number(value)
    return known if known is not None and 0 <= known <= 100 else None


def text(value: Any) -> str | None:
    """``value`` when it is a text that is not empty, else None."""
    return value if isinstance(value, str) and value else None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _per_class(told: Any, confusion: dict[str, Any] | None) -> list[dict[str, Any]]:
    """In the order of the confusion matrix, which is the order of the class ids."""
    order = {name: i for i, name in enumerate(confusion["names"])} if confusion else {}
    rows = [_class(str(name), values) for name, values in _dict(told).items() if isinstance(values, dict)]
    return sorted(rows, key=lambda row: order.get(row["name"], len(order)))


def _class(name: str, values: dict[str, Any]) -> dict[str, Any]:
    shares = {key: percent(values.get(key)) for key in ("precision", "recall", "f1")}
    return {"name": name, **shares, **{key: count(values.get(key)) for key in ("support", "predicted")}}


def _confusion(record: Record, artifacts: Artifacts) -> dict[str, Any] | None:
    """First row and first column hold the names, rows are the truth."""
    table = artifacts.table(record, "confusion_matrix")
    if not table:
        return None
    names = table[0][1:]
    try:
        rows = [[max(int(cell), 0) for cell in row[1:]] for row in table[1:]]
    except ValueError:
        rows = []
    if len(rows) != len(names) or any(len(row) != len(names) for row in rows):
        path = str(record["artifacts"]["confusion_matrix"])
        artifacts.note(record["id"], "confusion_matrix", path, "is not a square table of counts with names")
        return None
    return {"names": names, "rows": rows}


def _confused(confusion: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The pairs of different classes with the most sequences; ``back`` is how many went the other way."""
    if not confusion:
        return []
    names, rows = confusion["names"], confusion["rows"]
    pairs = [
        {"truth": names[t], "predicted": names[p], "count": n, "share": n / sum(row), "back": rows[p][t]}
        for t, row in enumerate(rows)
        for p, n in enumerate(row)
        if t != p and n
    ]
    return sorted(pairs, key=lambda pair: (-pair["count"], -pair["share"]))[:PAIRS]


def _wilson(accuracy: float | None, n: int | None) -> list[float] | None:
    """The 95 % interval (Wilson) of an accuracy in percent over ``n`` sequences, in percent."""
    if accuracy is None or not n:
        return None
    p, z2 = accuracy / 100, Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(max(p * (1 - p) / n + z2 / (4 * n * n), 0.0)) / (1 + z2 / n)
    return [100 * max(centre - half, 0.0), 100 * min(centre + half, 1.0)]


def _cell(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _setting(record: Record, key: str) -> Any:
    """One value of the record's spec, None when it is not there or not set."""
    here = specs.get(record.get("spec") or {}, key)
    return None if here in ("", "???") else here
