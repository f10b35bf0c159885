"""DeepStream BodyPose JSON into windows the plain way, which bench/convert.py measures the conversion against.

A straightforward reader of the format: the whole file by ``json.load``, a loop over records, persons and joints, windows filled
number by number and joined by repeated ``np.concatenate``. It knows no bad records, and no settings but the defaults; what it
writes is what ``dataset_convert`` writes, bit for bit. Shares no code with ``stgcn``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

JOINTS, CHANNELS = 34, 3
FOCAL_LENGTH = 1200.0
LONGEST, LENGTH, SHORTEST, OVERLAP = 300, 100, 10, 0.5

Pose = list[list[float]]  # x, y, z of each joint


def convert(source: Path, folder: Path) -> int:
    """Write ``stream_<s>_object_<id>.npy`` for every track that is long enough; gives how many."""
    with open(source, encoding="utf-8") as file:
        records = json.load(file)
    tracks: dict[tuple[int, int], list[Pose]] = {}
    roots: dict[tuple[int, int], list[float]] = {}
    for record in records:
        for batch in record["batches"]:
            for person in batch["objects"]:
                key = (batch["batch_id"], person["object_id"])
                tracks.setdefault(key, []).append(read_pose(person["pose3d"], key, roots))
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for (stream, object_id), track in tracks.items():
        windows = cut(track)
        if len(windows):
            np.save(folder / f"stream_{stream}_object_{object_id}.npy", windows)
            written += 1
    return written


def read_pose(numbers: list[float], key: tuple[int, int], roots: dict[tuple[int, int], list[float]]) -> Pose:
    """One pose relative to its root joint, or to where that was last seen."""
    if numbers[3] != 0:
        roots[key] = numbers[:3]
    root = roots[key]
    pose = []
    for joint in range(JOINTS):
        x, y, z, confidence = numbers[4 * joint : 4 * joint + 4]
        if confidence == 0:
            pose.append([0.0, 0.0, 0.0])
        else:
            pose.append([(x - root[0]) / FOCAL_LENGTH, (y - root[1]) / FOCAL_LENGTH, (z - root[2]) / FOCAL_LENGTH])
    return pose


def cut(track: list[Pose]) -> np.ndarray:
    """Windows (W, C, T, V, 1) of a track, none when it is too short."""
    windows = np.zeros((0, CHANNELS, LONGEST, JOINTS, 1), dtype=np.float32)
    start, reached = 0, 0
    while len(track) - start >= SHORTEST and reached < len(track):
        reached = min(start + LENGTH, len(track))
        window = np.zeros((1, CHANNELS, LONGEST, JOINTS, 1), dtype=np.float32)
        for frame in range(start, reached):
            for joint in range(JOINTS):
                for channel in range(CHANNELS):
                    window[0, channel, frame - start, joint, 0] = track[frame][joint][channel]
        windows = np.concatenate((windows, window))
        start += int(LENGTH * (1 - OVERLAP))
    return windows


if __name__ == "__main__":
    sys.exit(0 if convert(Path(sys.argv[1]), Path(sys.argv[2])) else 1)
