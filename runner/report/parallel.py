"""A search's trials as parallel coordinates: an upright axis per setting, the result last, a line per trial. Geometry only."""

from __future__ import annotations

import math
from typing import Any

from runner.report import words
from runner.report.results import number
from runner.report.search import position

MOST = 10  # settings drawn
GAP, TOP, BOTTOM, SIDE, HEIGHT = 118.0, 34.0, 22.0, 56.0, 250.0


def coordinates(search: dict[str, Any]) -> dict[str, Any] | None:
    """The drawing; None with fewer than three trials or two settings."""
    done = [trial for trial in search["trials"] if number(trial["value"]) is not None]
    axes = [p for p in search["space"] if _drawable(p, done)][:MOST]
    if len(done) < 3 or len(axes) < 2:
        return None
    minimise = search["direction"] == "minimize"
    values = sorted((trial["value"] for trial in done), reverse=not minimise)
    low, high = min(values), max(values)
    good = values[max(len(values) // 4 - 1, 0)]
    metric = str(search["metric"] or "value")

    def result(value: float) -> float:
        place = (value - low) / (high - low) if high > low else 0.5
        return _at(1 - place if minimise else place)  # the better, the higher

    lines = []
    for trial in sorted(done, key=lambda t: t["value"], reverse=minimise):  # the best on top
        spots = [*(_spot(axis, trial["params"].get(axis["key"])) for axis in axes), result(trial["value"])]
        ahead = trial["value"] <= good if minimise else trial["value"] >= good
        style = "best" if trial["best"] else "good" if ahead else "rest"
        says = f"trial {trial['number']}: {metric} {words.number(trial['value'])}"
        lines.append({"style": style, "d": _path(spots), "says": says})
    ends = [_ends(axis) for axis in axes] + [tuple(map(words.number, (high, low) if minimise else (low, high)))]
    names = [*(str(axis["key"]) for axis in axes), metric]
    return {
        "width": 2 * SIDE + GAP * len(axes),
        "height": HEIGHT,
        "top": TOP,
        "bottom": HEIGHT - BOTTOM,
        "axes": [
            {"x": SIDE + GAP * i, "name": name.rsplit(".", 1)[-1], "whole": name, "low": low_, "high": high_}
            for i, (name, (low_, high_)) in enumerate(zip(names, ends, strict=True))
        ],
        "lines": lines,
        "says": f"{words.count(len(done), 'trial')} over {', '.join(names[:-1])}; a line ends at its {metric}, "
        "the better the higher. The trials are in the table below.",
    }


def _drawable(parameter: dict[str, Any], done: list[dict[str, Any]]) -> bool:
    ranged = number(parameter["low"]) is not None and number(parameter["high"]) is not None
    used = any(parameter["key"] in trial["params"] for trial in done)
    return used and (ranged or bool(_choices(parameter)))


def _choices(parameter: dict[str, Any]) -> list[Any]:
    return list(parameter["choices"] or ([False, True] if parameter["kind"] == "bool" else []))


def _spot(parameter: dict[str, Any], value: Any) -> float | None:
    """Where a value lies on its axis; None where the trial has none."""
    if value is None:
        return None
    choices = _choices(parameter)
    if choices:
        return _at((choices.index(value) + 0.5) / len(choices)) if value in choices else None
    place = position(parameter, value)
    return _at(min(max(place, 0.0), 1.0)) if place is not None and math.isfinite(place) else None


def _ends(parameter: dict[str, Any]) -> tuple[str, str]:
    choices = _choices(parameter)
    if choices:
        return words.value(choices[0]), words.value(choices[-1])
    return words.number(parameter["low"]), words.number(parameter["high"])


def _at(place: float) -> float:
    return round(HEIGHT - BOTTOM - place * (HEIGHT - BOTTOM - TOP), 1)


def _path(spots: list[float | None]) -> str:
    """A line through the axes, broken where a trial has no value."""
    path, on = "", False
    for i, spot in enumerate(spots):
        if spot is not None:
            path += f"{'L' if on else 'M'}{SIDE + GAP * i:g} {spot:g}"
        on = spot is not None
    return path
