"""The calibration diagram: what the probabilities promise, what they keep, and how many answers stand behind each. Geometry."""

from __future__ import annotations

from typing import Any

from runner.report import words

WIDTH, HEIGHT = 320.0, 300.0
LEFT, RIGHT, TOP = 44.0, 8.0, 12.0
FOOT, BOTTOM = 232.0, 264.0  # the square ends at the foot, the counts stand between it and the bottom
KEYS = ("from", "to", "confidence", "accuracy")
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def calibration(told: dict[str, Any] | None) -> dict[str, Any] | None:
    """The drawing of a calibration section; None where no answer is in any bin."""
    bins = [b for b in (told or {}).get("bins", []) if b["sequences"] and None not in (b[key] for key in KEYS)]
    if not bins:
        return None
    most, whole = max(b["sequences"] for b in bins), sum(b["sequences"] for b in bins)
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "plot": {"left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "foot": FOOT, "bottom": BOTTOM},
        "x_ticks": [{"at": _x(t), "text": f"{t:.0%}"} for t in TICKS],
        "y_ticks": [{"at": _y(t), "text": f"{t:.0%}"} for t in TICKS],
        "diagonal": {"x1": _x(0), "y1": _y(0), "x2": _x(1), "y2": _y(1)},
        "bars": [_bar(b, most) for b in bins],
        "says": f"Calibration of {words.count(whole, 'answer')}: "
        + "; ".join(f"{_says(b)} of {b['sequences']}" for b in bins)
        + ".",
    }


def _bar(entry: dict[str, Any], most: int) -> dict[str, Any]:
    left, right = _x(min(max(entry["from"], 0.0), 1.0)) + 0.8, _x(min(max(entry["to"], 0.0), 1.0)) - 0.8
    kept, promised = _y(entry["accuracy"] / 100), _y(entry["confidence"] / 100)
    tall = round((BOTTOM - FOOT - 8) * entry["sequences"] / most, 1)
    return {
        "x": round(left, 1),
        "width": round(max(right - left, 0.5), 1),
        "kept": {"y": kept, "height": round(FOOT - kept, 1)},
        "gap": {"y": min(kept, promised), "height": round(abs(kept - promised), 1)},
        "over": entry["confidence"] > entry["accuracy"],
        "many": {"y": round(BOTTOM - tall, 1), "height": tall},
        "says": f"{_says(entry)}, {words.count(entry['sequences'], 'answer')}",
    }


def _says(entry: dict[str, Any]) -> str:
    return f"{_whole(entry['confidence'])} promised, {_whole(entry['accuracy'])} right"


def _x(value: float) -> float:
    return round(LEFT + value * (WIDTH - RIGHT - LEFT), 1)


def _y(value: float) -> float:
    return round(FOOT - value * (FOOT - TOP), 1)


def _whole(percent: float) -> str:
    return f"{percent:.0f} %"
