"""Figures that a skill's tool has found in the data -> films and strips as SVG paths; the template draws them.

A film is all frames side by side; the page shows one picture's width of it and moves it on by steps. Knows no files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from runner import redact
from runner.errors import SkillBankError

STRIP = 7  # poses side by side
SIDES = ("mid", "left", "right")
LIMIT = 10_000  # no coordinate of a picture lies further out
Ask = Callable[[str, list[int]], dict[str, Any]]  # job, indices of sequences -> the tool's answer
Pictures = dict[str, Any]


def take(evaluations: Sequence[dict[str, Any]], ask: Ask) -> dict[str, Pictures]:
    """The pictures of each evaluation's worst mistakes by job: ``films`` by index of the sequence, or ``why`` none."""
    return {told["job"]: _of(told, ask) for told in evaluations if told["worst"]}


def _of(told: dict[str, Any], ask: Ask) -> Pictures:
    wanted = {m["index"]: None for m in told["worst"]} | {m["like"]["index"]: None for m in told["worst"] if m["like"]}
    indices = [index for index in wanted if index is not None]
    if not indices:
        return {"films": {}, "why": "the predictions do not say which sequences they are of"}
    try:
        answer = ask(told["job"], indices)
        drawn = {int(index): _drawn(answer, shown) for index, shown in answer["sequences"].items()}
        return {"films": {index: film for index, film in drawn.items() if film}, "why": None}
    except SkillBankError as error:
        return {"films": {}, "why": redact.redact("; ".join(map(str, error.problems)) or error.message)}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:  # a tool that answers in another form
        return {"films": {}, "why": f"the tool's answer cannot be drawn ({type(error).__name__})"}


def _drawn(answer: dict[str, Any], told: dict[str, Any]) -> dict[str, Any] | None:
    """One sequence: its film and its strip."""
    poses = told["poses"]
    if not poses:
        return None
    width, height = float(answer["width"]), float(answer["height"])
    bones = [(int(a), int(b), str(side)) for a, b, side in answer["bones"]]
    picked = [round(i * (len(poses) - 1) / max(min(STRIP, len(poses)) - 1, 1)) for i in range(min(STRIP, len(poses)))]
    return {
        "width": width,
        "height": height,
        "frames": int(told["frames"]),
        "count": len(poses),
        "film": _paths(poses, bones, width),
        "strip": _paths([poses[i] for i in picked], bones, width),
        "shown": [int(told["shown"][i]) + 1 for i in picked],
    }


def _paths(poses: Sequence[Any], bones: Sequence[tuple[int, int, str]], width: float) -> list[dict[str, str]]:
    """The bones of each side and the joints, all frames in one path each."""
    lines = dict.fromkeys(SIDES, "")
    joints = ""
    for number, pose in enumerate(poses):
        at = [_point(joint, number * width) for joint in pose]
        for a, b, side in bones:
            start, end = (at[i] if i < len(at) else None for i in (a, b))
            if start and end and side in lines:
                lines[side] += f"M{start[0]} {start[1]}L{end[0]} {end[1]}"
        joints += "".join(f"M{place[0]} {place[1]}h0" for place in at if place)
    return [{"style": side, "d": d} for side, d in lines.items() if d] + ([{"style": "joints", "d": joints}] if joints else [])


def _point(joint: Any, shift: float) -> tuple[int, int] | None:
    if joint is None:
        return None
    x, y = (float(value) for value in joint)
    if not (math.isfinite(x) and math.isfinite(y)):
        return None
    return round(max(-LIMIT, min(x, LIMIT)) + shift), round(max(-LIMIT, min(y, LIMIT)))
