"""Readers of OpenPose, COCO JSON, AlphaPose, YOLO-pose and MediaPipe, on small files of the structure that the tools write."""

from __future__ import annotations

import json

import numpy as np
import pytest
from estimator_files import (
    MEDIAPIPE,
    alphapose,
    coco,
    dump,
    figure,
    landmarks,
    mediapipe_csv,
    openpose,
    openpose_person,
    yolo_detection,
    yolo_txt,
)

from stgcn.errors import DataError
from stgcn.formats import alphapose as alphapose_format
from stgcn.formats import coco_json, mediapipe, scan, table, yolo
from stgcn.formats import openpose as openpose_format
from stgcn.formats.base import Options

MODULES = {module.NAME: module for module in (openpose_format, coco_json, alphapose_format, yolo, mediapipe)}


def read(name, root, *, bad=None, **said):
    """All recordings under ``root``; problems go to the list ``bad``, or fail."""

    def fail(where, why):
        raise AssertionError(f"{where}: {why}")

    options = Options((lambda where, why: bad.append((where, why))) if bad is not None else fail, **said)
    module = MODULES[name]
    return [recording for unit in module.units(root) for recording in module.read(unit, root, options)]


def only(name, root, **said):
    (recording,) = read(name, root, **said)
    assert [frame.index for frame in recording.frames] == sorted({frame.index for frame in recording.frames})
    for frame in recording.frames:
        assert frame.people.dtype == np.float32
        assert frame.people.ndim == 3
        assert len(frame.ids) == len(frame.people)
        assert frame.people.shape[2] == len(recording.channels)
    return recording


def stacked(recording):
    """(T, V, C) of a recording of one person in every frame."""
    return np.concatenate([frame.people for frame in recording.frames])


# OpenPose


@pytest.mark.parametrize(("joints", "layout"), [(25, "body_25"), (18, "openpose")])
def test_openpose_frames_become_a_recording(tmp_path, joints, layout):
    poses = figure(joints)
    openpose(tmp_path / "walking" / "clip1", poses)
    found = only("openpose", tmp_path, size=(640, 480))
    assert (found.name, found.layout, found.channels, found.length, found.size) == (
        "walking/clip1", layout, ("x", "y", "score"), 4, (640, 480),
    )  # fmt: skip
    assert found.frames[0].ids == (None,)
    np.testing.assert_array_equal(stacked(found), poses.astype(np.float32))


def test_openpose_clips_of_a_class_in_one_folder_are_apart(tmp_path):
    openpose(tmp_path / "walking", figure(25), stem="a")
    openpose(tmp_path / "walking", figure(25), stem="b_2", first=7)
    openpose(tmp_path / "sitting", figure(25), stem="c")
    found = read("openpose", tmp_path)
    assert [r.name for r in found] == ["sitting/c", "walking/a", "walking/b_2"]
    assert [(r.length, r.frames[0].index) for r in found] == [(4, 0)] * 3
    assert found[2].facts == {"first_frame": 7}


def test_openpose_people_empty_frames_and_unseen_joints(tmp_path):
    poses = figure(25)
    poses[0, 4] = 0
    openpose(tmp_path, poses, figure(25, seed=1))
    dump(tmp_path / f"clip_{4:012d}_keypoints.json", {"version": 1.3, "people": []})
    found = only("openpose", tmp_path)
    assert found.length == 5
    assert [frame.people.shape for frame in found.frames] == [(2, 25, 3)] * 4
    assert not found.frames[0].people[0, 4].any()


def test_openpose_ids_3d_and_old_names(tmp_path):
    poses = figure(25)
    for t, pose in enumerate(poses):
        deep = np.insert(pose, 2, 1.5, axis=1)
        person = openpose_person(pose, 7, pose_keypoints_3d=deep.ravel().tolist())
        dump(tmp_path / "deep" / f"v_{t}_keypoints.json", {"version": 1.3, "people": [person]})
        dump(
            tmp_path / "old" / f"v_{t}_keypoints.json", {"version": 1.0, "people": [{"pose_keypoints": pose.ravel().tolist()}]}
        )
    deep, old = read("openpose", tmp_path)
    assert deep.channels == ("x", "y", "z", "score")
    assert deep.frames[0].ids == ("7",)
    assert (stacked(deep)[..., 2] == 1.5).all()
    np.testing.assert_array_equal(stacked(old), poses.astype(np.float32))


def test_openpose_hands_when_asked_for(tmp_path):
    hand = figure(21)[0].ravel().tolist()
    person = openpose_person(figure(25)[0], hand_left_keypoints_2d=hand, hand_right_keypoints_2d=[0.0] * 63)
    dump(tmp_path / "v_0_keypoints.json", {"version": 1.3, "people": [person]})
    found = only("openpose", tmp_path, layout="hand_21")
    assert (found.layout, found.frames[0].ids, found.frames[0].people.shape) == ("hand_21", ("left",), (1, 21, 3))


def test_openpose_names_what_it_cannot_use(tmp_path):
    openpose(tmp_path, figure(25))
    good = openpose_person(figure(25)[0])
    short = {"pose_keypoints_2d": [1.0] * 30}
    words = {"pose_keypoints_2d": ["x"] * 75}
    nan = {"pose_keypoints_2d": [float("nan")] * 75}
    dump(tmp_path / f"clip_{4:012d}_keypoints.json", {"people": [good, short, words, nan, 5]})
    dump(tmp_path / f"clip_{5:012d}_keypoints.json", '{"people": [{"pose_key')
    bad = []
    found = only("openpose", tmp_path, bad=bad)
    assert (found.length, len(found.frames)) == (6, 5)
    assert [where.rpartition("/")[2] for where, _ in bad] == [
        *(f"clip_{4:012d}_keypoints.json: person {i}" for i in (1, 2, 3, 4)),
        f"clip_{5:012d}_keypoints.json",
    ]
    assert "10 joints" in bad[0][1]
    assert "not numbers" in bad[1][1]
    assert "truncated" in bad[4][1]
    assert bad[4][1].startswith("it is broken in record")  # the file is named already


def test_other_joint_counts_need_a_layout(tmp_path):
    openpose(tmp_path, figure(15))
    bad = []
    assert read("openpose", tmp_path, bad=bad) == []
    assert "dataset_convert.layout" in bad[0][1]
    assert only("openpose", tmp_path, layout="mpi_15.yaml").layout == "mpi_15.yaml"
    bad.clear()
    assert read("openpose", tmp_path, bad=bad, layout="coco") == []
    assert "layout coco has 17" in bad[0][1]


# COCO


def test_coco_annotations(tmp_path):
    poses = figure(17)
    coco(tmp_path / "annotations.json", poses)
    found = only("coco_json", tmp_path)
    assert (found.name, found.layout, found.length, found.size) == ("annotations", "coco", 4, (640, 480))
    assert found.frames[0].ids == ("3",)
    np.testing.assert_array_equal(stacked(found), poses.astype(np.float32))
    assert only("coco_json", tmp_path / "annotations.json").name == "walk"


def test_coco_visibility_becomes_a_score(tmp_path):
    poses = figure(17)
    poses[..., 2] = np.arange(17) % 3
    poses[:, poses[0, :, 2] == 0] = 0
    coco(tmp_path / "x.json", poses)
    np.testing.assert_array_equal(stacked(only("coco_json", tmp_path))[..., 2], (poses[..., 2] / 2).astype(np.float32))


def test_coco_results_are_one_recording(tmp_path):
    coco(tmp_path / "a" / "clip.json", figure(17), results=True)
    found = only("coco_json", tmp_path)
    assert (found.name, found.length, found.frames[0].ids, found.facts) == ("a/clip", 4, (None,), {"first_frame": 1})


def test_coco_videos_in_any_order_with_empty_frames(tmp_path):
    pose = figure(17)[0].ravel().tolist()
    images = [{"id": 10 * v + f, "video_id": v, "frame_id": f, "file_name": "x.png"} for v in (1, 2) for f in range(3)]
    annotations = [{"image_id": i, "keypoints": pose, "attributes": {"track_id": 4}} for i in (21, 10, 20, 12)]
    videos = [{"id": 1, "name": "wave/one.mp4", "action": "wave"}, {"id": 2, "file_name": "sit/two.mp4"}]
    dump(tmp_path / "all.json", {"annotations": annotations, "videos": videos, "images": images})
    found = {r.name: r for r in read("coco_json", tmp_path)}
    assert sorted(found) == ["all/sit/two", "all/wave/one"]
    one = found["all/wave/one"]
    assert ([f.index for f in one.frames], one.length, one.label, one.frames[0].ids) == ([0, 2], 3, "wave", ("4",))
    assert found["all/sit/two"].length == 3


def test_coco_joints_that_are_not_cocos_travel_along(tmp_path):
    names = ["Head Top", "neck", "hip"]
    category = {"id": 1, "keypoints": names, "skeleton": [[1, 2], [2, 3]]}
    annotation = {"image_id": 1, "keypoints": figure(3)[0].ravel().tolist()}
    dump(
        tmp_path / "x.json",
        {"images": [{"id": 1, "file_name": "0.jpg"}], "annotations": [annotation], "categories": [category]},
    )
    found = only("coco_json", tmp_path)
    assert found.layout == "custom"
    assert found.facts["layout"] == {"joints": ["head_top", "neck", "hip"], "edges": [[0, 1], [1, 2]], "center": 0}


def test_coco_names_bad_annotations_and_broken_files(tmp_path):
    path = coco(tmp_path / "x.json", figure(17))
    content = json.loads(path.read_text())
    content["annotations"] += [{"image_id": 99, "keypoints": [1] * 51}, {"image_id": 1, "keypoints": [1] * 50}, 7]
    content["annotations"] += [{"image_id": 1, "keypoints": [0] * 51, "num_keypoints": 0}]  # a box alone: nothing is wrong
    dump(path, content)
    dump(tmp_path / "y.json", path.read_text()[:-40])
    bad = []
    only("coco_json", tmp_path, bad=bad)
    assert [where.rpartition("/")[2] for where, _ in bad] == [*(f"x.json: annotation {i}" for i in (4, 5, 6)), "y.json"]


# AlphaPose


@pytest.mark.parametrize(("joints", "layout", "kept"), [(17, "coco", 17), (26, "halpe_26", 26), (136, "halpe_26", 26)])
def test_alphapose_default(tmp_path, joints, layout, kept):
    poses = figure(joints)
    alphapose(tmp_path / "walking" / "clip1" / "alphapose-results.json", poses)
    found = only("alphapose", tmp_path)
    assert (found.name, found.layout, found.length, found.frames[0].ids) == ("walking/clip1", layout, 4, ("1",))
    np.testing.assert_array_equal(stacked(found), poses[:, :kept].astype(np.float32))


@pytest.mark.parametrize(
    ("form", "joints", "layout"), [("cmu", 18, "openpose"), ("open", 18, "openpose"), ("poseflow", 17, "coco")]
)
def test_alphapose_other_flavours(tmp_path, form, joints, layout):
    poses = figure(joints)
    alphapose(tmp_path / "clip.json", poses, form=form)
    found = only("alphapose", tmp_path)
    assert (found.name, found.layout, found.length) == ("clip", layout, 4)
    np.testing.assert_array_equal(stacked(found), poses.astype(np.float32))


@pytest.mark.parametrize("form", ["cmu", "open"])
def test_alphapose_frames_in_files_and_what_repeats_them(tmp_path, form):
    poses = figure(18)
    path = alphapose(tmp_path / "clip" / "alphapose-results.json", poses, form=form)
    for name, frame in json.loads(path.read_text()).items():
        dump(path.parent / "sep-json" / name.replace("jpg", "json"), frame)
    assert len(alphapose_format.units(tmp_path)) == 1
    path.unlink()
    found = only("alphapose", tmp_path)
    assert (found.name, found.length) == ("clip", 4)
    np.testing.assert_array_equal(stacked(found), poses.astype(np.float32))


def test_alphapose_tracked_file_takes_the_place_of_the_untracked(tmp_path):
    alphapose(tmp_path / "alphapose-results.json", figure(17))
    tracked = alphapose(tmp_path / "alphapose-results-forvis-tracked.json", figure(17), form="poseflow")
    assert alphapose_format.units(tmp_path) == [tracked]


def test_alphapose_gaps_and_images_of_several_clips(tmp_path):
    pose = figure(17)[0].ravel().tolist()
    records = [{"image_id": f"{clip}_{t}.png", "keypoints": pose, "score": 1.0} for t in (0, 3) for clip in "ab"]
    dump(tmp_path / "res.json", records)
    assert [(r.name, r.length, len(r.frames)) for r in read("alphapose", tmp_path)] == [("res/a", 4, 2), ("res/b", 4, 2)]


def test_alphapose_names_bad_records(tmp_path):
    path = alphapose(tmp_path / "x.json", figure(17))
    records = json.loads(path.read_text())
    dump(path, [*records, {"image_id": "9.jpg"}, 3, {"image_id": "8.jpg", "keypoints": [1] * 48}])
    bad = []
    only("alphapose", tmp_path, bad=bad)
    assert [where.rpartition("/")[2] for where, _ in bad] == [f"x.json: record {i}" for i in (4, 5, 6)]


# YOLO


@pytest.mark.parametrize(
    ("width", "confidence", "track", "ids"),
    [
        (3, True, None, None),
        (3, True, 5, "5"),
        (3, False, 5, "5"),
        (3, False, None, None),
        (2, True, None, None),
        (2, False, 5, "5"),
    ],
)
def test_yolo_labels(tmp_path, width, confidence, track, ids):
    poses = figure(17, scale=(1, 1))[..., :width]
    yolo_txt(tmp_path / "walking" / "run1" / "labels", poses, confidence=confidence, track=track)
    found = only("yolo", tmp_path)
    assert (found.name, found.layout, found.length, found.size) == ("walking/run1", "coco", 4, (1, 1))
    assert found.frames[0].ids == (ids,)
    np.testing.assert_allclose(stacked(found)[..., :width], poses, rtol=1e-5)


def test_yolo_frames_without_people_are_gaps(tmp_path):
    folder = yolo_txt(tmp_path / "labels", figure(17, frames=6, scale=(1, 1)), stem="v")
    (folder / "v_3.txt").unlink()
    (folder / "v_4.txt").write_text("")
    found = only("yolo", tmp_path)
    assert (found.name, found.length, [f.index for f in found.frames]) == ("v", 6, [0, 1, 4, 5])


def test_yolo_labels_of_a_data_set_with_other_keypoints(tmp_path):
    (tmp_path / "data.yaml").write_text("path: .\nkpt_shape: [26, 2]\nnames: {0: person}\n")
    yolo_txt(tmp_path / "labels" / "train", figure(26, scale=(1, 1))[..., :2], confidence=False)
    assert only("yolo", tmp_path).layout == "halpe_26"


def test_yolo_visibility_of_labels(tmp_path):
    poses = figure(17, scale=(1, 1))
    poses[..., 2] = np.arange(17) % 3
    yolo_txt(tmp_path, poses, confidence=False)
    np.testing.assert_array_equal(stacked(only("yolo", tmp_path))[..., 2], (poses[..., 2] / 2).astype(np.float32))


def as_frames(detections):
    return detections


def as_numbered(detections):
    return [{"frame": t + 5, "detections": frame} for t, frame in enumerate(detections)]


def as_flat(detections):
    return [{"frame": t, **person} for t, frame in enumerate(detections) for person in frame]


def as_keyed(detections):
    return {str(t): frame for t, frame in enumerate(detections)}


def as_text(detections):
    return [json.dumps(frame) for frame in detections]


def as_object(detections):
    return {"fps": 30, "frames": as_numbered(detections)}


@pytest.mark.parametrize("form", [as_frames, as_numbered, as_flat, as_keyed, as_text, as_object])
def test_yolo_json_of_a_video(tmp_path, form):
    poses = figure(17)
    dump(tmp_path / "a" / "clip.json", form([[yolo_detection(p, 2)] for p in poses]))
    found = only("yolo", tmp_path, size=(640, 480))
    assert (found.name, found.length, found.size, found.frames[0].ids) == ("a/clip", 4, (640, 480), ("2",))
    np.testing.assert_array_equal(stacked(found), poses.astype(np.float32))


def test_yolo_json_of_frames(tmp_path):
    for t, pose in enumerate(figure(17)):
        dump(tmp_path / "walking" / "c" / f"frame_{t:04d}.json", [yolo_detection(pose)] if t else [])
    found = only("yolo", tmp_path)
    assert (found.name, found.length, len(found.frames)) == ("walking/c", 4, 3)


def test_yolo_names_bad_lines_and_detections(tmp_path):
    folder = yolo_txt(tmp_path / "t", figure(17, scale=(1, 1)))
    (folder / "clip_9.txt").write_text("0 0.5 0.5 0.1 0.1 1 2 3\n" + "x " * 57 + "\n0 .5 .5 .1 .1 " + "nan " * 51 + "\n")
    dump(
        tmp_path / "j" / "v.json",
        [[yolo_detection(p)] for p in figure(17)] + [[{"name": "dog"}], 4, [{"keypoints": {"x": [1]}}]],
    )
    bad = []
    assert len(read("yolo", tmp_path, bad=bad)) == 2
    assert [where.rpartition("/")[2] for where, _ in bad] == [
        "v.json: record 4: detection 0", "v.json: record 5", "v.json: record 6: detection 0",
        "clip_9.txt: line 1", "clip_9.txt: line 2", "clip_9.txt: line 3",
    ]  # fmt: skip


# MediaPipe

FRAME_FORMS = {
    "snake": lambda p: {"pose_landmarks": landmarks(p)},
    "camel": lambda p: {"poseLandmarks": landmarks(p), "poseWorldLandmarks": landmarks(p, z=9)},
    "tasks": lambda p: {"landmarks": [landmarks(p)], "worldLandmarks": [landmarks(p, z=9)]},
    "protobuf": lambda p: {"poseLandmarks": {"landmark": landmarks(p)}},
    "bare": landmarks,
    "lists": lambda p: {"landmarks": [[x, y, 0.25, v] for x, y, v in p.tolist()]},
    "flat": lambda p: {"frame_idx": 0, "pose": [n for x, y, v in p.tolist() for n in (x, y, 0.25, v)]},
    "named": lambda p: {"landmarks": dict(reversed(list(zip(MEDIAPIPE, landmarks(p), strict=True))))},
    "holistic": lambda p: {"pose_landmarks": landmarks(p), "face_landmarks": landmarks(figure(468)[0]),
                           "left_hand_landmarks": None, "right_hand_landmarks": landmarks(p[:21])},
    "nested": lambda p: {"frame_id": 0, "landmarks": {"pose_landmarks": landmarks(p), "left_hand_landmarks": []}},
}  # fmt: skip


def unnumbered(frame):
    return {k: v for k, v in frame.items() if k not in scan.FRAME_KEYS} if isinstance(frame, dict) else frame


@pytest.mark.parametrize("form", FRAME_FORMS)
@pytest.mark.parametrize("shape", ["list", "object", "keyed", "files"])
def test_mediapipe_pose(tmp_path, form, shape):
    poses = figure(33, scale=(1, 1))
    frames = [unnumbered(FRAME_FORMS[form](p)) for p in poses]
    if shape == "files":
        for t, frame in enumerate(frames):
            dump(tmp_path / "walking" / "clip1" / f"f{t}.json", frame)
    else:
        content = {"list": frames, "object": {"fps": 25.0, "frames": frames}, "keyed": dict(enumerate(frames))}[shape]
        dump(tmp_path / "walking" / "clip1.json", content)
    found = only("mediapipe", tmp_path)
    assert (found.name, found.layout, found.channels, found.length, found.size) == (
        "walking/clip1", "mediapipe_33", ("x", "y", "z", "score"), 4, (1, 1),
    )  # fmt: skip
    assert found.fps == (25.0 if shape == "object" else None)
    poses = np.insert(poses, 2, 0.25, axis=2)
    np.testing.assert_array_equal(stacked(found), poses.astype(np.float32))


def test_mediapipe_frames_without_anyone_and_with_numbers(tmp_path):
    pose = landmarks(figure(33, scale=(1, 1))[0])
    frames = [{"frame": 10, "pose_landmarks": pose}, {"frame": 11, "pose_landmarks": None}, {"frame": 12, "pose_landmarks": []}]
    dump(
        tmp_path / "x.json",
        {"width": 640, "height": 480, "label": "wave", "frames": [*frames, {"frame": 13, "pose_landmarks": pose}]},
    )
    found = only("mediapipe", tmp_path)
    assert (found.length, [f.index for f in found.frames], found.label) == (4, [0, 3], "wave")


def test_mediapipe_world_alone_and_no_visibility(tmp_path):
    pose = [[x - 0.5, y - 0.5, 0.1] for x, y, _ in figure(33, scale=(1, 1))[0].tolist()]
    dump(tmp_path / "x.json", [{"pose_world_landmarks": pose}])
    found = only("mediapipe", tmp_path)
    assert (found.channels, found.size) == (("x", "y", "z"), None)


SIDES = [{"classification": [{"index": 0, "label": "Right"}]}, {"classification": [{"label": "Left"}]}]
CATEGORIES = [[{"categoryName": "Right"}], [{"categoryName": "Left"}]]
HANDS = {
    "hands": lambda h: {"multi_hand_landmarks": [landmarks(h)] * 2, "multi_handedness": SIDES},
    "tasks": lambda h: {"landmarks": [landmarks(h)] * 2, "worldLandmarks": [], "handednesses": CATEGORIES},
    "holistic": lambda h: {
        "pose_landmarks": landmarks(figure(33)[0]), "right_hand_landmarks": landmarks(h), "left_hand_landmarks": landmarks(h),
    },
}  # fmt: skip


@pytest.mark.parametrize("form", HANDS)
def test_mediapipe_hands(tmp_path, form):
    hand = figure(21, scale=(1, 1))[0]
    dump(tmp_path / "x.json", [HANDS[form](hand)])
    found = only("mediapipe", tmp_path, layout="hand_21" if form == "holistic" else None)
    assert (found.layout, sorted(found.frames[0].ids)) == ("hand_21", ["left", "right"])
    np.testing.assert_array_equal(found.frames[0].people[0][:, :2], hand[:, :2].astype(np.float32))


@pytest.mark.parametrize("style", ["numbered", "named", "long"])
def test_mediapipe_csv(tmp_path, style):
    poses = figure(33, scale=(1, 1))
    mediapipe_csv(tmp_path / "walking" / "clip1.csv", poses, style=style)
    found = only("mediapipe", tmp_path)
    assert (found.name, found.layout, found.channels, found.length, found.size) == (
        "walking/clip1", "mediapipe_33", ("x", "y", "z", "score"), 4, (1, 1),
    )  # fmt: skip
    np.testing.assert_allclose(stacked(found), np.insert(poses, 2, 0.25, axis=2), rtol=1e-6)


def test_mediapipe_csv_of_body_and_face_with_classes(tmp_path):
    rows = [",".join(["class", *(f"{a}{v}" for v in range(1, 502) for a in "xyzv")])]
    rows += [",".join(["happy", *(str(round(0.001 * v, 4)) for v in range(501 * 4))]) for _ in range(3)]
    dump(tmp_path / "x.csv", "\n".join(rows) + "\n")
    found = only("mediapipe", tmp_path)
    assert (found.label, stacked(found).shape) == ("happy", (3, 33, 4))


def test_mediapipe_csv_of_hands(tmp_path):
    header = ["frame", *(f"{side}_hand_{v}_{axis}" for side in ("left", "right") for v in range(21) for axis in "xyz")]
    rows = [[t, *([""] * 63 if t == 1 else [0.5] * 63), *[0.25] * 63] for t in range(3)]
    dump(tmp_path / "x.csv", "\n".join(",".join(map(str, row)) for row in [header, *rows]))
    found = only("mediapipe", tmp_path)
    assert [f.people.shape for f in found.frames] == [(2, 21, 3), (1, 21, 3), (2, 21, 3)]
    assert found.layout == "hand_21"


def test_mediapipe_names_bad_frames(tmp_path):
    pose = landmarks(figure(33, scale=(1, 1))[0])
    wrong = [{"pose_landmarks": pose[:30]}, {"pose_landmarks": [{"x": "a", "y": 1}] * 33}, 7]
    dump(tmp_path / "x.json", [{"pose_landmarks": pose}, *wrong])
    dump(tmp_path / "y.json", json.dumps([{"pose_landmarks": pose}] * 2)[:-9])
    bad = []
    only("mediapipe", tmp_path, bad=bad)
    assert [where.rpartition("/")[2] for where, _ in bad] == [
        "x.json: frame 1: person 0", "x.json: frame 2: person 0", "x.json: frame 3", "y.json",
    ]  # fmt: skip


# All of them


def a_folder_of(name, root):
    writers = {
        "openpose": lambda: openpose(root / "walking" / "c", figure(25)),
        "coco_json": lambda: coco(root / "walking" / "c.json", figure(17)),
        "alphapose": lambda: alphapose(root / "walking" / "c" / "alphapose-results.json", figure(17)),
        "yolo": lambda: yolo_txt(root / "walking" / "c", figure(17, scale=(1, 1))),
        "mediapipe": lambda: mediapipe_csv(root / "walking" / "c.csv", figure(33, scale=(1, 1))),
    }
    writers[name]()
    return root


@pytest.mark.parametrize("name", MODULES)
def test_no_two_formats_claim_the_same(tmp_path, name):
    root = a_folder_of(name, tmp_path)
    assert {other for other in MODULES if MODULES[other].units(root)} == {name}
    assert name == table.recognise(root).formats


@pytest.mark.parametrize("name", MODULES)
def test_a_bad_record_may_be_fatal(tmp_path, name):
    """What ``bad`` raises comes through, from wherever it is raised."""
    root = a_folder_of(name, tmp_path)
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    text = files[-1].read_text()
    files[-1].write_text(text.replace(text[len(text) // 2 :], "###"))

    def fatal(where, why):
        raise DataError(f"{where}: {why}")

    module = MODULES[name]
    units = [files[-1]] if name in ("coco_json", "alphapose") else module.units(root)
    with pytest.raises(DataError, match=files[-1].name):
        [list(module.read(unit, root, Options(fatal))) for unit in units]


def test_a_file_broken_from_its_start_is_named_among_others(tmp_path):
    coco(tmp_path / "a.json", figure(17))
    dump(tmp_path / "b.json", "")
    bad = []
    only("coco_json", tmp_path, bad=bad)
    assert [where.rpartition("/")[2] for where, _ in bad] == ["b.json"]
