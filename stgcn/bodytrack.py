"""The poses of one tracked object, normalised block by block and kept in a scratch file: memory does not grow with them."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Mapping
from io import FileIO
from typing import Any, NamedTuple

import numpy as np

from stgcn.config import DatasetConvert

POINT = 4  # numbers per joint as read: x, y, z, confidence


class Scratch:
    """Arrays in a file that is open for reading and writing."""

    def __init__(self, file: FileIO) -> None:
        self.file = file
        self.end = 0

    def branch(self) -> Scratch:
        """Another one beside it, which is gone when nobody holds it."""
        folder = os.path.dirname(self.file.name) if isinstance(self.file.name, str) else None
        descriptor, name = tempfile.mkstemp(dir=folder)
        os.unlink(name)
        scratch = Scratch(FileIO(descriptor, "r+"))
        weakref.finalize(scratch, scratch.file.close)
        return scratch

    def put(self, array: np.ndarray) -> int:
        """Append an array; gives where it begins."""
        begin = self.end
        left = _bytes_of(np.ascontiguousarray(array))
        while left:
            written = os.pwrite(self.file.fileno(), left, self.end)
            self.end += written
            left = left[written:]
        return begin

    def get(self, offset: int, out: np.ndarray) -> None:
        """Fill ``out`` with what lies at ``offset``."""
        left = _bytes_of(out)
        while left:
            count = os.preadv(self.file.fileno(), [left], offset)
            if not count:
                raise OSError(f"{self.file.name} is shorter than what was written to it")
            offset += count
            left = left[count:]


def _bytes_of(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _finite(array: np.ndarray) -> bool:
    """Whether all numbers are finite, if not so many large ones that nobody knows without a closer look."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum()))


def _any_wild(poses: np.ndarray) -> np.ndarray:
    """Which poses have numbers that are not finite."""
    wild: np.ndarray = np.logical_not(np.isfinite(poses)).reshape(len(poses), -1).any(axis=1)
    return wild


class Kept(NamedTuple):
    """Normalised poses in a scratch file."""

    scratch: Scratch
    offset: int
    first: int  # frames of the track before them
    frames: int


class Waiting(NamedTuple):
    """Poses as read in a scratch file: the root joint, from which all is measured, was not seen so far."""

    scratch: Scratch
    offset: int
    records: list[int]


class Track:
    """The poses of one object; knows no file but the scratch file."""

    def __init__(self, name: str, stream: str, settings: DatasetConvert, scratch: Scratch) -> None:
        self.name = name
        self.stream = stream
        self.settings = settings
        self.scratch = scratch
        self.frames = 0
        self.roots_filled = 0
        self.missing_joints = 0
        self.poses: list[Any] = []  # read and not normalised yet: buffers of x y z confidence of every joint, float64
        self.records: list[int] = []  # the record of each of them
        self.root: np.ndarray | None = None  # where the root joint was last seen
        self.first_root: np.ndarray | None = None
        self.waiting: list[Waiting] = []
        self.kept: list[Kept] = []

    @property
    def channels(self) -> int:
        """Numbers per joint of a normalised pose."""
        return 2 if self.settings.pose_type == "2dbp" else 3

    @property
    def rootless(self) -> bool:
        """Whether the root joint was never seen, so that the poses have no origin; known after ``flush``."""
        return bool(self.waiting)

    def flush(self, *, wait: bool = False) -> list[tuple[int, str]]:
        """Normalise what was read; gives (record, problem) of the poses that have no finite numbers.

        With ``wait`` poses before the first root wait for ``join``, which may know an earlier one.
        """
        if not self.poses:
            return []
        raw = np.frombuffer(b"".join(self.poses)).reshape(len(self.poses), self.settings.num_joints, POINT)
        records = self.records
        self.poses, self.records = [], []
        self.frames += len(raw)
        problems = []
        if not _finite(raw):
            bad = _any_wild(raw)
            raw = np.where(bad[:, None, None], 0, raw)  # as where nothing was seen
            problems = self._named(bad, records)
        if self.settings.pose_type != "3dbp" or self.root is not None:
            return problems + self._keep(raw, records)
        seen = raw[:, 0, 3] != 0
        first = int(np.argmax(seen)) if seen.any() else len(raw)
        if first:
            self.waiting.append(Waiting(self.scratch, self.scratch.put(raw[:first]), records[:first]))
        if first == len(raw):
            return problems
        self.root = self.first_root = raw[first, 0, :3].copy()  # not a view, which would keep all of them
        if not wait:
            problems += self._end_waiting()
        return problems + self._keep(raw[first:], records[first:])

    def _named(self, bad: np.ndarray, records: list[int]) -> list[tuple[int, str]]:
        return [(records[i], f"object {self.name} has NaN or infinite values") for i in np.flatnonzero(bad)]

    def _end_waiting(self) -> list[tuple[int, str]]:
        """Normalise what waited for a root joint by the one that is known now."""
        problems = []
        for scratch, offset, records in self.waiting:
            raw = np.empty((len(records), self.settings.num_joints, POINT))
            scratch.get(offset, raw)
            problems += self._keep(raw, records)
        self.waiting = []
        return problems

    def join(self, later: Track) -> list[tuple[int, str]]:
        """Append the poses of ``later``, which was flushed with ``wait``; neither track has poses pending."""
        self.frames += later.frames
        self.waiting += later.waiting
        problems = []
        if self.waiting and (self.root is not None or later.first_root is not None):
            self.root = later.first_root if self.root is None else self.root
            problems = self._end_waiting()
        for kept in later.kept:
            self._append(kept.scratch, kept.offset, kept.frames)
        self.root = self.root if later.root is None else later.root
        self.roots_filled += later.roots_filled
        self.missing_joints += later.missing_joints
        return problems

    def _keep(self, raw: np.ndarray, records: list[int]) -> list[tuple[int, str]]:
        problems = []
        with np.errstate(all="ignore"):
            poses = self._normalised(raw)
        if not _finite(poses):  # numbers too large for float32
            bad = _any_wild(poses)
            poses[bad] = 0
            problems = self._named(bad, records)
        self._append(self.scratch, self.scratch.put(poses), len(poses))
        return problems

    def _append(self, scratch: Scratch, offset: int, frames: int) -> None:
        first = self.kept[-1].first + self.kept[-1].frames if self.kept else 0
        self.kept.append(Kept(scratch, offset, first, frames))

    def _normalised(self, raw: np.ndarray) -> np.ndarray:
        """Poses as read (n, V, 4) to what models see, float32 (n, C, V)."""
        missing = raw[..., 3] == 0
        count = int(np.count_nonzero(missing))
        self.missing_joints += count
        roots = self._roots(raw[:, 0, :3], ~missing[:, 0]) if self.settings.pose_type == "3dbp" else None
        sizes = (self.settings.input_width, self.settings.input_height)
        poses = np.empty((len(raw), self.channels, raw.shape[1]), dtype=np.float32)
        for channel in range(self.channels):
            values = raw[..., channel]
            if roots is not None:
                values = values - roots[:, channel, None]
                values /= self.settings.focal_length
            elif channel < len(sizes):
                values = values / sizes[channel]
                values -= 0.5
            poses[:, channel] = values
        if count:
            np.copyto(poses, 0, where=missing[:, None])
        return poses

    def _roots(self, roots: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Root joints (n, 3), missing ones taken from the last frame that has it, or the next at the start of a track."""
        if not seen.all():
            last_seen = np.maximum.accumulate(np.where(seen, np.arange(len(seen)), -1))
            before = np.zeros(3) if self.root is None else self.root  # never none where the first of ``roots`` is missing
            roots = np.where(last_seen[:, None] >= 0, roots[last_seen], before)
            self.roots_filled += int(np.count_nonzero(~seen))
        self.root = roots[-1].copy()
        return roots

    def as_plain(self) -> dict[str, Any]:
        """What JSON can hold of it, nothing pending; ``of_plain`` makes a track of it that has the same scratch file."""
        return {
            "stream": self.stream,
            "name": self.name,
            "frames": self.frames,
            "roots_filled": self.roots_filled,
            "missing_joints": self.missing_joints,
            "root": None if self.root is None else self.root.tolist(),
            "first_root": None if self.first_root is None else self.first_root.tolist(),
            "waiting": [(waiting.offset, waiting.records) for waiting in self.waiting],
            "kept": [(kept.offset, kept.frames) for kept in self.kept],
        }

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any], settings: DatasetConvert, scratch: Scratch, records: int) -> Track:
        """The track that ``as_plain`` described, with ``records`` before those it knows of."""
        track = cls(plain["name"], plain["stream"], settings, scratch)
        for name in ("frames", "roots_filled", "missing_joints"):
            setattr(track, name, plain[name])
        for name in ("root", "first_root"):
            setattr(track, name, None if plain[name] is None else np.array(plain[name]))
        track.waiting = [Waiting(scratch, offset, [records + n for n in numbers]) for offset, numbers in plain["waiting"]]
        for offset, frames in plain["kept"]:
            track._append(scratch, offset, frames)
        return track

    def read(self, first: int, end: int) -> np.ndarray:
        """Normalised poses of the frames from ``first`` up to ``end``, float32 (frames, C, V)."""
        shape = (self.channels, self.settings.num_joints)
        poses = np.empty((end - first, *shape), dtype=np.float32)
        for kept in self.kept:
            begins, ends = max(first, kept.first), min(end, kept.first + kept.frames)
            if begins < ends:
                offset = kept.offset + (begins - kept.first) * 4 * shape[0] * shape[1]
                kept.scratch.get(offset, poses[begins - first : ends - first])
        return poses
