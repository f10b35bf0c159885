"""NTU RGB+D, Kinetics-skeleton, PYSKL and lists of clips: files of the real structure are read, all else is named."""

from __future__ import annotations

import json
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgcn.errors import TrainerError
from stgcn.formats import kinetics_json, ntu_skeleton, pyskl
from stgcn.formats.base import Options

RNG = np.random.default_rng(4)


class Collected:
    """Options that collect what is bad."""

    def __init__(self, **options):
        self.problems = []
        self.options = Options(bad=lambda where, why: self.problems.append(f"{where}: {why}"), **options)

    def read(self, module, root, unit=None):
        units = [unit] if unit else module.units(root)
        return [recording for one in units for recording in module.read(one, root, self.options)]


@pytest.fixture
def collected():
    return Collected()


def skeleton_text(frames):
    """A .skeleton file of [{body id: (25, 3) positions}, ...]; the joint 24 of every body is only inferred."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for identity, joints in bodies.items():
            lines += [f"{identity} 0 1 1 1 1 0 0.02764709 -0.05745083 2", "25"]
            for v, (x, y, z) in enumerate(joints):
                state = 1 if v == 24 else 2
                lines.append(f"{x:.7f} {y:.7f} {z:.7f} 277.1 191.3 1036.2 519.5 -0.2 0.03 0.97 -0.02 {state}")
    return "\r\n".join(lines) + "\r\n"


NTU_BODIES = RNG.normal(size=(2, 6, 25, 3)).round(6)
NTU_FRAMES = [
    {} if t == 2 else {72057594037931101: NTU_BODIES[0, t]} | ({72057594037931102: NTU_BODIES[1, t]} if t > 3 else {})
    for t in range(6)
]


@pytest.fixture
def ntu(tmp_path):
    path = tmp_path / "nturgb+d_skeletons" / "S002C001P003R002A013.skeleton"
    path.parent.mkdir()
    path.write_text(skeleton_text(NTU_FRAMES))
    return path


def test_ntu_bodies_come_with_their_ids_and_the_name_is_understood(ntu, tmp_path, collected):
    (recording,) = collected.read(ntu_skeleton, tmp_path)
    assert collected.problems == []
    assert recording.name == "nturgb+d_skeletons/S002C001P003R002A013"
    assert (recording.label, recording.subject, recording.layout, recording.length) == ("A013", "P003", "ntu-rgb+d", 6)
    assert recording.facts == {
        **{"setup": 2, "camera": 1, "replication": 2, "class_number": 13},
        **{"cross_subject": "test", "cross_view": "test", "cross_setup": "train"},
    }
    assert [frame.index for frame in recording.frames] == [0, 1, 3, 4, 5]
    assert recording.frames[3].ids == ("72057594037931101", "72057594037931102")
    people = recording.frames[3].people
    assert recording.channels == ("x", "y", "z", "score")
    assert np.array_equal(people[..., :3], NTU_BODIES[:, 4].astype(np.float32))
    assert people[0, 23, 3] == 1
    assert people[0, 24, 3] == 0.5


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text[: len(text) // 2], "may be truncated|expected a joint"),
        (lambda text: text + "1\r\n", "more after the 6 frames"),
        (lambda text: text.replace("\n25\r", "\n24\r", 1), "line 4: expected 25 joints"),
        (lambda text: text.replace("277.1", "oops", 1), "line 5: expected a joint"),
        (lambda text: text.replace("277.1 ", "", 1), "line 5: expected a joint, 12 numbers"),
        (lambda text: text.replace("72057594037931102", "72057594037931101"), "frame 4 has the body .* twice"),
        (lambda text: "999999999\n" + text.partition("\n")[2], "it ends after line"),
        (lambda text: skeleton_text([{}, {}]), "nobody is in it"),
        (lambda text: "", "the number of frames is expected"),
        (lambda text: text.replace(f"{NTU_BODIES[0, 0, 0, 0]:.7f}", "1e99", 1), "NaN or infinite"),
    ],
)
def test_broken_ntu_files_say_where(ntu, tmp_path, collected, change, says):
    ntu.write_text(change(skeleton_text(NTU_FRAMES)))
    assert collected.read(ntu_skeleton, tmp_path) == []
    (problem,) = collected.problems
    assert str(ntu) in problem
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(problem)


def kinetics_clip(first=1, people=(1, 0, 2), **more):
    data = [
        {
            "frame_index": first + t,
            "skeleton": [
                {"pose": RNG.random(36).round(3).tolist(), "score": [0.0, *RNG.random(17).round(3).clip(0.1).tolist()]}
                for _ in range(count)
            ],
        }
        for t, count in enumerate(people)
    ]
    return {"data": data, **more}


def test_kinetics_clips_with_their_own_labels_or_those_of_the_list(tmp_path, collected):
    folder = tmp_path / "kinetics_val"
    folder.mkdir()
    (folder / "-01Xp4DAX1g.json").write_text(json.dumps(kinetics_clip(label="abseiling", label_index=0)))
    (folder / "b.json").write_text(json.dumps(kinetics_clip()))
    (folder / "none.json").write_text(json.dumps(kinetics_clip(people=(0, 0))))
    entries = {"b": {"has_skeleton": True, "label": "juggling", "label_index": 7}, "none": {"has_skeleton": False}}
    (tmp_path / "kinetics_val_label.json").write_text(json.dumps(entries))
    first, second = collected.read(kinetics_json, tmp_path)
    assert [first.name, first.label, first.split, first.layout] == ["kinetics_val/-01Xp4DAX1g", "abseiling", "val", "openpose"]
    assert [second.label, second.facts] == ["juggling", {"class_number": 7}]
    assert [frame.index for frame in first.frames] == [0, 2]
    assert first.length == 3
    assert first.frames[1].people.shape == (2, 18, 3)
    assert first.frames[1].ids == (None, None)
    assert not first.frames[0].people[0, 0].any()  # its score is 0
    (problem,) = collected.problems
    assert "has_skeleton: false" in problem


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda clip: clip["data"][0]["skeleton"][0]["pose"].pop(), "35 coordinates and 18 scores; expected 36 and 18"),
        (lambda clip: clip["data"][0]["skeleton"][0].update(pose=["a"] * 36), "of type"),
        (lambda clip: clip["data"][1].update(frame_index=1), "frame_index twice"),
        (lambda clip: clip["data"][1].update(frame_index=10**9), "frame_index 1000000000"),
        (lambda clip: clip["data"][1].pop("skeleton"), "entry 1 of data is no"),
        (lambda clip: clip["data"][2]["skeleton"][1].update(pose=[0.5] * 34, score=[1] * 17), "another number of joints"),
        (lambda clip: clip["data"].clear(), "nobody is in it"),
    ],
)
def test_broken_kinetics_clips_are_named(tmp_path, collected, change, says):
    clip = kinetics_clip()
    change(clip)
    path = tmp_path / "clip.json"
    path.write_text(json.dumps(clip))
    assert collected.read(kinetics_json, tmp_path, path) == []
    assert says in collected.problems[0]
    assert str(path) in collected.problems[0]


def annotation(i, frames=30, dtype="f2"):
    return {
        "frame_dir": f"S001C001P00{i % 4 + 1}R001A{i:03}",
        "label": i % 3,
        "img_shape": (1080, 1920),
        "original_shape": (1080, 1920),
        "total_frames": frames,
        "keypoint": RNG.random((2, frames, 17, 2)).astype(dtype),
        "keypoint_score": RNG.random((2, frames, 17)).astype(dtype),
    }


ANNOTATIONS = [annotation(i) for i in range(6)]
NAMES = [one["frame_dir"] for one in ANNOTATIONS]
PYSKL = {
    "split": {"xsub_train": NAMES[:4], "xsub_val": NAMES[4:], "xview_train": NAMES[2:], "xview_val": NAMES[:2]},
    "annotations": ANNOTATIONS,
}


def write(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pyskl_pickles_of_every_protocol(tmp_path, collected, protocol):
    path = write(tmp_path / "ntu60_hrnet.pkl", PYSKL, protocol)
    assert pyskl.units(tmp_path) == [path]
    recordings = collected.read(pyskl, path)
    assert collected.problems == []
    assert [(one.name, one.label, one.split) for one in recordings] == [
        (name, str(i % 3), "train" if i < 4 else "val") for i, name in enumerate(NAMES)
    ]
    for recording, told in zip(recordings, ANNOTATIONS, strict=True):
        assert (recording.size, recording.layout, recording.channels) == ((1920, 1080), "coco", ("x", "y", "score"))
        assert recording.subject == told["frame_dir"][8:12]
        read = np.stack([frame.people for frame in recording.frames], axis=1)
        assert np.array_equal(read[..., :2], told["keypoint"].astype(np.float32))
        assert np.array_equal(read[..., 2], told["keypoint_score"].astype(np.float32))
    assert recordings[0].facts["splits"] == ["xsub_train", "xview_val"]


def test_other_shapes_of_annotations(tmp_path, collected):
    deep = {"frame_dir": "a", "label": 1, "total_frames": 8, "keypoint": RNG.normal(size=(1, 8, 25, 3))}
    scored = {"frame_dir": "b", "label": 2, "img_shape": (480, 640), "keypoint": RNG.random((1, 8, 17, 3))}
    found = {
        "frame_dir": "c", "label": 0, "total_frames": 5, "frame_inds": np.array([3, 0, 3]), "keypoint": RNG.random((3, 17, 3)),
    }  # fmt: skip
    write(tmp_path / "clips_train.pkl", [deep, scored, found])
    first, second, third = collected.read(pyskl, tmp_path)
    assert (first.name, first.layout, first.channels, first.split) == ("clips_train/a", "ntu-rgb+d", ("x", "y", "z"), "train")
    assert (second.channels, second.size) == (("x", "y", "score"), (640, 480))
    assert [(frame.index, frame.ids) for frame in third.frames] == [(0, (None,)), (3, (None, None))]
    assert third.length == 5


@pytest.mark.parametrize("suffix", [".pkl", ".json"])
def test_lists_of_clips_as_jhmdb_is_published(tmp_path, collected, suffix):
    poses = [RNG.normal(size=(t, 15, 2)) for t in (12, 20, 8)]
    table = {"pose": poses, "label": ["golf", "jump", "golf"]}
    path = tmp_path / f"GT_train_1{suffix}"
    if suffix == ".pkl":
        write(path, table, 2)
    else:
        path.write_text(json.dumps({**table, "pose": [pose.tolist() for pose in poses]}))
    assert pyskl.units(tmp_path) == [path]
    recordings = collected.read(pyskl, path)
    assert [(one.label, one.length, one.split, one.size) for one in recordings] == [
        ("golf", 12, "train", None), ("jump", 20, "train", None), ("golf", 8, "train", None),
    ]  # fmt: skip
    assert np.allclose(np.concatenate([frame.people for frame in recordings[1].frames]), poses[1])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda one: one.pop("keypoint"), "it has no keypoint"),
        (lambda one: [one.pop("keypoint"), one.update(raw_file="x")], "in another file, raw_file"),
        (lambda one: one.update(total_frames=31), "have 30 frames, but total_frames is 31"),
        (lambda one: one.update(keypoint=np.zeros((2, 30, 17, 2))), "nobody is in it"),
        (lambda one: one.update(keypoint=np.full((2, 30, 17, 2), np.inf)), "infinite"),
        (lambda one: one.update(keypoint=np.zeros((2, 30, 17, 9))), "shape (2, 30, 17, 9)"),
        (lambda one: one.update(keypoint_score=np.zeros((2, 29, 17))), "scores have shape (2, 29, 17)"),
        (lambda one: one.update(keypoint="text"), "not numbers"),
        (lambda one: one.update(frame_dir=NAMES[1]), "appears before"),
    ],
)
def test_bad_annotations_are_named_and_the_others_read(tmp_path, collected, change, says):
    changed = dict(ANNOTATIONS[2])
    change(changed)
    path = write(tmp_path / "set.pkl", {**PYSKL, "annotations": [*ANNOTATIONS[:2], changed, *ANNOTATIONS[3:]]})
    assert len(collected.read(pyskl, path)) == 5
    (problem,) = collected.problems
    assert "annotation 2" in problem
    assert says in problem


def test_label_files_of_data_sets_are_not_claimed(tmp_path):
    write(tmp_path / "train_label.pkl", (["pose_1", "keypoint_2"], [0, 1]))
    (tmp_path / "coco.json").write_text('{"images": [], "annotations": [{"image_id": 1, "keypoints": [1, 2, 3]}]}')
    assert pyskl.units(tmp_path) == []
    assert kinetics_json.units(tmp_path) == []


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_large_pickle_is_read_clip_by_clip(tmp_path, collected, protocol):
    many = [{**annotation(1, frames=200, dtype="f4"), "frame_dir": f"clip_{i}"} for i in range(60)]
    path = write(tmp_path / "large.pkl", {"split": {}, "annotations": many}, protocol)
    del many
    tracemalloc.start()
    assert sum(1 for _ in pyskl.read(path, path, collected.options)) == 60
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size / 3


VALID = {
    ".skeleton": (ntu_skeleton, skeleton_text(NTU_FRAMES).encode()),
    "_clip.json": (kinetics_json, json.dumps(kinetics_clip(label="x")).encode()),
    ".pkl": (pyskl, pickle.dumps({**PYSKL, "annotations": ANNOTATIONS[:2]}, 4)),
    "_2.pkl": (pyskl, pickle.dumps({**PYSKL, "annotations": ANNOTATIONS[:2]}, 2)),
    "_5.pkl": (pyskl, pickle.dumps({"pose": [np.ones((4, 15, 2))], "label": [1]}, 5)),
    "_clips.json": (pyskl, json.dumps({"pose": np.ones((2, 3, 4, 2)).tolist(), "label": [1, 0]}).encode()),
}
PIECES = st.binary(max_size=6) | st.sampled_from(
    [b"", b"\x00", b"\xff" * 4, b"-1", b"1e999", b"NaN", b"null", b"[", b"}", b"9" * 400, b"cos\nsystem\n", b"R", b"\x93"]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("suffix", VALID)
@given(st.data())
@settings(deadline=None, max_examples=120)
def test_whatever_is_changed_in_a_file_no_reader_breaks(folder, suffix, data):
    module, content = VALID[suffix]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        content = content[:at] + data.draw(PIECES) + content[at + data.draw(st.sampled_from([0, 1, 2, 8, 10**6])) :]
    path = folder / f"x{suffix}"
    path.write_bytes(content)
    collected = Collected()
    try:
        module.units(folder)
        for recording in module.read(path, folder, collected.options):
            assert all(np.isfinite(frame.people).all() for frame in recording.frames)
            assert all(0 <= frame.index < recording.length for frame in recording.frames)
    except TrainerError:
        pass
