"""NTU RGB+D ``.skeleton`` text files: Kinect v2 bodies with tracking ids and 25 joints. Knows no other format.

A file is: the number of frames; of each frame the number of bodies; of each body a line of ten numbers (its id first), the
number of joints, and a line of twelve numbers per joint (x y z in metres, depth x y, colour x y, four of the orientation,
tracking state 0 to 2). Its name, such as S001C002P003R002A013, gives setup, camera, subject, replication and action.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stgcn.formats.base import Frame, Options, Recording, name_of
from stgcn.formats.clips import Unusable, files_under, from_ntu_name

NAME = "ntu_skeleton"
LAYOUT, JOINTS, NUMBERS, BODY_NUMBERS, FPS = "ntu-rgb+d", 25, 12, 10, 30.0
MOST_BYTES = 512 * 2**20
# Subjects that train in the benchmark "cross subject", of the first 60 classes and of the later 60.
TRAINING_SUBJECTS = frozenset((
    1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38,
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89, 91, 92, 93, 94, 95, 97, 98,
    100, 103,
))  # fmt: skip


def units(root: Path) -> list[Path]:
    """Files ending in .skeleton."""
    return files_under(root, ".skeleton")


def read(unit: Path, root: Path, options: Options) -> Iterator[Recording]:
    """Give the one recording of a file: x, y, z in metres and a score, 1 for tracked joints and 0.5 for inferred ones."""
    try:
        yield _recording(unit, root)
    except OSError as error:
        options.bad(str(unit), f"it cannot be read: {error.strerror or error}")
    except Unusable as error:
        options.bad(str(unit), str(error))


def _recording(unit: Path, root: Path) -> Recording:
    if unit.stat().st_size > MOST_BYTES:
        raise Unusable(f"it is larger than {MOST_BYTES >> 20} MiB")
    lines = _Lines(unit.read_bytes())
    length = lines.count("the number of frames")
    frames = [frame for i in range(length) if (frame := _frame(lines, i)) is not None]
    lines.end(length)
    if not frames:
        raise Unusable("nobody is in it: no frame has a body")
    said: dict[str, Any] = from_ntu_name(unit.name)
    if said:
        said["facts"] |= _benchmarks(int(said["subject"][1:]), said["facts"])
    return Recording(name_of(unit, root), LAYOUT, ("x", "y", "z", "score"), frames, length, fps=FPS, **said)


def _benchmarks(subject: int, facts: dict[str, int]) -> dict[str, str]:
    """On which side the sample is in the three published benchmarks."""
    return {
        "cross_subject": "train" if subject in TRAINING_SUBJECTS else "test",
        "cross_view": "test" if facts["camera"] == 1 else "train",
        "cross_setup": "train" if facts["setup"] % 2 == 0 else "test",
    }


def _frame(lines: _Lines, index: int) -> Frame | None:
    bodies = lines.count("the number of bodies")
    people, ids = [], []
    for _ in range(bodies):
        identity, pose = _body(lines)
        if identity in ids:
            raise Unusable(f"frame {index} has the body {identity} twice (line {lines.number})")
        ids.append(identity)
        people.append(pose)
    return Frame(index, np.stack(people), tuple(ids)) if people else None


def _body(lines: _Lines) -> tuple[str, np.ndarray]:
    head = lines.words("a body")
    if len(head) != BODY_NUMBERS or not head[0].isdecimal() or len(head[0]) > 20:
        raise Unusable(f"line {lines.number}: expected a body, {BODY_NUMBERS} numbers beginning with its id")
    if lines.count("the number of joints") != JOINTS:
        raise Unusable(f"line {lines.number}: expected {JOINTS} joints")
    rows = [lines.joint() for _ in range(JOINTS)]
    joints = np.array(rows)  # (V, 12)
    with np.errstate(over="ignore"):
        pose = np.concatenate([joints[:, :3], joints[:, 11:] / 2], axis=1).astype(np.float32)
    if not np.isfinite(pose).all():
        raise Unusable(f"lines {lines.number - JOINTS + 1} to {lines.number} have NaN or infinite joints")
    pose[pose[:, 3] <= 0] = 0
    return head[0], pose


class _Lines:
    """The lines of a file, blank ones left out, read one after the other."""

    def __init__(self, content: bytes) -> None:
        self.lines = iter(content.decode("ascii", errors="replace").splitlines())
        self.number = 0

    def words(self, what: str) -> list[str]:
        for line in self.lines:
            self.number += 1
            words = line.split()
            if words:
                return words
        raise Unusable(f"it ends after line {self.number}, where {what} is expected; it may be truncated")

    def count(self, what: str) -> int:
        words = self.words(what)
        if len(words) != 1 or not (words[0].isascii() and words[0].isdecimal()) or len(words[0]) > 9:
            raise Unusable(f"line {self.number}: expected {what}, it is {' '.join(words)[:40]!r}")
        return int(words[0])

    def joint(self) -> list[float]:
        words = self.words("a joint")
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = []
        if len(row) != NUMBERS:
            raise Unusable(f"line {self.number}: expected a joint, {NUMBERS} numbers")
        return row

    def end(self, length: int) -> None:
        for line in self.lines:
            self.number += 1
            if line.strip():
                raise Unusable(f"line {self.number}: there is more after the {length} frames it announces")
