"""The action ``evaluate``: a model against labelled sequences."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from stgcn import arrays, calibration, files, metrics
from stgcn.action import Started, started
from stgcn.description import class_names, temperature_of, unknown_threshold_of
from stgcn.predict import batch_size_of, inspected, json_lines, prepare, probabilities, records, run_streams

log = logging.getLogger("stgcn")

TOP_K = 5
SEEN = {
    "train": "these sequences are those the model was trained on: the figures say nothing about new ones",
    "val": "these are the validation sequences, by which the checkpoint was chosen: the figures are better than on new ones",
}


def run(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Evaluate as ``spec`` says.

    Returns:
        ``metrics`` (shares in percent) and ``artifacts`` by name.

    Raises:
        TrainerError: a mistake in the spec, the data or the model.
    """
    with started("evaluate", spec) as action:
        return main(action)


def main(action: Started) -> dict[str, Any]:
    """Load, predict, count, write."""
    settings, folder, status = action
    predictor, test = prepare(action, "evaluate", need_labels=True)
    assert test.labels is not None
    described = predictor.describe()
    names = class_names(described)
    checked = inspected(action, described, test)
    logits, streams = run_streams(
        predictor,
        test.data,
        batch_size_of(settings.evaluate, settings.dataset),
        lambda words: status.write("RUNNING", words),
    )
    probs = probabilities(logits, described)
    counted = metrics.confusion(test.labels, logits.argmax(axis=1), len(names))
    facts = arrays.facts(test, described["label_map"])
    found = {
        **metrics.summary(counted, names, probs, test.labels, top_k=TOP_K),
        **metrics.intervals(counted),
        "loss": cross_entropy(logits, test.labels),
        **trust(logits, test.labels, described),
        "confused": metrics.confused_pairs(counted, names),
        "hints": metrics.hints(counted, names, _trained(described)),
        "seen_in_training": seen(facts, described),
        **each_stream(streams, test.labels, described),
    }
    status.write("RUNNING", "Test metrics generated.", kpi={k: round(found[k], 2) for k in ("accuracy", "avg_accuracy")})
    for line in table(found):
        log.info(line)
    if found["seen_in_training"]:
        log.warning(SEEN[found["seen_in_training"]])

    lines = (
        {**record, "truth": names[label]}
        for record, label in zip(records(test.names, probs, names, TOP_K), test.labels.tolist(), strict=True)
    )
    written = {
        "metrics": files.write_json(folder / "metrics.json", found),
        "confusion_matrix": files.write_text(folder / "confusion_matrix.csv", metrics.confusion_csv(counted, names)),
        "confusion_matrix_png": metrics.confusion_png(counted, names, folder / "confusion_matrix.png"),
        "predictions": files.write_text(folder / "predictions.jsonl", json_lines(lines)),
        "data_facts": files.write_json(folder / "data_facts.json", {"test": facts, "inspection": checked}),
    }
    return {"metrics": found, "artifacts": {name: str(path) for name, path in written.items()}}


def each_stream(streams: Mapping[str, np.ndarray], labels: np.ndarray, described: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy in percent of each stream by itself, and the weight it has in the fusion; nothing for a model of one network."""
    if not streams:
        return {}
    accuracies = {name: float(100 * (logits.argmax(axis=1) == labels).mean()) for name, logits in streams.items()}
    weights = dict(zip(described["streams"], map(float, described["fusion"]), strict=True))
    return {"streams": accuracies, "fusion": {"weights": weights}}


def trust(logits: np.ndarray, labels: np.ndarray, described: Mapping[str, Any]) -> dict[str, Any]:
    """How far the probabilities can be believed: calibration error in percent, and what the model's threshold comes to.

    With a temperature ``ece`` and ``reliability`` are of the calibrated probabilities, ``ece_uncalibrated`` is of the others.
    """
    probs = probabilities(logits, described)
    error, bins = calibration.reliability(probs, labels)
    found: dict[str, Any] = {"ece": error, "reliability": bins}
    if "temperature" in described:
        temperature = temperature_of(described)
        found |= {
            "temperature": temperature,
            "calibrated_loss": cross_entropy(logits / temperature, labels),
            "ece_uncalibrated": calibration.reliability(calibration.softmax(logits), labels)[0],
        }
    threshold = unknown_threshold_of(described)
    if threshold is not None:
        found["unknown"] = calibration.unknown_below(probs, labels, threshold)
    return found


def seen(facts: Mapping[str, Any], described: Mapping[str, Any]) -> str | None:
    """Which set of the training the data are, by content: train, val or, as it should be, None."""
    known = described.get("trained_on")
    sets = known if isinstance(known, Mapping) else {}
    own = {told["sha256"] for told in facts.get("files", [facts])}
    return next((name for name in SEEN if own & set((sets.get(name) or {}).get("sha256") or ())), None)


def _trained(described: Mapping[str, Any]) -> dict[str, int]:
    """Training sequences of each class, empty where the model does not say."""
    known = described.get("trained_on")
    train = known.get("train") if isinstance(known, Mapping) else None
    return dict(train["per_class"]) if isinstance(train, Mapping) and train.get("per_class") else {}


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy of logits (N, classes) and class ids (N,)."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-log_probs[np.arange(len(labels)), labels].mean())


def table(found: Mapping[str, Any]) -> list[str]:
    """The metrics as lines of a table, in percent."""
    rows: list[tuple[str, float | None]] = [
        *((f"Class accuracy: {name}", numbers["recall"]) for name, numbers in found["per_class"].items()),
        *((f"Stream accuracy: {name}", accuracy) for name, accuracy in found.get("streams", {}).items()),
        ("Total accuracy", found["accuracy"]),
        ("Average class accuracy", found["avg_accuracy"]),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {'none' if value is None else f'{value:8.4f}'}" for name, value in rows]
    for line, key in ((-2, "accuracy_interval"), (-1, "avg_accuracy_interval")):
        if found.get(key):
            lines[line] += "  (95 %: {:.1f} to {:.1f})".format(*found[key])
    return lines
