"""DeepStream BodyPose JSON into tracks: the normalised poses of each object of each video stream. Knows no windows."""

from __future__ import annotations

import array
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn import jsonlist
from stgcn.config import DatasetConvert
from stgcn.errors import DataError

MOST_PENDING = 4096  # poses held as read, over all tracks, before they are converted
MOST_PROBLEMS = 20
POSE_KEYS = {"3dbp": "pose3d", "25dbp": "pose25d", "2dbp": "pose25d"}
SAFE_NAME = re.compile(r"-?[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Track:
    """The poses of one object, converted block by block as they come; knows no files."""

    def __init__(self, name: str, stream: str, settings: DatasetConvert) -> None:
        self.name = name
        self.stream = stream
        self.settings = settings
        self.frames = 0
        self.pending: list[tuple[int, array.array[float]]] = []  # (record, x y z confidence of every joint)
        self.converted: list[np.ndarray] = []
        self.root: np.ndarray | None = None  # where the root joint was last seen
        self.roots_filled = 0
        self.missing_joints = 0

    def flush(self) -> list[tuple[int, str]]:
        """Convert the pending poses; gives (record, problem) of those that are no numbers."""
        if not self.pending:
            return []
        raw = np.array([pose for _, pose in self.pending], dtype=np.float64).reshape(len(self.pending), -1, 4)
        with np.errstate(all="ignore"):  # what is not finite is found below
            poses = self._convert(raw)
            if poses is None:
                return []
            narrow = poses.astype(np.float32)
        bad = ~(np.isfinite(raw).all(axis=(1, 2)) & np.isfinite(narrow).all(axis=(1, 2)))
        problems = [(self.pending[i][0], f"object {self.name} has NaN or infinite values") for i in np.flatnonzero(bad)]
        self.missing_joints += int((raw[..., 3] == 0).sum())
        self.converted.append(narrow)
        self.pending = []
        return problems

    def _convert(self, raw: np.ndarray) -> np.ndarray | None:
        """Poses (n, V, 4) in pixels to (n, V, C) normalised; None while the root joint was never seen."""
        points, seen = raw[..., :3], raw[..., 3] != 0
        if self.settings.pose_type == "3dbp":
            roots = self._roots(points[:, 0], seen[:, 0])
            if roots is None:
                return None
            result = (points - roots[:, None]) / self.settings.focal_length
        else:
            result = points.copy()
            result[..., 0] = points[..., 0] / self.settings.input_width - 0.5
            result[..., 1] = points[..., 1] / self.settings.input_height - 0.5
            result = result[..., : 2 if self.settings.pose_type == "2dbp" else 3]
        return np.where(seen[..., None], result, 0.0)

    def _roots(self, roots: np.ndarray, seen: np.ndarray) -> np.ndarray | None:
        """Root joints (n, 3), missing ones taken from the last frame that has it, or the next at the start of a track."""
        if self.root is None:
            if not seen.any():
                return None
            self.root = roots[int(np.argmax(seen))]
        last_seen = np.maximum.accumulate(np.where(seen, np.arange(len(seen)), -1))
        filled = np.where(last_seen[:, None] >= 0, roots[last_seen], self.root)
        self.root = filled[-1].copy()
        self.roots_filled += int((~seen).sum())
        return filled

    def poses(self) -> np.ndarray:
        """All poses, float32 (frames, V, C)."""
        return np.concatenate(self.converted) if len(self.converted) > 1 else self.converted[0]


def read_tracks(source: Path, settings: DatasetConvert) -> tuple[dict[tuple[str, str], Track], dict[str, int]]:
    """Read all poses of the file ``source``, grouped by (stream, object).

    Returns:
        The tracks in the order of their first frame, and the counts ``records`` and ``frames`` (poses).

    Raises:
        DataError: the file is missing or broken, or a record is bad; every bad record is named, up to MOST_PROBLEMS.
    """
    tracks: dict[tuple[str, str], Track] = {}
    problems: list[tuple[int, str]] = []
    counts = {"records": 0, "frames": 0}
    pending = 0
    try:
        for number, record in enumerate(jsonlist.items(source)):
            counts["records"] += 1
            for stream, name, pose in _poses(record, number, settings, problems):
                track = tracks.setdefault((stream, name), Track(name, stream, settings))
                track.pending.append((number, pose))
                track.frames += 1
                counts["frames"] += 1
                pending += 1
            if pending >= MOST_PENDING:
                pending = 0
                problems += [problem for track in tracks.values() for problem in track.flush()]
    except DataError as error:
        raise DataError(_listed(source, problems) + error.problems) from None
    problems += [problem for track in tracks.values() for problem in track.flush()]
    if problems:
        raise DataError(_listed(source, sorted(problems)))
    return tracks, counts


def _listed(source: Path, problems: Sequence[tuple[int, str]]) -> list[str]:
    lines = [f"{source}: record {number}: {text}" for number, text in problems[:MOST_PROBLEMS]]
    rest = len(problems) - MOST_PROBLEMS
    return lines + ([f"{source}: and {rest} more problems like these"] if rest > 0 else [])


def _poses(
    record: Any, number: int, settings: DatasetConvert, problems: list[tuple[int, str]]
) -> Iterator[tuple[str, str, array.array[float]]]:
    """Give (stream, object id, numbers of the pose) of every object in a record, and list what is wrong with it."""

    def wrong(text: str) -> None:
        problems.append((number, text))

    if not isinstance(record, dict) or not isinstance(record.get("batches"), list):
        wrong("expected {num_frames_in_batch, batches: [{objects: [...]}]}")
        return
    batches = record["batches"]
    if record.get("num_frames_in_batch") != len(batches):
        wrong(f"num_frames_in_batch is {str(record.get('num_frames_in_batch'))[:40]}, but it has {len(batches)} batches")
    for index, batch in enumerate(batches):
        if not isinstance(batch, dict) or not isinstance(batch.get("objects"), list):
            wrong(f"batch {index} has no list of objects")
            continue
        stream = _identity(batch.get("source_id", batch.get("batch_id", 0)))
        if stream is None:
            wrong(f"batch {index} has a source_id or batch_id that is neither a number nor a short name")
            continue
        taken: set[str] = set()
        for tracked in batch["objects"]:
            name, pose, problem = _pose(tracked, settings)
            if problem or pose is None:
                wrong(problem)
            elif name in taken:
                wrong(f"object {name} appears twice in one frame")
            else:
                taken.add(name)
                yield stream, name, pose


def _pose(tracked: Any, settings: DatasetConvert) -> tuple[str, array.array[float] | None, str]:
    """Read one object: its id, its numbers, and what is wrong with it ('' when nothing is)."""
    name = _identity(tracked.get("object_id")) if isinstance(tracked, dict) else None
    if name is None:
        return "", None, "an object has no object_id that is a number or a short name"
    key = POSE_KEYS[settings.pose_type]
    pose = tracked.get(key)
    if not isinstance(pose, list):
        return name, None, f"object {name} has no list {key!r}, which pose_type {settings.pose_type} reads"
    expected = 4 * settings.num_joints
    if len(pose) != expected:
        says = f"object {name} has {len(pose)} numbers in {key}; expected {expected}: x, y, z, confidence of each of "
        return name, None, f"{says}{settings.num_joints} joints (dataset_convert.num_joints)"
    try:
        return name, array.array("d", pose), ""
    except (TypeError, OverflowError):
        return name, None, f"object {name} has values in {key} that are not numbers"


def _identity(value: Any) -> str | None:
    """Text of an id that is safe in a file name, or None."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value) if SAFE_NAME.fullmatch(str(value)) else None
