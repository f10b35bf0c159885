"""The action ``evaluate``: a model against labelled sequences."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from stgcn import arrays, files, metrics
from stgcn.action import Started, started
from stgcn.description import class_names
from stgcn.predict import batch_size_of, json_lines, prepare, probabilities, records, run_over

log = logging.getLogger("stgcn")

TOP_K = 5


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
    names = class_names(predictor.describe())
    logits = run_over(predictor, test.data, batch_size_of(settings.evaluate, settings.dataset))
    probs = probabilities(logits)
    counted = metrics.confusion(test.labels, logits.argmax(axis=1), len(names))
    found = metrics.summary(counted, names, probs, test.labels, top_k=TOP_K)
    found["loss"] = cross_entropy(logits, test.labels)
    status.write("RUNNING", "Test metrics generated.", kpi={k: round(found[k], 2) for k in ("accuracy", "avg_accuracy")})
    for line in table(found):
        log.info(line)

    lines = (
        {**record, "truth": names[label]}
        for record, label in zip(records(test.names, probs, names, TOP_K), test.labels.tolist(), strict=True)
    )
    written = {
        "metrics": files.write_json(folder / "metrics.json", found),
        "confusion_matrix": files.write_text(folder / "confusion_matrix.csv", metrics.confusion_csv(counted, names)),
        "confusion_matrix_png": metrics.confusion_png(counted, names, folder / "confusion_matrix.png"),
        "predictions": files.write_text(folder / "predictions.jsonl", json_lines(lines)),
        "data_facts": files.write_json(
            folder / "data_facts.json", {"test": arrays.facts(test, predictor.describe()["label_map"])}
        ),
    }
    return {"metrics": found, "artifacts": {name: str(path) for name, path in written.items()}}


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy of logits (N, classes) and class ids (N,)."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-log_probs[np.arange(len(labels)), labels].mean())


def table(found: Mapping[str, Any]) -> list[str]:
    """The metrics as lines of a table, in percent."""
    rows = [
        *((f"Class accuracy: {name}", numbers["recall"]) for name, numbers in found["per_class"].items()),
        ("Total accuracy", found["accuracy"]),
        ("Average class accuracy", found["avg_accuracy"]),
    ]
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {'none' if value is None else f'{value:8.4f}'}" for name, value in rows]
