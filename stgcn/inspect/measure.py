"""One walk over the sequences of a split that measures all that the checks need. Judges nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stgcn.graph import Layout
from stgcn.inspect import leaks
from stgcn.inspect.source import Part
from stgcn.inspect.view import View

FEWEST_FRAMES = 8  # for a joint to be called frozen


@dataclass
class Measured:
    """Numbers per sequence of one split, N long, unless said otherwise. Sizes and steps are in the data's unit."""

    length: np.ndarray  # frames up to the last with somebody in it
    persons: np.ndarray  # slots that hold somebody
    nonfinite: np.ndarray  # values that are NaN or infinite
    empty_frames: np.ndarray  # frames within the length without anybody
    missing: np.ndarray  # (N, V) frames in which the joint of somebody who is there is missing
    there: np.ndarray  # person-frames with somebody
    size: np.ndarray  # median distance (root mean square) of the joints from their middle
    center: np.ndarray  # (N, D) mean of the middles
    step: np.ndarray  # longest way of a joint from one frame to the next
    step_at: np.ndarray  # (N, 2) its frame and joint
    reach: np.ndarray  # farthest joint from the middle
    frozen: np.ndarray  # (N, V) joints that never move while others do
    repeated: np.ndarray  # share of frames that equal the one before
    bones: np.ndarray  # (N, E) mean lengths, NaN where never seen
    digest: list[bytes]  # of the frames up to the length; empty for sequences with nobody in them
    low: np.ndarray  # (C,) smallest finite value
    high: np.ndarray  # (C,) largest


def measure(part: Part, view: View, layout: Layout | None, *, copies: bool = True) -> Measured:
    """Walk over a split; it takes half as long without ``layout`` (no bones) and without ``copies`` (empty digests)."""
    edges = np.asarray(layout.edges if layout else (), dtype=int).reshape(-1, 2)
    pieces = [_block(block, view, edges, copies) for _, block in part.blocks()]
    joined = {
        key: np.concatenate([piece[key] for piece in pieces]) for key in pieces[0] if key not in ("digest", "low", "high")
    }
    return Measured(
        **joined,
        digest=[digest for piece in pieces for digest in piece["digest"]],
        low=np.min([piece["low"] for piece in pieces], axis=0),
        high=np.max([piece["high"] for piece in pieces], axis=0),
    )


def _block(block: np.ndarray, view: View, edges: np.ndarray, copies: bool) -> dict[str, Any]:
    finite = np.isfinite(block)
    nonfinite = np.zeros(len(block), dtype=int)
    if not finite.all():
        nonfinite = (~finite).sum(axis=(1, 2, 3, 4))
        block = np.where(finite.all(axis=1, keepdims=True), block, 0)  # a joint with one bad coordinate is no joint
    points, seen = view.coordinates(block)
    somebody = np.asarray(seen.any(axis=2))  # (n, T, M)
    anybody = np.asarray(somebody.any(axis=2))
    length = (anybody * np.arange(1, block.shape[2] + 1)).max(axis=1)
    counted = seen.sum(axis=2)
    middle = (points * seen[:, None]).sum(axis=3) / np.maximum(counted, 1)[:, None]  # (n, D, T, M)
    away = np.square(points - middle[:, :, :, None]).sum(axis=1) * seen  # (n, T, V, M)
    spread = np.sqrt(away.sum(axis=2) / np.maximum(counted, 1))
    people = np.maximum(somebody.sum(axis=(1, 2)), 1)
    facts = {
        "length": length,
        "persons": somebody.any(axis=1).sum(axis=1),
        "nonfinite": nonfinite,
        "empty_frames": length - anybody.sum(axis=1),
        "missing": (somebody[:, :, None] & ~seen).sum(axis=(1, 3)),
        "there": somebody.sum(axis=(1, 2)),
        "size": _median(spread.reshape(len(block), -1), somebody.reshape(len(block), -1)),
        "center": (middle * somebody[:, None]).sum(axis=(2, 3)) / people[:, None],
        "reach": np.sqrt(away.max(axis=(1, 2, 3))),
        "bones": _bones(points, seen, edges),
        "digest": _digests(block, length) if copies else [b""] * len(block),
        "low": block.min(axis=(0, 2, 3, 4)),
        "high": block.max(axis=(0, 2, 3, 4)),
    }
    return facts | _motion(points, seen, somebody, length)


def _motion(points: np.ndarray, seen: np.ndarray, somebody: np.ndarray, length: np.ndarray) -> dict[str, Any]:
    """Steps from frame to frame of joints seen in both."""
    n, _, frames, joints, _ = points.shape
    if frames < 2:
        zero = np.zeros(n)
        return {"step": zero, "step_at": np.zeros((n, 2), int), "frozen": np.zeros((n, joints), bool), "repeated": zero}
    steps = np.sqrt(np.square(np.diff(points, axis=2)).sum(axis=1))  # (n, T-1, V, M)
    both = seen[:, 1:] & seen[:, :-1]
    steps *= both
    worst = steps.max(axis=3).reshape(n, -1).argmax(axis=1)
    moves = steps.max(axis=(1, 3))  # (n, V)
    long_seen = both.sum(axis=1).max(axis=2) >= FEWEST_FRAMES - 1
    frozen = (moves == 0) & long_seen & (np.median(moves, axis=1) > 0)[:, None]
    pairs = (somebody[:, 1:] & somebody[:, :-1]).any(axis=2)
    return {
        "step": moves.max(axis=1),
        "step_at": np.stack([worst // joints + 1, worst % joints], axis=1),
        "frozen": frozen,
        "repeated": ((steps.max(axis=(2, 3)) == 0) & pairs).sum(axis=1) / np.maximum(length - 1, 1),
    }


def _median(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Median of the valid values of each row, 0 without any."""
    ordered = np.sort(np.where(valid, values, np.inf), axis=1)
    middle = np.maximum(valid.sum(axis=1) - 1, 0) // 2
    found = ordered[np.arange(len(values)), middle]
    return np.where(np.isfinite(found), found, 0.0)


def _bones(points: np.ndarray, seen: np.ndarray, edges: np.ndarray) -> np.ndarray:
    if not len(edges):
        return np.zeros((len(points), 0))
    both = seen[:, :, edges[:, 0]] & seen[:, :, edges[:, 1]]
    lengths = np.sqrt(np.square(points[:, :, :, edges[:, 0]] - points[:, :, :, edges[:, 1]]).sum(axis=1)) * both
    count = both.sum(axis=(1, 3))
    return np.where(count > 0, lengths.sum(axis=(1, 3)) / np.maximum(count, 1), np.nan)


def _digests(block: np.ndarray, length: np.ndarray) -> list[bytes]:
    """Equal for equal sequences however far they are padded; -0 counts as 0."""
    block = block + np.float32(0)
    pairs = zip(block, length.tolist(), strict=True)
    return [leaks.digest(sequence[:, :frames]) if frames else b"" for sequence, frames in pairs]
