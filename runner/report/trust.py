"""How far the numbers of an evaluation can be believed: intervals, calibration, the unknown, classes that go wrong.

From the metrics an evaluate job wrote; whatever they do not say, or say wrongly, is None.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runner.report import mistakes, results, words
from runner.report.artifacts import Artifacts
from runner.report.collect import Record
from runner.report.results import number, percent

POOR = 10.0  # points of calibration error from which it is worth a word
ENOUGH = 50  # sequences from which the error is not mostly chance
HINTS, TOLD = 8, 3  # classes in the table, and among the notes
SEEN = {
    "train": "The test data is data the model was trained on: the accuracy says nothing about new sequences.",
    "val": "The test data is the validation data, which chose the checkpoint: the accuracy is optimistic.",
}


def evaluation(record: Record, artifacts: Artifacts) -> dict[str, Any]:
    """All that ``results.evaluation`` tells of an evaluate job, and how far it can be believed."""
    told = results.evaluation(record, artifacts)
    metrics = artifacts.json(record, "metrics")
    metrics = metrics if isinstance(metrics, dict) else record.get("metrics") or {}
    return told | {
        **mistakes.told(record, artifacts),
        "accuracy_interval": interval(metrics.get("accuracy_interval")) or told["accuracy_interval"],
        "avg_accuracy_interval": interval(metrics.get("avg_accuracy_interval")),
        "interval_method": method(metrics.get("interval_method")) or (told["accuracy_interval"] and "Wilson"),
        "calibration": calibration(metrics),
        "unknown": unknown(metrics.get("unknown")),
        "hints": hints(metrics.get("hints")),
        "streams": streams(metrics),
        "seen_in_training": next((split for split in SEEN if metrics.get("seen_in_training") == split), None),
    }


def interval(told: Any) -> list[float] | None:
    """An interval in percent, None where that is not what is told."""
    if isinstance(told, list) and len(told) == 2:
        low, high = percent(told[0]), percent(told[1])
        if low is not None and high is not None and low <= high:
            return [low, high]
    return None


def method(told: Any) -> str | None:
    """How the intervals were made, in words."""
    if not isinstance(told, dict) or not isinstance(told.get("name"), str):
        return None
    resamples = number(told.get("resamples"))
    many = f", {words.number(resamples)} resamples within each class" if resamples else ""
    return f"{told['name']}{many}"


def calibration(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """Expected calibration error in percent, with and without temperature, and the table it is made of."""
    error = percent(metrics.get("ece"))
    if error is None:
        return None
    table = metrics.get("reliability")
    return {
        "ece": error,
        "ece_uncalibrated": percent(metrics.get("ece_uncalibrated")),
        "temperature": number(metrics.get("temperature")),
        "calibrated_loss": number(metrics.get("calibrated_loss")),
        "bins": [_bin(entry) for entry in table if isinstance(entry, dict)] if isinstance(table, list) else [],
    }


def unknown(told: Any) -> dict[str, Any] | None:
    """What the model's own threshold for the unknown comes to on the test set; shares in percent."""
    threshold = number(told.get("threshold")) if isinstance(told, dict) else None
    if threshold is None:
        return None
    return {"threshold": threshold} | {
        key: percent(told.get(key)) for key in ("called", "right_kept", "wrong_called", "accuracy")
    }


def streams(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Each stream of a fused network by itself: accuracy in percent, and its weight in the fusion."""
    told, fusion = metrics.get("streams"), metrics.get("fusion")
    weights = fusion.get("weights") if isinstance(fusion, dict) else None
    if not isinstance(told, dict):
        return []
    return [
        {
            "name": str(name),
            "accuracy": percent(accuracy),
            "weight": number(weights.get(name)) if isinstance(weights, dict) else None,
        }
        for name, accuracy in told.items()
    ]


def hints(told: Any) -> list[dict[str, Any]]:
    """Classes that are recognised badly, with the likely reasons, worst first."""
    entries = told if isinstance(told, list) else []
    return [
        {
            "class": str(entry.get("class", "")),
            "recall": percent(entry.get("recall")),
            "says": [str(text) for text in entry["says"]] if isinstance(entry.get("says"), list) else [],
        }
        for entry in entries
        if isinstance(entry, dict)
    ][:HINTS]


def notes(evaluated: dict[str, Any], trained: dict[str, Any], splits: set[str], *, searched: bool, last: bool) -> Iterator[str]:
    """What a careful reader should know about the latest evaluation and the training before it.

    ``splits`` are those whose files the report knows, ``searched`` says that the training was a search's, ``last`` that its
    last epoch is the model, whatever the validation set says.
    """
    if evaluated.get("seen_in_training") in SEEN and not splits & {"train", "val"}:
        yield SEEN[evaluated["seen_in_training"]]
    chosen = {
        "the settings": searched,
        "the checkpoint": not last,
        "the weights of the streams": len(evaluated.get("streams") or []) > 1,
        "the temperature": (evaluated.get("calibration") or {}).get("temperature"),
    }
    chose = [what for what, so in chosen.items() if so]
    if trained.get("val_acc") is not None and chose:
        listed = " and ".join([", ".join(chose[:-1]), chose[-1]] if chose[1:] else chose)
        said = f"The validation set chose {listed}, so its accuracy of {words.share(trained['val_acc'])} flatters"
        yield (
            f"{said}; the test accuracy is the number to trust."
            if evaluated.get("accuracy") is not None
            else (f"{said}; evaluate on a test set for a number to trust.")
        )
    told = evaluated.get("calibration")
    if told and told["ece"] >= POOR and (evaluated.get("sequences") or 0) >= ENOUGH:
        remedy = "" if told["temperature"] else "; train.calibrate=true fits a temperature"
        yield f"The probabilities are {words.number(told['ece'], 2)} points off on average{remedy}."
    for hint in (evaluated.get("hints") or [])[:TOLD]:
        yield f"{hint['class']} is recognised in {words.percent(hint['recall'])}: {'; '.join(hint['says'])}."


def _bin(entry: dict[str, Any]) -> dict[str, Any]:
    count = number(entry.get("sequences"))
    return {
        **{key: number(entry.get(key)) for key in ("from", "to")},
        "sequences": int(count) if count is not None and count >= 0 else 0,
        **{key: percent(entry.get(key)) for key in ("confidence", "accuracy")},
    }
