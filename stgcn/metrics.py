"""Confusion matrix and what follows from it, in percent. Numpy and the standard library; knows no model, no data files."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn.files import replacing

MOST_CELL_TEXTS = 25  # classes up to which the picture shows the counts
MOST_TICK_LABELS = 80


def confusion(truth: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Count sequences by true class (rows) and predicted class (columns); int64 (num_classes, num_classes)."""
    index = np.asarray(truth, dtype=np.int64) * num_classes + np.asarray(predicted, dtype=np.int64)
    return np.bincount(index, minlength=num_classes**2).reshape(num_classes, num_classes).astype(np.int64)


def summary(
    confusion: np.ndarray,
    class_names: Sequence[str],
    probs: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    top_k: int = 5,
) -> dict[str, Any]:
    """Accuracy and its parts, in percent; what cannot be said (a class without sequences) is None.

    ``avg_accuracy`` and ``macro_f1`` are means over the classes that occur. With ``probs`` (N, C) and ``truth`` (N,) the
    share of sequences whose true class is among the k likeliest is added as ``top<k>_accuracy``, k at most C.
    """
    hits, support, guesses = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    per_class = {
        name: {
            "precision": _percent(hits[i], guesses[i]),
            "recall": _percent(hits[i], support[i]),
            "f1": _percent(2 * hits[i], support[i] + guesses[i]) if support[i] else None,
            "support": int(support[i]),
            "predicted": int(guesses[i]),
        }
        for i, name in enumerate(class_names)
    }
    result: dict[str, Any] = {
        "accuracy": _percent(hits.sum(), support.sum()),
        "avg_accuracy": _mean([c["recall"] for c in per_class.values()]),
        "macro_f1": _mean([c["f1"] for c in per_class.values()]),
        "sequences": int(support.sum()),
        "per_class": per_class,
    }
    if probs is not None and truth is not None:
        k = min(top_k, len(class_names))
        result[f"top{top_k}_accuracy"] = _percent(_in_top(probs, truth, k), len(truth))
    return result


def _in_top(probs: np.ndarray, truth: np.ndarray, k: int) -> int:
    """Count the sequences whose true class is among the k likeliest; of equal ones the lower id comes first."""
    best = np.argsort(-probs, axis=1, kind="stable")[:, :k]
    return int((best == np.asarray(truth)[:, None]).any(axis=1).sum())


def _percent(part: Any, whole: Any) -> float | None:
    return 100.0 * float(part) / float(whole) if whole else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def confusion_csv(confusion: np.ndarray, names: Sequence[str]) -> str:
    """Confusion matrix as CSV text: a header of predicted classes, then one row per true class."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["truth\\predicted", *names])
    writer.writerows([name, *row] for name, row in zip(names, confusion.tolist(), strict=True))
    return text.getvalue()


def confusion_png(confusion: np.ndarray, names: Sequence[str], path: str | Path) -> Path:
    """Draw the confusion matrix, coloured by the share of the true class."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(names)
    side = min(3.0 + 0.5 * count, 16.0)
    figure = Figure(figsize=(side, side), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    support = confusion.sum(axis=1, keepdims=True)
    share = confusion / np.maximum(support, 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted class", ylabel="true class")
    if count <= MOST_TICK_LABELS:
        axes.set_xticks(range(count), labels=list(names), rotation=90, parse_math=False)
        axes.set_yticks(range(count), labels=list(names), parse_math=False)
    if count <= MOST_CELL_TEXTS:
        for (row, column), cell in np.ndenumerate(confusion):
            colour = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, str(cell), ha="center", va="center", color=colour)
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # class names in scripts that the font lacks are drawn as boxes
        figure.savefig(temporary, format="png", metadata={"Software": None})
    return Path(path)
