"""Broken and hostile files through the readers of pose estimators: thousands of mutations of valid ones.

Whatever is in a file, a reader names it and goes on: no exception, finite poses, bounded time. The long run:
``python -m pytest -m slow tests/test_formats_estimators_fuzz.py``.
"""

from __future__ import annotations

import copy
import json
import random
import time

import numpy as np
import pytest
from estimator_files import alphapose, coco, dump, figure, landmarks, mediapipe_csv, openpose_person, yolo_detection, yolo_txt

from stgcn.formats import alphapose as alphapose_format
from stgcn.formats import coco_json, mediapipe, scan, yolo
from stgcn.formats import openpose as openpose_format
from stgcn.formats.base import Options

BODY = figure(17, frames=3)
SHARES = figure(33, frames=3, scale=(1, 1))
HAND = figure(21)[0]
JUNK = [
    None, True, "", "x", "1", "__import__('os').system('touch owned')", "../../etc/passwd", "\0", "\ud800", 0, -1, 1.5, 1e308,
    -1e300, 10**30, float("nan"), float("inf"), [], {}, [[]], [{}], [None], [[[[[]]]]], [1] * 51, ["a"] * 51, [0.0] * 99,
    [True] * 51, [[1, 2, 3]] * 33, {"x": 1}, {"landmark": []}, {"landmarks": {"landmark": {"landmarks": None}}},
    {"0": {"0": 1}}, ]  # fmt: skip


def openpose_frame(folder):
    beside = {"hand_left_keypoints_2d": HAND.ravel().tolist()}
    content = {"version": 1.3, "people": [openpose_person(figure(25)[0], 3, **beside), openpose_person(figure(25)[1])]}
    return dump(folder / "v_000_keypoints.json", content)


def mediapipe_video(folder):
    hands = {"multi_hand_landmarks": [landmarks(HAND)], "multi_handedness": [{"classification": [{"label": "Left"}]}]}
    frames = [{"frame": t, "pose_landmarks": landmarks(p), **hands} for t, p in enumerate(SHARES)]
    return dump(folder / "x.json", {"fps": 30, "frames": frames})


SEEDS = {
    "openpose": (openpose_format, openpose_frame),
    "coco": (coco_json, lambda folder: coco(folder / "x.json", BODY)),
    "coco results": (coco_json, lambda folder: coco(folder / "x.json", BODY, results=True)),
    "alphapose": (alphapose_format, lambda folder: alphapose(folder / "x.json", BODY)),
    "alphapose cmu": (alphapose_format, lambda folder: alphapose(folder / "x.json", figure(18), form="cmu")),
    "alphapose poseflow": (alphapose_format, lambda folder: alphapose(folder / "x.json", BODY, form="poseflow")),
    "yolo txt": (yolo, lambda folder: next(yolo_txt(folder, SHARES[:1, :17], track=1).iterdir())),
    "yolo video": (yolo, lambda folder: dump(folder / "x.json", [[yolo_detection(p, 1)] for p in BODY])),
    "yolo frame": (yolo, lambda folder: dump(folder / "f_1.json", [yolo_detection(p, 1) for p in BODY])),
    "mediapipe video": (mediapipe, mediapipe_video),
    "mediapipe frame": (mediapipe, lambda folder: dump(folder / "f_1.json", {"poseLandmarks": [landmarks(SHARES[0])]})),
    "mediapipe wide": (mediapipe, lambda folder: mediapipe_csv(folder / "x.csv", SHARES)),
    "mediapipe long": (mediapipe, lambda folder: mediapipe_csv(folder / "x.csv", SHARES, style="long")),
}


def nodes(value, path=()):
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from nodes(child, (*path, key))


def mutated_tree(content, rng):
    """A copy of a JSON value with some of its nodes replaced, taken away or doubled."""
    tree = json.loads(content)
    for _ in range(rng.randint(1, 3)):
        places = list(nodes(tree))
        path = rng.choice(places if rng.random() < 0.5 else [p for p in places if len(p) <= 4])
        if not path:
            return json.dumps(copy.deepcopy(rng.choice(JUNK))).encode()
        holder = tree
        for key in path[:-1]:
            holder = holder[key]
        act = rng.randint(0, 3)
        if act == 0 and isinstance(holder, list | dict):
            del holder[path[-1]]
        elif act == 1 and isinstance(holder, list):
            holder.insert(path[-1], copy.deepcopy(rng.choice(JUNK)))
        else:
            holder[path[-1]] = copy.deepcopy(rng.choice(JUNK))
    return json.dumps(tree).encode()


def mutated_bytes(content, rng):
    data = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        if not data:
            break
        place, length = rng.randrange(len(data)), rng.choice([1, 1, 2, 8, 60])
        piece = rng.choice(
            [b"", b"\0", b"\xff", b"9" * 400, b"-", b"1e999", b"NaN", b"]", b"{", b'"', b"[" * 3000, b",,", b"\n", b";"]
        )
        data[place : place + length] = piece
    return bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.2 else data)


def check(recordings):
    for recording in recordings:
        assert recording.frames
        assert recording.layout
        indices = [frame.index for frame in recording.frames]
        assert indices == sorted(set(indices))
        assert 0 <= indices[0] <= indices[-1] < recording.length < 10_000
        for frame in recording.frames:
            assert frame.people.dtype == np.float32
            assert frame.people.shape == (len(frame.ids), frame.people.shape[1], len(recording.channels))
            assert len(frame.ids) > 0
            assert np.isfinite(frame.people).all()
            assert all(own is None or (isinstance(own, str) and len(own) <= 110) for own in frame.ids)


def run(name, folder, cases, seed):
    module, write = SEEDS[name]
    path = write(folder)
    content = path.read_bytes()
    said = 0
    for case in range(cases):
        rng = random.Random(f"{name} {seed} {case}")
        tree = path.suffix == ".json" and rng.random() < 0.6
        path.write_bytes(mutated_tree(content, rng) if tree else mutated_bytes(content, rng))
        scan._json_kind.cache_clear()
        bad: list[tuple[str, str]] = []
        layout = rng.choice([None, None, "hand_21", "coco", "mediapipe_33", "own.yaml"])
        options = Options(lambda *named, into=bad: into.append(named), layout=layout)
        began = time.monotonic()
        units = module.units(folder)
        for unit in {*units, path}:  # also where it is not taken for one any more
            check(module.read(unit, folder, options))
        assert time.monotonic() - began < 5, case
        assert all(str(folder) in where and why for where, why in bad)
        said += bool(bad)
    assert said > cases / 10
    assert not list(folder.rglob("owned"))


@pytest.mark.parametrize("name", SEEDS)
def test_mutations_are_named_and_nothing_else(tmp_path, name):
    run(name, tmp_path / "a", 60, 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("name", SEEDS)
def test_many_mutations(tmp_path, name, seed):
    run(name, tmp_path / "a", 1000, seed)
