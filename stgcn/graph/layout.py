"""What a layout is, how plain data becomes one, and everything that can be wrong with it. Reads no files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_JOINTS = 512
MOST_SHOWN = 5  # joints, edges and the like named in one message
_SIDES = {"left": "left", "l": "left", "right": "right", "r": "right"}


@dataclass(frozen=True)
class Layout:
    """A skeleton: the names of its joints, the bones as pairs of joint indices, and the joint all others are seen from.

    ``pairs`` are (left, right) joints that change places in a mirror. ``roles`` say which joint, or the middle of which
    joints, plays a part such as ``root``, ``neck`` or ``left_hip``.
    """

    name: str
    joints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    center: int
    pairs: tuple[tuple[int, int], ...] = ()
    roles: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)

    @property
    def num_joints(self) -> int:
        """Number of joints V."""
        return len(self.joints)

    def same_skeleton(self, other: Layout) -> bool:
        """Whether joints, bones and centre agree; the name, the order and direction of bones, pairs and roles do not count."""
        bones, theirs = ({frozenset(edge) for edge in layout.edges} for layout in (self, other))
        return (self.joints, self.center, bones) == (other.joints, other.center, theirs)

    def sides(self) -> list[tuple[list[int], list[int]]]:
        """Left and right joints of the hips and of the shoulders, as far as the layout tells: by role, else by name."""
        named = {"_".join(filter(None, canonical(joint))): [i] for i, joint in enumerate(self.joints)}
        roles = named | {role: list(joints) for role, joints in self.roles.items()}
        found = ((roles.get(f"left_{part}"), roles.get(f"right_{part}")) for part in ("hip", "shoulder"))
        return [(left, right) for left, right in found if left and right]

    def as_plain(self) -> dict[str, Any]:
        """The layout as JSON can hold it; ``from_plain`` reads it back."""
        return {
            "name": self.name,
            "joints": list(self.joints),
            "edges": [list(edge) for edge in self.edges],
            "center": self.center,
            "pairs": [list(pair) for pair in self.pairs],
            "roles": {role: list(joints) for role, joints in self.roles.items()},
        }


def from_plain(content: object, name: str) -> tuple[Layout | None, list[str]]:
    """Read a layout from plain data with the keys joints, edges, center, and optionally name, pairs, roles.

    Joints are meant by index, counted from 0, or by name. Other keys are left alone. ``name`` is taken where none is given.

    Returns:
        The layout and no problems, or None and all of them.
    """
    if not isinstance(content, Mapping):
        return None, [f"expected a mapping with the keys joints, edges and center, got {_shown(content)}"]
    lacking = [key for key in ("joints", "edges", "center") if content.get(key) is None]
    problems = [f"the keys joints, edges and center are needed; missing: {', '.join(lacking)}"] if lacking else []
    joints = _joints(content.get("joints"), problems)
    reader = _Reader(joints, problems)
    edges = reader.couples("edges", content.get("edges"))
    center = reader.index("center", content["center"]) if content.get("center") is not None else None
    pairs = reader.couples("pairs", content.get("pairs"))
    roles = reader.roles(content.get("roles"))
    if isinstance(own := content.get("name"), str) and own.strip():
        name = own.strip()
    elif own is not None:
        problems.append(f"name: expected text, got {_shown(own)}")
    problems += [*_edge_problems(joints, edges), *_pair_problems(joints, pairs)]
    if not problems:
        problems += _apart(joints, list(edges.values()))
    if problems or center is None:
        return None, problems
    own_pairs = tuple(pairs.values()) or pairs_by_name(joints)
    return Layout(name, tuple(joints), tuple(edges.values()), center, own_pairs, roles), []


def canonical(joint: str) -> tuple[str, str]:
    """The side ("left", "right" or "") and the part of a joint's name: LShoulder, shoulder_l, Left Shoulder are the same."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", joint)
    words = [word for word in re.split(r"[\W_]+", spaced.lower()) if word]
    side = next((_SIDES[word] for word in words if word in _SIDES), "")
    rest = [word for word in words if word not in _SIDES]
    return side, "_".join(rest)


def pairs_by_name(joints: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """The (left, right) pairs that the names of the joints tell."""
    found = {canonical(joint): i for i, joint in enumerate(joints)}
    return tuple((i, found["right", part]) for (side, part), i in found.items() if side == "left" and ("right", part) in found)


@dataclass(frozen=True)
class _Reader:
    """Joint references as a file has them, turned into indices; what cannot be is added to the problems."""

    joints: list[str]
    problems: list[str]

    def index(self, where: str, value: object) -> int | None:
        """A joint by index or by name."""
        if isinstance(value, str) and value in self.joints:
            return self.joints.index(value)
        if isinstance(value, int) and not isinstance(value, bool):
            if 0 <= value < len(self.joints):
                return value
            if self.joints:
                self.problems.append(f"{where}: joint {value} does not exist; allowed: 0 to {len(self.joints) - 1}")
        elif self.joints or not isinstance(value, str):
            self.problems.append(f"{where}: {_shown(value)} is no joint; allowed: an index from 0, or a name under joints")
        return None

    def couples(self, key: str, value: object) -> dict[int, tuple[int, int]]:
        """A list of two joints each; those that can be read, by their place in the list."""
        if value is None:
            return {}
        if not isinstance(value, list | tuple):
            self.problems.append(f"{key}: expected a list of two joints each, got {_shown(value)}")
            return {}
        if len(value) > MOST_JOINTS**2:
            self.problems.append(f"{key}: {len(value)} entries are more than {MOST_JOINTS} joints can have")
            return {}
        found = {}
        for i, couple in enumerate(value):
            if not isinstance(couple, list | tuple) or len(couple) != 2:
                self.problems.append(f"{key}[{i}]: expected two joints, got {_shown(couple)}")
                continue
            a, b = (self.index(f"{key}[{i}]", joint) for joint in couple)
            if a is not None and b is not None:
                found[i] = (a, b)
        return found

    def roles(self, value: object) -> dict[str, tuple[int, ...]]:
        """A mapping from role to a joint or a list of joints."""
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.problems.append(f"roles: expected a mapping from role to joint, got {_shown(value)}")
            return {}
        roles = {}
        for role, joints in value.items():
            several = list(joints) if isinstance(joints, list | tuple) else [joints]
            found = [self.index(f"roles.{role}", joint) for joint in several[: MOST_JOINTS + 1]]
            roles[str(role)] = tuple(i for i in found if i is not None)
            if not several:
                self.problems.append(f"roles.{role}: names no joint")
        return roles


def _joints(value: object, problems: list[str]) -> list[str]:
    """The names of the joints; an empty list where they cannot be read."""
    if value is None:
        return []
    if not isinstance(value, list | tuple) or not value:
        problems.append(f"joints: expected a list of names, got {_shown(value)}")
        return []
    if len(value) > MOST_JOINTS:
        problems.append(f"joints: {len(value)} are too many; allowed: up to {MOST_JOINTS}")
        return []
    wrong = [f"joints[{i}] is {_shown(joint)}" for i, joint in enumerate(value) if not isinstance(joint, str) or not joint]
    if wrong:
        problems.append(f"joints: expected a name each: {_some(wrong)}")
        return []
    if repeated := [repr(name) for name, times in Counter(value).items() if times > 1]:
        problems.append(f"joints: names are there more than once: {_some(repeated)}")
    return list(value)


def _edge_problems(joints: Sequence[str], edges: Mapping[int, tuple[int, int]]) -> Iterator[str]:
    """Self loops, and bones named twice."""
    if loops := [f"edges[{i}] ({joints[a]})" for i, (a, b) in edges.items() if a == b]:
        yield f"edges: a bone leads from a joint to itself: {_some(loops)}"
    first: dict[frozenset[int], int] = {}
    twice = [
        f"edges[{i}] is edges[{first[bone]}] ({joints[edge[0]]} - {joints[edge[1]]})"
        for i, edge in edges.items()
        if first.setdefault(bone := frozenset(edge), i) != i
    ]
    if twice:
        yield f"edges: bones are there more than once, in one direction or the other: {_some(twice)}"


def _apart(joints: Sequence[str], edges: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Joints that no bones connect with the first."""
    reached = _reached(len(joints), edges)
    if len(reached) < len(joints):
        apart = [f"{i} ({joint})" for i, joint in enumerate(joints) if i not in reached]
        yield f"edges: the skeleton falls apart, no bones lead from {joints[0]} to {_some(apart)}"


def _reached(count: int, edges: Sequence[tuple[int, int]]) -> Collection[int]:
    """The joints that bones connect with the first."""
    neighbours: dict[int, list[int]] = {i: [] for i in range(count)}
    for a, b in edges:
        neighbours[a].append(b)
        neighbours[b].append(a)
    reached, waiting = {0}, [0]
    while waiting:
        new = [other for other in neighbours[waiting.pop()] if other not in reached]
        reached.update(new)
        waiting += new
    return reached


def _pair_problems(joints: Sequence[str], pairs: Mapping[int, tuple[int, int]]) -> Iterator[str]:
    """Joints with two partners, and pairs whose names say right before left."""
    everyone = Counter(joint for pair in pairs.values() for joint in pair)
    if repeated := [joints[i] for i, times in everyone.items() if times > 1]:
        yield f"pairs: a joint has one partner at most, and never itself: {_some(repeated)}"
    sides = {i: [canonical(joints[joint])[0] for joint in pair] for i, pair in pairs.items()}
    if swapped := [f"pairs[{i}]" for i, side in sides.items() if side == ["right", "left"]]:
        yield f"pairs: the left joint comes first: {_some(swapped)}"


def _some(texts: Sequence[str]) -> str:
    return ", ".join(texts[:MOST_SHOWN]) + (f", ... ({len(texts)} in all)" if len(texts) > MOST_SHOWN else "")


def _shown(value: object) -> str:
    """A value in a message: scalars as they are and not too long, of all else the kind, whatever its size."""
    if isinstance(value, list | tuple | Mapping):
        kind = "a mapping" if isinstance(value, Mapping) else "a list"
        return f"{kind} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
