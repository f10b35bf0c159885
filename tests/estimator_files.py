"""Small files as pose estimators write them: the same walking figure in each format. Used by the tests of the readers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

MEDIAPIPE = [
    "NOSE",
    "LEFT_EYE_INNER",
    "LEFT_EYE",
    "LEFT_EYE_OUTER",
    "RIGHT_EYE_INNER",
    "RIGHT_EYE",
    "RIGHT_EYE_OUTER",
    "LEFT_EAR",
    "RIGHT_EAR",
    "MOUTH_LEFT",
    "MOUTH_RIGHT",
    "LEFT_SHOULDER",
    "RIGHT_SHOULDER",
    "LEFT_ELBOW",
    "RIGHT_ELBOW",
    "LEFT_WRIST",
    "RIGHT_WRIST",
    "LEFT_PINKY",
    "RIGHT_PINKY",
    "LEFT_INDEX",
    "RIGHT_INDEX",
    "LEFT_THUMB",
    "RIGHT_THUMB",
    "LEFT_HIP",
    "RIGHT_HIP",
    "LEFT_KNEE",
    "RIGHT_KNEE",
    "LEFT_ANKLE",
    "RIGHT_ANKLE",
    "LEFT_HEEL",
    "RIGHT_HEEL",
    "LEFT_FOOT_INDEX",
    "RIGHT_FOOT_INDEX",
]


def figure(joints, frames=4, seed=0, scale=(640, 480)):
    """Poses (T, V, 3): x, y in pixels (or what ``scale`` says) and a score."""
    rng = np.random.default_rng(seed)
    poses = rng.uniform(0.1, 0.9, (frames, joints, 3))
    poses[..., :2] *= scale
    return np.round(poses, 4)


def dump(path: Path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def openpose_person(pose, person_id=-1, **beside):
    empty = dict.fromkeys(
        [
            "face_keypoints_2d",
            "hand_left_keypoints_2d",
            "hand_right_keypoints_2d",
            "pose_keypoints_3d",
            "face_keypoints_3d",
            "hand_left_keypoints_3d",
            "hand_right_keypoints_3d",
        ],
        (),
    )
    return {"person_id": [person_id], "pose_keypoints_2d": pose.ravel().tolist(), **empty, **beside}


def openpose(folder, *people, stem="clip", first=0):
    """``people``: poses (T, V, 3) each."""
    for t in range(len(people[0])):
        frame = {"version": 1.3, "people": [openpose_person(person[t]) for person in people]}
        dump(folder / f"{stem}_{t + first:012d}_keypoints.json", frame)
    return folder


def coco(path, poses, *, video="walk", track=3, results=False):
    """An annotation file of one video, or the list of results."""
    annotations = [
        {"id": 100 + t, "image_id": t + 1, "category_id": 1, "keypoints": p.ravel().tolist(), "num_keypoints": len(p),
         "bbox": [0, 0, 9, 9], "area": 81.0, "iscrowd": 0, "track_id": track, "score": 0.9}
        for t, p in enumerate(poses)
    ]  # fmt: skip
    if results:
        keep = ("image_id", "category_id", "keypoints", "score")
        return dump(path, [{key: a[key] for key in keep} for a in annotations])
    images = [
        {"id": t + 1, "file_name": f"{video}/{t:06d}.jpg", "width": 640, "height": 480, "license": 1} for t in range(len(poses))
    ]
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": [], "skeleton": []}
    return dump(path, {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": [category]})


def alphapose(path, poses, *, form="default", track=1):
    """alphapose-results.json in the flavour ``form``: default, cmu, open or poseflow."""
    if form == "default":
        content = [
            {"image_id": f"{t}.jpg", "category_id": 1, "keypoints": p.ravel().tolist(), "score": 2.9, "box": [1.0, 2.0, 3.0, 4],
             "idx": [float(track)]}
            for t, p in enumerate(poses)
        ]  # fmt: skip
    elif form == "poseflow":
        content = {
            f"{t}.jpg": [
                {"keypoints": p[:, :2].ravel().tolist(), "scores": p[:, 2:].tolist(), "box": [1, 2, 3, 4], "idx": track}
            ]
            for t, p in enumerate(poses)
        }
    else:
        people, key = {"cmu": ("bodies", "joints"), "open": ("people", "pose_keypoints_2d")}[form]
        content = {f"{t}.jpg": {"version": "AlphaPose v0.3", people: [{key: p.ravel().tolist()}]} for t, p in enumerate(poses)}
    return dump(path, content)


def yolo_txt(folder, poses, *, stem="clip", confidence=True, track=None, first=1):
    """Label files of predictions; ``poses`` normalised."""
    for t, p in enumerate(poses):
        words = [0, 0.5, 0.5, 0.2, 0.4, *p.ravel(), *([0.91] if confidence else []), *([] if track is None else [track])]
        dump(folder / f"{stem}_{t + first}.txt", " ".join(f"{word:g}" for word in words) + "\n")
    return folder


def yolo_detection(pose, track=None):
    keypoints = {key: pose[:, i].tolist() for i, key in enumerate(("x", "y", "visible"))}
    box = {"x1": 1.0, "y1": 2.0, "x2": 30.0, "y2": 40.0}
    own = {} if track is None else {"track_id": track}
    return {"name": "person", "class": 0, "confidence": 0.9, "box": box, **own, "keypoints": keypoints}


def landmarks(pose, z=0.25):
    return [{"x": x, "y": y, "z": z, "visibility": v} for x, y, v in pose.tolist()]


def mediapipe_csv(path, poses, *, style="numbered"):
    """A table of (T, 33, 3) poses: ``numbered`` (x0, y0, z0, v0), ``named`` (NOSE_x) or ``long``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = {"numbered": "xyzv", "named": ["x", "y", "z", "visibility"], "long": ["x", "y", "z", "visibility"]}[style]
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        if style == "long":
            rows.writerow(["frame", "landmark", *axes])
            rows.writerows(
                [t, MEDIAPIPE[v], x, y, 0.25, s] for t, p in enumerate(poses) for v, (x, y, s) in enumerate(p.tolist())
            )
            return path
        names = (
            [f"{a}{v}" for v in range(33) for a in axes]
            if style == "numbered"
            else [f"{n}_{a}" for n in MEDIAPIPE for a in axes]
        )
        rows.writerow(["frame", *names])
        rows.writerows([t, *(number for x, y, s in p.tolist() for number in (x, y, 0.25, s))] for t, p in enumerate(poses))
    return path
