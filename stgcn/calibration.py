"""What probabilities are worth: temperature, a threshold for the unknown, reliability. Numpy; knows no model, no files.

What is fitted here is fitted on the validation set, by the training; a test set is only ever measured.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

COLDEST, HOTTEST = 0.01, 100.0  # the temperatures looked at
BINS = 15
KEPT = 0.95  # share of the rightly classified sequences that the threshold keeps


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities float64 (N, K) of logits (N, K) divided by ``temperature``."""
    scaled = logits.astype(np.float64) / temperature
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    result: np.ndarray = raised / raised.sum(axis=1, keepdims=True)
    return result


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature under which logits (N, K) explain the class ids (N,) best; above 1 it makes a model less sure.

    Cross-entropy with every label counted as sure by (N + 1) in (N + 2), as Platt did: a model that is right on all N
    sequences must not conclude that it is always right. Between 0.01 and 100; 1 where there is nothing to fit.
    """
    count, classes = logits.shape
    if not count or classes < 2:
        return 1.0
    centred = logits.astype(np.float64)
    centred -= centred.max(axis=1, keepdims=True)
    doubt = 1.0 / (count + 2)
    own = centred[np.arange(count), labels]
    others = (centred.sum(axis=1) - own) / (classes - 1)
    wanted = float(((1 - doubt) * own + doubt * others).mean())

    def slope(sharpness: float) -> float:
        """Of the cross-entropy by 1 / temperature; rises, for the cross-entropy is convex."""
        return float((softmax(centred, 1 / sharpness) * centred).sum(axis=1).mean()) - wanted

    low, high = math.log(1 / HOTTEST), math.log(1 / COLDEST)
    if slope(math.exp(low)) >= 0:
        return HOTTEST
    if slope(math.exp(high)) <= 0:
        return COLDEST
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(math.exp(middle)) < 0 else (low, middle)
    return math.exp(-(low + high) / 2)


def unknown_threshold(probs: np.ndarray, labels: np.ndarray) -> float:
    """The highest probability, to four decimals, that 95 % of the rightly classified sequences reach; 0 without any.

    ``probs`` (N, K) are those the threshold is to be compared with, calibrated if those are; ``labels`` are class ids (N,).
    """
    highest = np.sort(probs.max(axis=1)[probs.argmax(axis=1) == labels])
    if not len(highest):
        return 0.0
    lost = math.floor((1 - KEPT) * len(highest) + 1e-9)
    return math.floor(float(highest[lost]) * 1e4) / 1e4


def reliability(probs: np.ndarray, labels: np.ndarray) -> tuple[float | None, list[dict[str, Any]]]:
    """Expected calibration error in percent, and the table it is made of: 15 bins of equal width by highest probability.

    The error is the mean, over the sequences, of the distance between what a bin promises (its mean probability) and what
    it keeps (its accuracy). Bins without sequences have None for both.
    """
    highest, right = probs.max(axis=1), probs.argmax(axis=1) == labels
    bins = np.clip(np.ceil(highest * BINS).astype(int) - 1, 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    promised = np.bincount(bins, weights=highest, minlength=BINS)
    kept = np.bincount(bins, weights=right, minlength=BINS)
    table = [
        {
            "from": i / BINS,
            "to": (i + 1) / BINS,
            "sequences": int(counts[i]),
            "confidence": 100 * float(promised[i] / counts[i]) if counts[i] else None,
            "accuracy": 100 * float(kept[i] / counts[i]) if counts[i] else None,
        }
        for i in range(BINS)
    ]
    return (100 * float(np.abs(promised - kept).sum() / len(labels)) if len(labels) else None), table


def unknown_below(probs: np.ndarray, labels: np.ndarray, threshold: float) -> dict[str, Any]:
    """What calling sequences unknown whose highest probability is below ``threshold`` comes to; shares in percent.

    ``right_kept`` and ``wrong_called`` are shares of the rightly and of the wrongly classified sequences, ``accuracy`` is that
    of the sequences that are kept; each None where there are none.
    """
    called, right = probs.max(axis=1) < threshold, probs.argmax(axis=1) == labels

    def share(part: np.ndarray, whole: np.ndarray) -> float | None:
        return 100 * float(part.sum() / whole.sum()) if whole.any() else None

    return {
        "threshold": threshold,
        "called": share(called, np.ones_like(called)),
        "right_kept": share(right & ~called, right),
        "wrong_called": share(~right & called, ~right),
        "accuracy": share(right & ~called, ~called),
    }
