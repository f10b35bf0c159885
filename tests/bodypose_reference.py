"""What the reader of BodyPose files must give, written for plainness: number by number, all of it in memory."""

from __future__ import annotations

import math
import re

import numpy as np

from stgcn import jsonlist
from stgcn.errors import DataError

KEYS = {"3dbp": "pose3d", "25dbp": "pose25d", "2dbp": "pose25d"}
NAME = re.compile(r"-?[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def read(path, settings):
    """Gives tracks, {(stream, object): facts}, in the order of their first frame; sorted (record, problem); and the fault."""
    tracks, problems, fault = {}, [], ""
    try:
        for number, record in enumerate(jsonlist.items(path)):
            for stream, name, pose in poses(record, number, settings, problems):
                tracks.setdefault((stream, name), []).append((number, pose))
    except DataError as error:
        (fault,) = error.problems
    converted = {key: normalised(key[1], track, settings, problems) for key, track in tracks.items()}
    return converted, sorted(problems), fault


def identity(value):
    plain = isinstance(value, int | str) and not isinstance(value, bool)
    return str(value) if plain and NAME.fullmatch(str(value)) else None


def poses(record, number, settings, problems):
    def wrong(text):
        problems.append((number, text))

    if not isinstance(record, dict) or not isinstance(record.get("batches"), list):
        return wrong("expected {num_frames_in_batch, batches: [{objects: [...]}]}")
    batches = record["batches"]
    claimed = record.get("num_frames_in_batch")
    if claimed != len(batches):
        wrong(f"num_frames_in_batch is {str(claimed)[:40]}, but it has {len(batches)} batches")
    for index, batch in enumerate(batches):
        if not isinstance(batch, dict) or not isinstance(batch.get("objects"), list):
            wrong(f"batch {index} has no list of objects")
            continue
        stream = identity(batch.get("source_id", batch.get("batch_id", 0)))
        if stream is None:
            wrong(f"batch {index} has a source_id or batch_id that is neither a number nor a short name")
            continue
        seen = set()
        for thing in batch["objects"]:
            name = identity(thing.get("object_id")) if isinstance(thing, dict) else None
            if name is None:
                wrong("an object has no object_id that is a number or a short name")
                continue
            pose, problem = numbers(name, thing, settings)
            if problem:
                wrong(problem)
            elif name in seen:
                wrong(f"object {name} appears twice in one frame")
            else:
                seen.add(name)
                yield stream, name, pose
    return None


def numbers(name, thing, settings):
    key, expected = KEYS[settings.pose_type], 4 * settings.num_joints
    pose = thing.get(key)
    if not isinstance(pose, list):
        return None, f"object {name} has no list {key!r}, which pose_type {settings.pose_type} reads"
    if len(pose) != expected:
        return None, (
            f"object {name} has {len(pose)} numbers in {key}; expected {expected}: x, y, z, confidence of each of "
            f"{settings.num_joints} joints (dataset_convert.num_joints)"
        )
    try:
        assert all(isinstance(value, int | float) for value in pose)
        return [float(value) for value in pose], ""
    except (AssertionError, OverflowError):
        return None, f"object {name} has values in {key} that are not numbers"


def normalised(name, track, settings, problems):
    """frames, poses float32 (frames, C, V) or None without any root, roots filled, missing joints."""
    rows = []
    for number, pose in track:
        finite = all(math.isfinite(value) for value in pose)
        rows.append(np.array(pose if finite else [0.0] * len(pose)).reshape(-1, 4))
        if not finite:
            problems.append((number, f"object {name} has NaN or infinite values"))
    threed = settings.pose_type == "3dbp"
    seen = [row[0] for row in rows if row[0, 3] != 0]
    if threed and not seen:
        return len(rows), None, 0, 0
    root = seen[0] if threed else None
    filled = missing = 0
    result = []
    for (number, _), row in zip(track, rows, strict=True):
        if row[0, 3] != 0:
            root = row[0]
        elif threed:
            filled += 1
        joints = []
        for x, y, z, confidence in row:
            missing += int(confidence == 0)
            with np.errstate(all="ignore"):
                if threed:
                    joint = [(np.float64(v) - root[c]) / settings.focal_length for c, v in enumerate((x, y, z))]
                else:
                    joint = [x / settings.input_width - 0.5, y / settings.input_height - 0.5, z]
                joint = np.array([0.0] * 3 if confidence == 0 else joint, dtype=np.float64).astype(np.float32)
            joints.append(joint[: 2 if settings.pose_type == "2dbp" else 3])
        pose = np.stack(joints, axis=1)
        if not np.isfinite(pose).all():
            problems.append((number, f"object {name} has NaN or infinite values"))
        result.append(pose)
    return len(rows), np.stack(result), filled, missing
