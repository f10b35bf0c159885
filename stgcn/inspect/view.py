"""How the numbers of a data set are to be read: which channels are coordinates, which joints the origin, which way is up.

Learned from an even selection of sequences, so that it costs the same for any size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stgcn.channels import score_of
from stgcn.graph import Layout
from stgcn.inspect.source import Part

SEQUENCES, FRAMES = 240, 12  # looked at
NEARLY_ALL = 0.9  # sequences in which a joint is zero, or still, to be called so everywhere: a few may be broken
HIGH = re.compile(r"head|nose|face|eye|ear|neck|thorax|shoulder", re.I)
LOW = re.compile(r"hip|pelvis|knee|ankle|foot|toe|heel|belly|spine_base", re.I)
HANDS = re.compile(r"wrist|hand|thumb|tip", re.I)


@dataclass(frozen=True)
class View:
    """Coordinates are the first ``dims`` channels; ``score`` is the channel of confidences or None."""

    dims: int
    score: int | None
    origin: tuple[int, ...]  # joints that are zero in every frame: what all else is measured from
    fixed: tuple[int, ...]  # joints that never move in any sequence and are not zero

    def coordinates(self, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates (n, D, T, V, M) and which joints are seen (n, T, V, M); an origin joint is seen with its person."""
        points = block[:, : self.dims]
        seen = np.asarray(points.any(axis=1))
        if self.score is not None:
            seen &= block[:, self.score] > 0
        if self.origin:
            seen[:, :, list(self.origin)] = np.asarray(seen.any(axis=2))[:, :, None]
        return points, seen


def selection(parts: Iterable[Part]) -> np.ndarray:
    """Some frames of some sequences of all parts of one form: finite float32 (S, C, F, V), first persons only."""
    chosen = []
    parts = list(parts)
    for part in parts:
        which = np.unique(np.linspace(0, len(part.data) - 1, max(8, SEQUENCES // len(parts))).astype(int))
        block = np.nan_to_num(part.take(which)[..., 0], nan=0.0, posinf=0.0, neginf=0.0)
        filled = block.any(axis=(1, 3))
        lengths = (filled * np.arange(1, block.shape[2] + 1)).max(axis=1)
        for sequence, length in zip(block, lengths, strict=True):
            if length >= 2:
                chosen.append(sequence[:, np.linspace(0, length - 1, FRAMES).astype(int)])
    channels, joints = parts[0].data.shape[1], parts[0].data.shape[3]
    return np.stack(chosen) if chosen else np.zeros((0, channels, FRAMES, joints), np.float32)


def learn(sample: np.ndarray) -> View:
    """Tell coordinates from confidences, and find the joints that say nothing."""
    channels = sample.shape[1]
    score = None
    if len(sample):
        found, _ = score_of(sample.min(axis=(0, 2, 3)).tolist(), sample.max(axis=(0, 2, 3)).tolist())
        score = None if found < 0 else found
    dims = min(3, channels if score is None else score)
    points = sample[:, :dims]
    nothing = np.zeros(sample.shape[3], bool)
    origin = (~points.any(axis=(1, 2))).mean(axis=0) >= NEARLY_ALL if len(sample) else nothing
    still = (np.ptp(points, axis=2) == 0).all(axis=1).mean(axis=0) >= NEARLY_ALL if len(sample) else nothing
    return View(dims, score, tuple(np.flatnonzero(origin).tolist()), tuple(np.flatnonzero(still & ~origin).tolist()))


def upright(sample: np.ndarray, view: View, layout: Layout | None) -> bool:
    """True when y grows downward, as in images; joint names tell, else what is usual for the number of coordinates."""
    if layout is None or not len(sample):
        return view.dims == 2
    y = np.median(sample[:, 1], axis=(0, 1))
    high = [i for i, name in enumerate(layout.joints) if HIGH.search(name)]
    low = [i for i, name in enumerate(layout.joints) if LOW.search(name)]
    if high and low:
        return bool(y[high].mean() < y[low].mean())
    elbows = [i for i, name in enumerate(layout.joints) if "elbow" in name.lower()]
    hands = [i for i, name in enumerate(layout.joints) if HANDS.search(name)]
    if elbows and hands:  # at the beginning arms hang down
        first = np.median(sample[:, 1, 0], axis=0)
        return bool(first[elbows].mean() < first[hands].mean())
    return view.dims == 2
