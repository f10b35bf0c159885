"""Who is who from frame to frame: recordings into one track per person, by id or by how near poses are. Knows no files."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stgcn.errors import DataError
from stgcn.formats.base import Recording

CONFIDENCE = frozenset({"score", "confidence", "conf", "visibility", "likelihood", "probability"})
PATIENCE = 30  # frames after which somebody who was not seen is not waited for
NEAR = 0.15  # a joint that moved by so much of the body's size counts exp(-1/2)
ALIKE = 0.25  # poses less alike than this are different people


@dataclass
class Track:
    """One person of a recording: at which frames, and the pose there, (n, V, C); unseen joints are zero."""

    name: str
    frames: list[int] = field(default_factory=list)
    poses: list[np.ndarray] = field(default_factory=list)

    def add(self, frame: int, pose: np.ndarray) -> None:
        """Go on with a pose (V, C)."""
        self.frames.append(frame)
        self.poses.append(pose)


def coordinates(channels: tuple[str, ...]) -> int:
    """How many of the channels, from the first, are coordinates."""
    return sum(channel not in CONFIDENCE for channel in channels)


def chosen(channels: tuple[str, ...], wanted: str) -> list[int]:
    """Which channels are written: those ``wanted`` ("x,y"), else depth rather than confidence, else all.

    Raises:
        DataError: one is wanted that the data do not have.
    """
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    absent = [name for name in names if name not in channels]
    if absent or len(set(names)) != len(names):
        raise DataError(
            f"dataset_convert.channels is {wanted}; the data have {', '.join(channels)}, of which each can be taken once"
        )
    if names:
        return [channels.index(name) for name in names]
    count = coordinates(channels)
    return list(range(count if count > 2 else len(channels)))


def seen(poses: np.ndarray, channels: tuple[str, ...]) -> np.ndarray:
    """Which joints of (..., V, C) are there: confidence above zero, or any coordinate other than zero; finite."""
    where = [i for i, channel in enumerate(channels) if channel in CONFIDENCE]
    there: np.ndarray = np.isfinite(poses).all(axis=-1) & poses[..., : coordinates(channels)].any(axis=-1)
    return np.logical_and(there, (poses[..., where] > 0).all(axis=-1)) if where else there


def tracks(recording: Recording) -> tuple[list[Track], int]:
    """The people of a recording, in order of appearance, and how many of them had to be told apart by their poses.

    Ids of the source are kept. Where there are none, a person is who is most alike to a pose of the last frames.
    """
    by_id: dict[str, Track] = {}
    nameless: list[tuple[int, np.ndarray]] = []
    ends = np.cumsum([len(frame.people) for frame in recording.frames])
    everyone = np.concatenate([frame.people for frame in recording.frames if len(frame.people)] or [np.zeros((0, 1, 2))])
    all_there = seen(everyone, recording.channels)  # of all frames at once, which is many times faster
    all_clean = np.where(all_there[..., None], everyone, 0).astype(np.float32)
    for frame, end in zip(recording.frames, ends, strict=True):
        clean = all_clean[end - len(frame.people) : end]
        alive = all_there[end - len(frame.people) : end].any(axis=1)
        for person in np.flatnonzero(alive & np.array([name is not None for name in frame.ids], dtype=bool)):
            name = str(frame.ids[person])
            track = by_id.setdefault(name, Track(name))
            if not track.frames or track.frames[-1] != frame.index:  # the first of two with one id is kept
                track.add(frame.index, clean[person])
        free = [i for i in np.flatnonzero(alive) if frame.ids[i] is None]
        if free:
            nameless.append((frame.index, clean[free]))
    linked = _link(nameless, coordinates(recording.channels), taken=set(by_id))
    return [*by_id.values(), *linked], len(linked)


def _link(frames: list[tuple[int, np.ndarray]], axes: int, taken: set[str]) -> list[Track]:
    """Tracks of people (frame, (P, V, C)) without ids."""
    if max((len(people) for _, people in frames), default=0) <= 1:  # alone in the picture: nobody to be mistaken for
        alone = Track(_free_name(0, taken))
        for frame, people in frames:
            alone.add(frame, people[0])
        return [alone] if frames else []
    made: list[Track] = []
    live: list[Track] = []
    for frame, people in frames:
        live = [track for track in live if frame - track.frames[-1] <= PATIENCE]
        rest = set(range(len(people)))
        for track, person in _matches(live, people, axes):
            track.add(frame, people[person])
            rest.remove(person)
        for person in sorted(rest):
            track = Track(_free_name(len(made), taken))
            track.add(frame, people[person])
            made.append(track)
            live.append(track)
    return made


def _free_name(number: int, taken: set[str]) -> str:
    return f"untracked{number}" if str(number) in taken else str(number)


def _matches(live: list[Track], people: np.ndarray, axes: int) -> list[tuple[Track, int]]:
    """Pair tracks with people, the most alike first."""
    if not live:
        return []
    alike = similarity(np.stack([track.poses[-1] for track in live]), people, axes)
    pairs = []
    for flat in np.argsort(-alike, axis=None, kind="stable"):
        i, j = divmod(int(flat), len(people))
        if alike[i, j] < ALIKE:
            break
        pairs.append((i, j))
    chosen: dict[int, int] = {}
    for i, j in pairs:
        if i not in chosen and j not in chosen.values():
            chosen[i] = j
    return [(live[i], j) for i, j in chosen.items()]


def similarity(before: np.ndarray, now: np.ndarray, axes: int) -> np.ndarray:
    """How alike poses (A, V, C) and (B, V, C) are, 0 to 1, (A, B): the mean of how near the joints seen in both are.

    Nearness is measured in sizes of the body, as in object keypoint similarity; poses without a joint in common are judged
    by their middles.
    """
    a, b = before[:, None, :, :axes], now[None, :, :, :axes]
    both = a.any(axis=-1) & b.any(axis=-1)  # (A, B, V)
    size = np.maximum(_size(before[..., :axes])[:, None], _size(now[..., :axes])[None, :])
    distance = ((a - b) ** 2).sum(axis=-1) / (NEAR * size[..., None]) ** 2
    count = both.sum(axis=-1)
    near = (np.exp(-distance / 2) * both).sum(axis=-1) / np.maximum(count, 1)
    result: np.ndarray = near
    if not count.all():
        middle = ((_middle(before[..., :axes])[:, None] - _middle(now[..., :axes])[None]) ** 2).sum(axis=-1)
        result = np.where(count > 0, near, np.exp(-middle / (NEAR * size) ** 2 / 2))
    return result


def _size(points: np.ndarray) -> np.ndarray:
    """Diagonal of the box around the seen joints of (P, V, axes), never zero."""
    there = points.any(axis=-1, keepdims=True)
    low = np.where(there, points, np.inf).min(axis=1)
    high = np.where(there, points, -np.inf).max(axis=1)
    result: np.ndarray = np.maximum(np.linalg.norm(high - low, axis=-1), 1e-6)
    return result


def _middle(points: np.ndarray) -> np.ndarray:
    there = points.any(axis=-1, keepdims=True)
    result: np.ndarray = (points * there).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return result


def slots(people: list[Track], count: int) -> list[list[Track]]:
    """Seat tracks in at most ``count`` slots: those seen longest first; tracks that never overlap may share a slot."""
    seated: list[tuple[list[Track], set[int]]] = []
    for track in sorted(people, key=lambda t: -len(t.frames)):
        frames = set(track.frames)
        place = next((s for s in seated if not s[1] & frames), None) if len(seated) >= count else None
        if place is not None:
            place[0].append(track)
            place[1].update(frames)
        elif len(seated) < count:
            seated.append(([track], frames))
    return [members for members, _ in seated]
