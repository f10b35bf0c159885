"""Skeletons as SVG: strips of poses, moving figures, and the body with what is missing. Text only, no drawing library."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stgcn.inspect.anatomy import Skeleton
from stgcn.inspect.survey import Survey

POSES, MOVES = 7, 32  # pictures of a strip, frames of a moving figure
WIDTH, HEIGHT = 96.0, 120.0  # of one pose
MARGIN = 9.0
SIDES = ("mid", "left", "right")
MOVING_SECONDS = 2.4


@dataclass(frozen=True)
class Drawing:
    """One sequence ready to be drawn: image coordinates (F, V, 2) with y downward, and which joints are seen (F, V)."""

    points: np.ndarray
    seen: np.ndarray
    bones: tuple[tuple[int, int, str], ...]  # joints and side


def bones_of(skeleton: Skeleton) -> tuple[tuple[int, int, str], ...]:
    """The bones with their sides; without a layout those that the data suggests."""
    layout = skeleton.layout
    if layout is None:
        return tuple((a, b, "mid") for a, b in skeleton.bones)
    side_of = dict.fromkeys(range(layout.num_joints), "mid")
    for left, right in layout.pairs:
        side_of |= {left: "left", right: "right"}

    def side(a: int, b: int) -> str:
        sides = {side_of[a], side_of[b]} - {"mid"}
        return sides.pop() if len(sides) == 1 else "mid"

    return tuple((a, b, side(a, b)) for a, b in layout.edges)


def prepare(survey: Survey, split: str, index: int, frames: int, around: int | None = None) -> Drawing | None:
    """Frames of the person that is seen most, evenly picked or those around one; None where there is nobody."""
    part = survey.parts[split]
    length = int(survey.measured[split].length[index])
    if not length:
        return None
    block = np.nan_to_num(part.take([index]), nan=0.0, posinf=0.0, neginf=0.0)
    points, seen = survey.view.coordinates(block)
    person = int(seen.sum(axis=(0, 1, 2)).argmax())
    picked = np.linspace(0, length - 1, min(frames, length)).astype(int)
    if around is not None:
        picked = np.clip(np.arange(around - frames // 2, around - frames // 2 + frames), 0, length - 1)
    flat = points[0, :2, :, :, person][:, picked].transpose(1, 2, 0).astype(float)
    if flat.shape[2] < 2:
        return None
    if not survey.down:
        flat[..., 1] *= -1
    return Drawing(flat, seen[0][picked][:, :, person], bones_of(survey.skeleton))


def fitted(drawing: Drawing, each: bool) -> np.ndarray:
    """Points (F, V, 2) in a picture of WIDTH by HEIGHT: each pose by itself in its middle, or all by the same frame."""
    points, seen = drawing.points.copy(), drawing.seen
    if not seen.any():
        return points
    if each:
        for i in np.flatnonzero(seen.any(axis=1)).tolist():
            low, high = _box(points[i][seen[i]])
            points[i] -= (low + high) / 2
    else:
        low, high = _box(points[seen])
        points -= (low + high) / 2
    low, high = _box(points[seen])
    extent = np.maximum(np.abs([low, high]).max(axis=0), 1e-9)
    scale = min((WIDTH / 2 - MARGIN) / extent[0], (HEIGHT / 2 - MARGIN) / extent[1])
    return np.asarray(points * scale + (WIDTH / 2, HEIGHT / 2))


def _box(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners of what all but the farthest outliers fill."""
    low, high = np.percentile(points, [1, 99], axis=0)
    middle, half = (low + high) / 2, (high - low) / 2
    return np.maximum(points.min(axis=0), middle - 2.2 * half), np.minimum(points.max(axis=0), middle + 2.2 * half)


def _path(pose: np.ndarray, visible: np.ndarray, bones: Sequence[tuple[int, int, str]], side: str) -> str:
    lines = [(a, b) for a, b, s in bones if s == side and visible[a] and visible[b]]
    return "".join(f"M{_point(pose[a])}L{_point(pose[b])}" for a, b in lines)


def _dots(pose: np.ndarray, visible: np.ndarray) -> str:
    return "".join(f"M{_point(point)}h0" for point in pose[visible])


def _point(point: np.ndarray) -> str:
    x, y = np.clip(point, -WIDTH, 2 * HEIGHT)
    return f"{x:.1f} {y:.1f}"


def strip(drawing: Drawing, poses: int = POSES) -> str:
    """Poses side by side, from the first frame to the last."""
    picked = np.linspace(0, len(drawing.points) - 1, min(poses, len(drawing.points))).astype(int)
    points = fitted(drawing, each=False)[picked]
    shapes = []
    for i, (pose, visible) in enumerate(zip(points, drawing.seen[picked], strict=True)):
        lines = "".join(
            f'<path class="b {side}" d="{d}"/>' for side in SIDES if (d := _path(pose, visible, drawing.bones, side))
        )
        dots = f'<path class="j" d="{_dots(pose, visible)}"/>' if visible.any() else ""
        shapes.append(f'<g transform="translate({i * WIDTH:.0f} 0)">{lines}{dots}</g>')
    return f'<svg class="strip" viewBox="0 0 {WIDTH * len(picked):.0f} {HEIGHT:.0f}" aria-hidden="true">{"".join(shapes)}</svg>'


def moving(drawing: Drawing, title: str) -> str:
    """One figure that goes through the frames again and again."""
    points = fitted(drawing, each=False)
    shapes = "".join(_animated(list(_frames(points, drawing, side)), f"b {side}") for side in SIDES)
    shapes += _animated([_dots(p, v) for p, v in zip(points, drawing.seen, strict=True)], "j")
    box = f'viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{html.escape(title)}"'
    return f'<svg class="moving" {box}>{shapes}</svg>'


def _frames(points: np.ndarray, drawing: Drawing, side: str) -> Iterator[str]:
    for pose, visible in zip(points, drawing.seen, strict=True):
        yield _path(pose, visible, drawing.bones, side)


def _animated(paths: list[str], css: str) -> str:
    if not any(paths):
        return ""
    paths = [path or "M-9-9" for path in paths]
    when = f'dur="{MOVING_SECONDS}s" repeatCount="indefinite" calcMode="discrete"'
    animation = f'<animate attributeName="d" {when} values="{";".join(paths)}"/>'
    return f'<path class="{css}" d="{paths[len(paths) // 2]}">{animation}</path>'


def health(survey: Survey) -> str:
    """A typical pose whose joints show how often they are missing: the fuller the ring, the more."""
    place = representative(survey, None)
    drawing = prepare(survey, *place, MOVES) if place else None
    if drawing is None:
        return ""
    best = int(drawing.seen.sum(axis=1).argmax())
    pose = fitted(Drawing(drawing.points[best : best + 1], drawing.seen[best : best + 1], drawing.bones), each=True)[0]
    visible = drawing.seen[best]
    missing = np.sum([m.missing.sum(axis=0) for m in survey.measured.values()], axis=0)
    share = missing / max(1, sum(int(m.there.sum()) for m in survey.measured.values()))
    lines = "".join(f'<path class="b {side}" d="{_path(pose, visible, drawing.bones, side)}"/>' for side in SIDES)
    layout = survey.skeleton.layout
    dots = []
    for i in np.flatnonzero(visible).tolist():
        name = layout.joints[i] if layout else f"joint {i}"
        x, y = pose[i]
        css = "gone" if share[i] > 0.01 else "here"
        said = f"{html.escape(name)}: missing in {share[i]:.1%} of frames"
        radius = 1.5 + 4.5 * share[i] ** 0.5
        dots.append(f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.2f}"><title>{said}</title></circle>')
    box = f'viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="joints by how often they are missing"'
    return f'<svg class="health" {box}>{lines}{"".join(dots)}</svg>'


def representative(survey: Survey, class_id: int | None) -> tuple[str, int] | None:
    """A sequence that is long and complete, of usual size and movement, without anything noticed; train first."""
    blamed = {place for finding in survey.findings for place in finding.where}
    for split, part in survey.parts.items():
        m = survey.measured[split]
        usable = m.length > 1
        if class_id is not None:
            usable &= np.zeros(len(usable), bool) if part.ids is None else part.ids == class_id
        usable[[i for s, i in blamed if s == split]] = False
        which = np.flatnonzero(usable)
        if len(which):
            missing = m.missing[which].sum(axis=1) / np.maximum(m.there[which] * m.missing.shape[1], 1)
            usual = np.abs(np.log((m.step[which] + 1e-9) / (np.median(m.step[which]) + 1e-9)))
            short = 1 - m.length[which] / max(int(np.median(m.length[which])), 1)
            return split, int(which[np.argmin(4 * missing + usual + np.maximum(short, 0) + m.repeated[which])])
    return None
