"""Confusion matrix and what follows from it, in percent: shares, their intervals, and words for the classes that go wrong.

Numpy and the standard library; knows no model, no data files.
"""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn.files import replacing

Z95 = 1.959964  # the normal quantile of a 95 % interval
RESAMPLES, SEED = 10_000, 1234
FEW = 10  # sequences, right or wrong, below which resampling is too sure
LOW = 85.0  # percent of a class below which a hint is given, where it is no better than the average of the classes
MOST_PAIRS = 6
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


def intervals(confusion: np.ndarray) -> dict[str, Any]:
    """95 % intervals of accuracy and of average class accuracy, [low, high] in percent; None without sequences.

    Resampled within each true class, so that every resample has as many sequences of each as the test set; the ends are the
    2.5th and the 97.5th percentile. With fewer than 10 right or fewer than 10 wrong sequences the resamples are all but equal
    and the interval too narrow (a single point where everything is right): then it is Wilson's, for the average with the
    number of sequences that a mean over classes of these sizes is worth.
    """
    support = confusion.sum(axis=1)
    present = support > 0
    right, count = np.diag(confusion)[present], support[present]
    if not len(count):
        return {"accuracy_interval": None, "avg_accuracy_interval": None, "interval_method": None}
    total, hits = int(count.sum()), int(right.sum())
    if min(hits, total - hits) < FEW:
        worth = len(count) ** 2 / float((1 / count).sum())
        ends = [_wilson(hits / total, total), _wilson(float((right / count).mean()), worth)]
        method: dict[str, Any] = {"name": "Wilson"}
    else:
        drawn = np.random.default_rng(SEED).binomial(count, right / count, size=(RESAMPLES, len(count)))
        means = [drawn.sum(axis=1) / total, (drawn / count).mean(axis=1)]
        ends = [[100 * float(end) for end in np.percentile(values, (2.5, 97.5))] for values in means]
        method = {"name": "bootstrap", "resamples": RESAMPLES, "seed": SEED, "within": "true class"}
    return {"accuracy_interval": ends[0], "avg_accuracy_interval": ends[1], "interval_method": {"level": 95, **method}}


def _wilson(share: float, count: float) -> list[float]:
    """Wilson's 95 % interval, in percent, of a share of ``count`` sequences."""
    square = Z95**2
    centre = (share + square / (2 * count)) / (1 + square / count)
    half = Z95 * math.sqrt(share * (1 - share) / count + square / (4 * count * count)) / (1 + square / count)
    return [100 * max(centre - half, 0.0), 100 * min(centre + half, 1.0)]


def confused_pairs(confusion: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """The pairs of true and predicted class with the most sequences; ``share`` is that of the true class, in percent."""
    support = confusion.sum(axis=1)
    pairs: list[dict[str, Any]] = [
        {"truth": names[t], "predicted": names[p], "count": int(n), "share": 100 * float(n / support[t])}
        for (t, p), n in np.ndenumerate(confusion)
        if t != p and n
    ]
    return sorted(pairs, key=lambda pair: (pair["count"], pair["share"]), reverse=True)[:MOST_PAIRS]


def hints(confusion: np.ndarray, names: Sequence[str], trained: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
    """Why classes are recognised badly, worst first: {"class", "recall", "says": sentences}.

    ``trained`` is how many training sequences each class had, where that is known.
    """
    support, right = confusion.sum(axis=1), np.diag(confusion)
    recall = np.divide(100.0 * right, support, out=np.full(len(names), np.nan), where=support > 0)
    average = float(np.nanmean(recall)) if (support > 0).any() else 0.0
    worst = [i for i in np.argsort(recall, kind="stable") if support[i] and recall[i] < LOW and recall[i] <= average]
    return [
        {
            "class": names[i],
            "recall": float(recall[i]),
            "says": [*_few_tested(int(support[i])), *_few_trained(names[i], trained or {}), *_taken_for(confusion, names, i)],
        }
        for i in worst
    ]


def _few_tested(support: int) -> Iterator[str]:
    if support < FEW:
        yield f"only {support} test sequence{'s' * (support > 1)}: each one is {100 / support:.0f} points of the recall"


def _few_trained(name: str, trained: Mapping[str, int]) -> Iterator[str]:
    counts = sorted(trained.values())
    median = counts[len(counts) // 2] if counts else 0
    own = trained.get(name, 0)
    if trained and 2 * own <= median:
        yield (
            f"few training sequences: {own}, where the class in the middle has {median}; more of them, or "
            "dataset.class_balance=sampler"
        )


def _taken_for(confusion: np.ndarray, names: Sequence[str], i: int) -> Iterator[str]:
    misses = confusion[i].copy()
    misses[i] = 0
    other, missed = int(misses.argmax()), int(misses.sum())
    if missed == 1:
        yield f"its one miss is taken for {names[other]}"
        return
    if misses[other] * 2 < missed or misses[other] < 2:
        yield f"its {missed} misses are spread over {int((misses > 0).sum())} classes"
        return
    back = int(confusion[other, i])
    mutual = f", and {names[other]} for it in {back}" if back else ""
    yield f"taken for {names[other]} in {int(misses[other])} of {missed} misses{mutual}"


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
