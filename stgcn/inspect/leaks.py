"""Sequences that are there more than once: within a split, and, worse, on two sides of one."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from stgcn.arrays import SkeletonSet
from stgcn.inspect.finding import Finding
from stgcn.inspect.source import Part

Place = tuple[str, int]  # split and index
MOST_NAMED = 3
LOOKED_AT = 6  # frames that quick() reads of every sequence


def groups(digests: Mapping[str, Sequence[bytes]]) -> list[list[Place]]:
    """Places of equal sequences, in the order of the splits and files; what stands alone is left out."""
    places: dict[bytes, list[Place]] = defaultdict(list)
    for split, found in digests.items():
        for i, digest in enumerate(found):
            if digest:
                places[digest].append((split, i))
    return [group for group in places.values() if len(group) > 1]


def check(parts: Mapping[str, Part], found: Sequence[Sequence[Place]]) -> list[Finding]:
    """Copies within each split, between each two splits, and copies whose labels differ."""
    return [*_within(parts, found), *_between(parts, found), *_contradicting(parts, found)]


def _within(parts: Mapping[str, Part], found: Sequence[Sequence[Place]]) -> list[Finding]:
    result = []
    for split, part in parts.items():
        mine = [[place for place in group if place[0] == split] for group in found]
        copies = [(group[0], place) for group in mine for place in group[1:]]
        if copies:
            text = f"{_copies(len(copies), len(part.data), split)} of other {split} sequences"
            listed = [f"{part.names[copy[1]]} = {part.names[first[1]]}" for first, copy in copies]
            result.append(Finding("warning", "duplicates", text, split, listed, tuple(copies[0])))
    return result


def _between(parts: Mapping[str, Part], found: Sequence[Sequence[Place]]) -> list[Finding]:
    result = []
    for one, other in itertools.combinations(parts, 2):
        copies = [
            (first, place)
            for group in found
            if (first := next((p for p in group if p[0] == one), None))
            for place in group
            if place[0] == other
        ]
        if copies:
            said = _copies(len(copies), len(parts[other].data), other)
            text = f"{said} of {one} sequences: what {other} measures is too good"
            listed = [f"{parts[other].names[copy[1]]} = {parts[one].names[first[1]]}" for first, copy in copies]
            result.append(Finding("error", "leak", text, other, listed, tuple(copies[0])))
    return result


def _copies(n: int, total: int, split: str) -> str:
    return f"{n} of {total} {split} sequences {'is a copy' if n == 1 else 'are copies'}"


def labels_of(parts: Mapping[str, Part], group: Sequence[Place]) -> set[int]:
    """Class ids that equal sequences bear."""
    return {int(ids[i]) for split, i in group if (ids := parts[split].ids) is not None}


def _contradicting(parts: Mapping[str, Part], found: Sequence[Sequence[Place]]) -> list[Finding]:
    wrong = [group for group in found if len(labels_of(parts, group)) > 1]
    if not wrong:
        return []
    listed = [" = ".join(f"{parts[split].names[i]} ({split})" for split, i in group) for group in wrong]
    text = f"{len(wrong)} sequence{'s are' if len(wrong) > 1 else ' is'} there more than once with different labels"
    return [Finding("error", "contradiction", text, None, listed, tuple(wrong[0][:2]))]


def quick(sets: Sequence[SkeletonSet]) -> list[str]:
    """Say which sequences of the second and later sets are copies of earlier sets' ones; reads little of the files.

    A few frames select the candidates, which are then compared whole.
    """
    notes = []
    for one, other in itertools.combinations(sets, 2):
        if one.data.shape[1::2] != other.data.shape[1::2] or one.data.shape[4] != other.data.shape[4]:
            continue
        known: dict[bytes, list[int]] = defaultdict(list)
        frames = min(one.data.shape[2], other.data.shape[2])
        for i, key in enumerate(_keys(one.data, frames)):
            known[key].append(i)
        pairs = [
            (i, copy)
            for i, key in enumerate(_keys(other.data, frames))
            if (copy := next((j for j in known.get(key, ()) if _equal(one.data[j], other.data[i])), None)) is not None
        ]
        if pairs:
            listed = ", ".join(f"{other.names[i]} = {one.names[j]}" for i, j in pairs[:MOST_NAMED])
            notes.append(
                f"{_copies(len(pairs), len(other.data), other.split)} of {one.split} sequences, so that what is measured on "
                f"{other.split} is too good: {listed}{', ...' if len(pairs) > MOST_NAMED else ''}. "
                "To see all: pose_classification dataset inspect FOLDER"
            )
    return notes


def _keys(data: np.ndarray, frames: int) -> list[bytes]:
    """A few early frames of each sequence, as bytes; empty for a sequence that is zero there."""
    chosen = np.unique(np.geomspace(1, max(frames // 2, 1), LOOKED_AT).astype(int) - 1)
    picked = np.ascontiguousarray(np.stack([data[:, :, t] for t in chosen.tolist()], axis=1))
    return [row.tobytes() for row in picked]


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal up to zero padding at the end, and not empty."""
    frames = min(one.shape[1], other.shape[1])
    same = np.array_equal(one[:, :frames], other[:, :frames]) and bool(one[:, :frames].any())
    return same and not one[:, frames:].any() and not other[:, frames:].any()
