"""Sequences of one layout as another one has them: joint by joint, by name, or derived as stated here. Numpy only.

A joint goes over exactly where the source has one of the same name, as a synonym where it has one at the same place of the
body, and as the middle of others where a derivation is stated. What cannot be had is zero, as a missing joint is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from stgcn.graph import Layout, canonical

Name = tuple[str, str]  # side and part, see ``canonical``

# Parts that pose estimators name differently and that lie at the same place, the first name being the one used here.
_SYNONYMS = (
    ("pelvis", "mid_hip", "midhip", "hip_center", "spine_base", "root"),
    ("neck", "shoulder_center", "spine_shoulder", "thorax"),
    ("nose", "neck_nose"),  # of Human3.6M: where the head begins; 2D sources give it their nose
    ("spine", "spine_mid", "torso", "spine1", "belly"),
    ("thumb_tip", "thumb"),
    ("hand_tip", "middle_tip", "middle_finger_tip"),
    ("pinky_knuckle", "pinky", "pinky_mcp"),
    ("index_knuckle", "index", "index_finger_mcp"),
    ("big_toe", "foot_index"),
)
_FIRST = {name: names[0] for names in _SYNONYMS for name in names}

# Middle of what a joint is, where the source has it not; "" is the middle of the body, "=" the side of the joint itself.
_DERIVED: dict[str, tuple[tuple[Name, ...], ...]] = {
    "pelvis": ((("left", "hip"), ("right", "hip")),),
    "neck": ((("left", "shoulder"), ("right", "shoulder")),),
    "spine": ((("", "pelvis"), ("", "neck")),),
    "head": ((("left", "ear"), ("right", "ear")), (("left", "eye"), ("right", "eye"))),
    "eye": ((("=", "eye_inner"), ("=", "eye_outer")),),
    "hand": ((("=", "index_knuckle"), ("=", "pinky_knuckle")),),
    "foot": ((("=", "big_toe"), ("=", "small_toe")),),
}


class Row(NamedTuple):
    """How one joint of the target comes about: ``how`` is same, synonym, derived or missing."""

    joint: str
    how: str
    sources: tuple[str, ...]
    shares: tuple[float, ...]  # of each source; 1 together

    def says(self) -> str:
        """In words."""
        if self.how == "derived":
            if len(set(self.shares)) == 1:
                return f"middle of {_and(self.sources)}"
            return " + ".join(f"{share:g} {joint}" for joint, share in zip(self.sources, self.shares, strict=True))
        return self.sources[0] if self.sources else "missing: zero"

    def as_plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "joint": self.joint,
            "how": self.how,
            "from": list(self.sources),
            "shares": list(self.shares),
            "says": self.says(),
        }


def plan(source: Layout, target: Layout) -> list[Row]:
    """How each joint of ``target`` comes from those of ``source``, in the order of ``target``."""
    by_name = {joint: i for i, joint in enumerate(source.joints)}
    by_place: dict[Name, int] = {}
    for i, joint in enumerate(source.joints):
        by_place.setdefault(_place(joint), i)
    exact: dict[Name, int] = {}
    for i, joint in enumerate(source.joints):
        exact.setdefault(canonical(joint), i)
    rows = []
    for joint in target.joints:
        name = canonical(joint)
        index = by_name.get(joint, exact.get(name))
        if index is not None:
            rows.append(Row(joint, "same", (source.joints[index],), (1.0,)))
        elif (place := _place(joint)) in by_place:
            rows.append(Row(joint, "synonym", (source.joints[by_place[place]],), (1.0,)))
        else:
            found = _derive(place, by_place)
            names = tuple(source.joints[i] for i in found)
            rows.append(Row(joint, "derived" if found else "missing", names, tuple(found.values())))
    return rows


class Remapper:
    """Brings sequences of ``source`` to ``target``; ``rows`` say how each joint comes about."""

    def __init__(self, source: Layout, target: Layout) -> None:
        self.source, self.target = source, target
        self.rows = plan(source, target)
        index = {joint: i for i, joint in enumerate(source.joints)}
        of_one = [(i, index[row.sources[0]]) for i, row in enumerate(self.rows) if len(row.sources) == 1]
        self.into, self.out_of = np.array(of_one, dtype=np.intp).reshape(-1, 2).T
        self.middles = [
            (i, [index[joint] for joint in row.sources], np.array(row.shares))
            for i, row in enumerate(self.rows)
            if len(row.sources) > 1
        ]

    def __call__(self, data: np.ndarray) -> np.ndarray:
        """Sequences (..., V, C) as (..., V', C), of the same dtype.

        The middle of joints is taken over all channels, scores included, and only where none of them is missing (all zero).

        Raises:
            ValueError: the joints of ``data`` are not those of ``source``.
        """
        if data.ndim < 2 or data.shape[-2] != self.source.num_joints:
            raise ValueError(f"expected (..., {self.source.num_joints}, C) for the layout {self.source.name}, got {data.shape}")
        result = np.zeros((*data.shape[:-2], self.target.num_joints, data.shape[-1]), dtype=data.dtype)
        result[..., self.into, :] = data[..., self.out_of, :]
        for i, joints, shares in self.middles:
            taken = data[..., joints, :]
            there = taken.any(axis=-1).all(axis=-1, keepdims=True)
            result[..., i, :] = np.where(there, np.tensordot(taken, shares, axes=(-2, 0)), 0)
        return result

    def count(self, *how: str) -> int:
        """Joints of the target that come about in one of these ways."""
        return sum(row.how in how for row in self.rows)

    def says(self) -> str:
        """In words: how many joints are taken over, which are derived, and which are missing."""
        said = [f"{self.count('same', 'synonym')} of {len(self.rows)} joints taken over"]
        derived = [f"{row.joint} ({row.says()})" for row in self.rows if row.how == "derived"]
        missing = [row.joint for row in self.rows if row.how == "missing"]
        said += [f"derived: {', '.join(derived)}"] if derived else []
        said += [f"missing, and so zero: {', '.join(missing)}"] if missing else []
        return f"{self.source.name} to {self.target.name}: {'; '.join(said)}"


def remap(data: np.ndarray, source: Layout, target: Layout) -> tuple[np.ndarray, list[Row]]:
    """Sequences (..., V, C) of ``source`` as (..., V', C) of ``target``, see ``Remapper``, and how each joint came about."""
    bring = Remapper(source, target)
    return bring(data), bring.rows


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _place(joint: str) -> Name:
    """The side and the place of the body a joint's name means; a hip without a side is the pelvis."""
    side, part = canonical(joint)
    return side, "pelvis" if part == "hip" and not side else _FIRST.get(part, part)


def _derive(place: Name, known: Mapping[Name, int], depth: int = 2) -> dict[int, float]:
    """The joints whose middle is at a place, with their shares; empty where a stated derivation has not all it needs."""
    side, part = place
    for way in _DERIVED.get(part, ()):
        found: dict[int, float] = {}
        for own_side, own_part in way:
            other = (side if own_side == "=" else own_side, own_part)
            parts = {known[other]: 1.0} if other in known else _derive(other, known, depth - 1) if depth else {}
            if not parts or (own_side == "=") != bool(side):
                break
            for i, share in parts.items():
                found[i] = found.get(i, 0.0) + share / len(way)
        else:
            return found
    return {}
