"""A layout as a picture: joints with their numbers and names, bones, left and right in two colours, the centre marked."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from stgcn.files import replacing
from stgcn.graph import Layout, canonical

LEFT, RIGHT, MIDDLE, INK = "#2563c9", "#d1543a", "#6b7280", "#1f2937"
ROUNDS = 400

# Where the parts of a standing figure are, as seen from the front, feet at 0 and head at 9; those with a side are given for
# its left, which the picture shows on the right.
_BODY = {
    **{"pelvis": (0, 4.6), "hip": (0, 4.6), "mid_hip": (0, 4.6), "hip_center": (0, 4.6), "spine_base": (0, 4.6)},
    **{"spine": (0, 5.7), "spine_mid": (0, 5.7), "torso": (0, 5.7), "belly": (0, 5.5)},
    **{"spine1": (0, 5.2), "spine2": (0, 5.8), "spine3": (0, 6.4), "thorax": (0, 6.9), "neck": (0, 7.2)},
    **{"spine_shoulder": (0, 6.7), "shoulder_center": (0, 7.0), "head": (0, 8.9), "face": (0, 8.4), "nose": (0, 8.2)},
}
_SIDED = {
    **{"eye": (0.45, 8.6), "eye_inner": (0.2, 8.65), "eye_outer": (0.7, 8.65), "ear": (1.05, 8.3), "mouth": (0.3, 7.75)},
    **{"collar": (0.6, 6.9), "shoulder": (1.5, 6.8), "elbow": (2.5, 5.5), "wrist": (3.2, 4.3), "hand": (3.5, 3.7)},
    **{"hand_tip": (3.8, 3.1), "middle_tip": (3.8, 3.0), "thumb": (3.0, 3.5), "thumb_tip": (2.9, 3.4)},
    **{"index": (3.5, 3.3), "index_knuckle": (3.5, 3.3), "pinky": (4.0, 3.6), "pinky_knuckle": (4.0, 3.6)},
    **{"hip": (0.8, 4.3), "knee": (0.95, 2.4), "ankle": (1.05, 0.7), "heel": (0.8, 0.15), "foot": (1.3, 0.1)},
    **{"big_toe": (1.25, -0.1), "foot_index": (1.4, -0.1), "small_toe": (1.85, 0.05)},
}


def positions(layout: Layout) -> np.ndarray:
    """Where to draw each joint, (V, 2), y upward: as a standing figure by name, and the others where their bones lead."""
    known = {i: place for i, joint in enumerate(layout.joints) if (place := _on_the_figure(joint)) is not None}
    if len(set(known.values())) < max(2, len(known)):
        known = {}  # names that fall on one spot tell nothing
    hops = _hops(layout)
    angle = 2 * np.pi * np.arange(layout.num_joints) / layout.num_joints
    found = np.stack([np.sin(angle), np.cos(angle)], axis=1) * (1 + hops.max() / 3)
    length = 1.0
    if known:
        bones = [np.subtract(known[a], known[b]) for a, b in layout.edges if a in known and b in known]
        length = float(np.median([np.hypot(*bone) for bone in bones])) if bones else 1.0
        found += np.mean(list(known.values()), axis=0)
    fixed = np.zeros(layout.num_joints, dtype=bool)
    for i, place in known.items():
        found[i], fixed[i] = place, True
    return found if fixed.all() or layout.num_joints == 1 else _relaxed(found, fixed, hops * length)


def draw(layout: Layout, path: str | Path) -> Path:
    """Draw a layout to a PNG file, whole or not at all.

    Raises:
        ResourceError: the folder cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    place = positions(layout)
    extent = np.maximum(np.ptp(place, axis=0), 1e-6)
    height = 8.5
    width = float(np.clip(height * extent[0] / extent[1], 6.0, 11.0))
    figure = Figure(figsize=(width + 2.6, height), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes, listing = figure.subplots(1, 2, width_ratios=[width, 2.6])
    sides = _sides(layout)
    for a, b in layout.edges:
        colour = sides[a] if sides[a] == sides[b] else MIDDLE
        axes.plot(*place[[a, b]].T, color=colour, linewidth=2.6, alpha=0.55, solid_capstyle="round", zorder=1)
    axes.scatter(*place.T, s=210, c=sides, edgecolors="white", linewidths=1.4, zorder=2)
    axes.scatter(*place[layout.center], s=430, facecolors="none", edgecolors=INK, linewidths=1.8, zorder=3)
    for i, (x, y) in enumerate(place):
        axes.text(x, y, str(i), color="white", fontsize=7.5, fontweight="bold", ha="center", va="center_baseline", zorder=4)
    axes.set_aspect("equal")
    axes.margins(0.08)
    axes.axis("off")
    axes.set_title(
        f"{layout.name}: {layout.num_joints} joints, {len(layout.edges)} bones, centre {layout.joints[layout.center]}",
        fontsize=11,
        color=INK,
        parse_math=False,
    )
    _list_names(listing, layout, sides)
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names in scripts that the font lacks are drawn as boxes
        figure.savefig(temporary, format="png", metadata={"Software": None})
    return Path(path)


def _list_names(axes: Any, layout: Layout, sides: list[str]) -> None:
    """The legend: numbers, names, colours of the sides."""
    axes.axis("off")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    step = 1 / max(layout.num_joints + 3, 24)
    size = min(8.5, 8.5 * step * 34)
    for i, joint in enumerate(layout.joints):
        name = joint if len(joint) <= 24 else f"{joint[:22]}..."
        axes.text(0, 1 - (i + 0.5) * step, f"{i:>3}  {name}", color=sides[i], fontsize=size, va="center", parse_math=False)
    if layout.pairs:
        last = 1 - (layout.num_joints + 1.5) * step
        axes.text(0, last, "left", color=LEFT, fontsize=size, va="center")
        axes.text(0.3, last, "right", color=RIGHT, fontsize=size, va="center")


def _sides(layout: Layout) -> list[str]:
    """A colour for each joint."""
    colours = [MIDDLE] * layout.num_joints
    for left, right in layout.pairs:
        colours[left], colours[right] = LEFT, RIGHT
    return colours


def _on_the_figure(joint: str) -> tuple[float, float] | None:
    side, part = canonical(joint)
    if not side:
        return _BODY.get(part)
    if part not in _SIDED:
        return None
    x, y = _SIDED[part]
    return (x if side == "left" else -x), y


def _hops(layout: Layout) -> np.ndarray:
    """The number of bones between any two joints."""
    count = layout.num_joints
    hops = np.full((count, count), float(count))
    np.fill_diagonal(hops, 0)
    for a, b in layout.edges:
        hops[a, b] = hops[b, a] = 1
    for middle in range(count):
        hops = np.minimum(hops, hops[:, middle, None] + hops[None, middle])
    return hops


def _relaxed(place: np.ndarray, fixed: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Move the joints that are not ``fixed`` until their distances are as ``wanted`` as can be (stress majorisation)."""
    with np.errstate(divide="ignore"):
        weight = np.where(wanted > 0, wanted**-2.0, 0)
    place = place + 1e-3 * np.random.default_rng(0).standard_normal(place.shape)  # no two on one spot
    for _ in range(ROUNDS):
        apart = place[:, None] - place[None]
        distance = np.maximum(np.sqrt((apart**2).sum(axis=-1)), 1e-9)
        pull = place[None] + apart * (wanted / distance)[..., None]
        moved = (weight[..., None] * pull).sum(axis=1) / weight.sum(axis=1)[:, None]
        place = np.where(fixed[:, None], place, moved)
    return place
