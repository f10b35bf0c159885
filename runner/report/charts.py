"""Numbers -> the geometry of small line and dot charts; the template draws them as SVG, styled for both themes by CSS.

Pure arithmetic: knows axes, ticks and points, nothing of jobs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from runner.report import words

WIDTH, HEIGHT = 320.0, 216.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 8.0, 28.0, 36.0
MOST_POINTS = 400
MOST_DOTS = 40  # points of a line up to which each is marked
LOG_FROM = 20.0  # ratio of largest to smallest from which an axis of positive values is logarithmic


class Series(NamedTuple):
    """One line: its name, its style (a CSS class) and its points (x, y); a y of None is no point."""

    name: str
    style: str
    points: Sequence[tuple[float, float | None]]
    line: bool = True


class Axis(NamedTuple):
    """Maps values to pixels, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    def at(self, value: float) -> float:
        """The pixel of ``value``."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        value = math.log10(value) if self.log else value
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)

    def ticks(self, *, whole: bool = False) -> list[float]:
        """Round values between low and high, four or so."""
        return _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high, whole=whole)


def chart(
    title: str,
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool | None = None,
    percent: bool = False,
    whole_x: bool = True,
    x_range: tuple[float, float] | None = None,
    mark: tuple[float, str] | None = None,
) -> dict[str, Any] | None:
    """A chart ready to draw, or None when there is no point.

    ``log_y`` None decides by the spread of the values; ``x_range`` is shown whole, whatever the points.
    """
    drawn = [s._replace(points=_thin([(x, y) for x, y in s.points if y is not None])) for s in series]
    drawn = [s for s in drawn if s.points]
    if not drawn:
        return None
    xs = [*(x for s in drawn for x, _ in s.points), *(x_range or ())]
    ys = [y for s in drawn for _, y in s.points if y is not None]
    spread = min(ys) > 0 and max(ys) / min(ys) >= LOG_FROM
    x = _axis(xs, LEFT, WIDTH - RIGHT, log=log_x and min(xs) > 0, pad=0.02)
    y = _axis(
        ys,
        HEIGHT - BOTTOM,
        TOP,
        log=(spread if log_y is None else log_y) and min(ys) > 0,
        pad=0.06,
        limits=(0.0, 1.0) if percent else None,
    )
    return {
        "title": title,
        "width": WIDTH,
        "height": HEIGHT,
        "plot": {"left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM},
        "x_label": x_label,
        "y_label": f"{y_label} (log)".strip() if y.log else y_label,
        "x_ticks": [{"at": x.at(t), "text": _tick(t)} for t in x.ticks(whole=whole_x)],
        "y_ticks": [{"at": y.at(t), "text": f"{_tick(t * 100)} %" if percent else _tick(t)} for t in y.ticks()],
        "lines": [_line(s, x, y) for s in drawn],
        "legend": _legend(drawn) if len(drawn) > 1 else [],
        "mark": _mark(mark, x, y, drawn) if mark and x.low <= mark[0] <= x.high else None,
        "says": _says(drawn, x_label, percent),
    }


def steps(points: Sequence[tuple[float, float]]) -> list[tuple[float, float | None]]:
    """The corners of a staircase through ``points``."""
    corners: list[tuple[float, float | None]] = []
    for x, y in points:
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    return corners


def _line(series: Series, x: Axis, y: Axis) -> dict[str, Any]:
    at = [(x.at(px), y.at(py)) for px, py in series.points if py is not None]
    dots = at if not series.line or (len(at) <= MOST_DOTS and series.style != "so-far") else []
    path = "M" + "L".join(f"{px:g} {py:g}" for px, py in at) if series.line and len(at) > 1 else ""
    return {"name": series.name, "style": series.style, "path": path, "dots": [{"x": px, "y": py} for px, py in dots]}


def _legend(series: Sequence[Series]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    at = LEFT
    for s in {s.name: s for s in series}.values():
        entries.append({"name": s.name, "style": s.style, "at": at, "line": s.line})
        at += 34 + 7.2 * len(s.name)
    return entries


def _mark(mark: tuple[float, str], x: Axis, y: Axis, series: Sequence[Series]) -> dict[str, Any]:
    """A vertical line with words beside it, in the half of the chart that the lines leave free there."""
    at, middle = x.at(mark[0]), (HEIGHT - BOTTOM + TOP) / 2
    left = at > (LEFT + WIDTH) / 2
    reach = (at - 90, at) if left else (at, at + 90)
    beside = [y.at(py) for s in series for px, py in s.points if py is not None and reach[0] <= x.at(px) <= reach[1]]
    below = bool(beside) and sum(beside) / len(beside) < middle
    return {"at": at, "text": mark[1], "anchor": "end" if left else "start", "y": HEIGHT - BOTTOM - 7 if below else TOP + 9}


def _says(series: Sequence[Series], x_label: str, percent: bool) -> str:
    """What the picture shows, for those who do not see it."""

    def say(value: float | None) -> str:
        return words.share(value) if percent else words.number(value)

    parts = []
    for s in series:
        values = [y for _, y in s.points if y is not None]
        (x0, y0), (x1, y1) = s.points[0], s.points[-1]
        whole = f"{s.name}: {say(y0)} at {x_label} {words.number(x0)}"
        if len(values) > 1:
            whole += f", {say(y1)} at {x_label} {words.number(x1)}, between {say(min(values))} and {say(max(values))}"
        parts.append(whole)
    return "; ".join(parts) + "."


def _axis(
    values: Sequence[float], start: float, end: float, *, log: bool, pad: float, limits: tuple[float, float] | None = None
) -> Axis:
    low, high = float(min(values)), float(max(values))
    if log:
        factor = (high / low) ** pad if high > low else 2.0
        return Axis(low / factor, high * factor, start, end, True)
    room = (high - low) * pad or abs(high) * 0.1 or 1.0
    low, high = low - room, high + room
    if limits:
        low, high = max(low, limits[0]), min(high, limits[1])
    if low < 0 <= min(values):
        low = 0.0 if min(values) > 0 else low
    return Axis(low, high if high > low else low + 1.0, start, end, False)


def _ticks(low: float, high: float, *, whole: bool) -> list[float]:
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    step = max(step, 1.0) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        ticks = [round(m * 10.0**p, 12) for p in powers for m in factors if low * 0.999 <= m * 10.0**p <= high * 1.001]
        if len(ticks) >= 3:
            return ticks[:: max(len(ticks) // 5, 1)]
    return ticks or [low, high]


def _tick(value: float) -> str:
    return (
        f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e") if 0 < abs(value) < 1e-3 or abs(value) >= 1e5 else f"{value:g}"
    )


def _thin(points: list[tuple[float, float | None]]) -> list[tuple[float, float | None]]:
    """At most MOST_POINTS or so of them, the last one kept."""
    stride = math.ceil(len(points) / MOST_POINTS) if points else 1
    return points if stride == 1 else [*points[:-1:stride], points[-1]]
