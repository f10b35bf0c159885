"""Sequences that are there more than once: within a split, and, worse, on two sides of one."""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from stgcn.inspect.finding import Finding
from stgcn.inspect.source import Part

Place = tuple[str, int]  # split and index
LOOKED_AT = 6  # frames that quick() reads of every sequence
KEYED = 2048  # sequences whose frames are read at once


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


def quick(parts: Mapping[str, Part]) -> list[Finding]:
    """As ``check``, for parts of one form, reading little of the files: a few frames select what is then compared whole."""
    places: dict[bytes, list[Place]] = defaultdict(list)
    frames = min(part.data.shape[2] for part in parts.values())
    for split, part in parts.items():
        for i, key in enumerate(_keys(part, frames)):
            places[key].append((split, i))
    alike = [group for group in places.values() if len(group) > 1]
    return check(parts, [equal for group in alike for equal in _equal(parts, group)])


def _keys(part: Part, frames: int) -> Iterator[bytes]:
    """A digest of a few early frames of each sequence."""
    chosen = np.unique(np.geomspace(1, max(frames // 2, 1), LOOKED_AT).astype(int) - 1).tolist()
    for start in range(0, len(part.data), KEYED):
        rows = slice(start, start + KEYED)
        picked = np.stack([np.asarray(part.data[rows, :, t], np.float32) for t in chosen], axis=1) + np.float32(0)
        yield from (digest(row) for row in picked)


def _equal(parts: Mapping[str, Part], group: Sequence[Place]) -> list[list[Place]]:
    """The places of sequences that are equal up to zero padding at the end, and not empty."""
    same: dict[bytes, list[Place]] = defaultdict(list)
    for split, i in group:
        sequence = parts[split].take([i])[0]
        filled = np.flatnonzero(sequence.any(axis=(0, 2, 3)))
        if len(filled):
            same[digest(sequence[:, : filled[-1] + 1] + np.float32(0))].append((split, i))
    return [equal for equal in same.values() if len(equal) > 1]


def digest(values: np.ndarray) -> bytes:
    """16 bytes that are equal for equal values."""
    return hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=16).digest()
