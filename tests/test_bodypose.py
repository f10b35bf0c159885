from __future__ import annotations

import json

import numpy as np
import pytest

from stgcn import bodypose
from stgcn.config import DatasetConvert
from stgcn.errors import DataError

JOINTS = 2


def settings(**changes):
    return DatasetConvert(**{"num_joints": JOINTS, "focal_length": 10.0, "input_width": 100, "input_height": 50} | changes)


def record(*batches, claimed=None):
    return {"num_frames_in_batch": len(batches) if claimed is None else claimed, "batches": list(batches)}


def batch(*objects, **ids):
    return {**ids, "objects": list(objects)}


def thing(object_id=1, pose=None, **keys):
    pose = [1.0, 2.0, 3.0, 1.0, 11.0, 22.0, 33.0, 0.5] if pose is None else pose
    return {"object_id": object_id, "pose3d": pose, "pose25d": pose, **keys}


def read(tmp_path, records, **changes):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(records))
    tracks, counts = bodypose.read_tracks(path, settings(**changes))
    return tracks, counts


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("3dbp", [[0, 0, 0], [1, 2, 3]]),
        ("25dbp", [[1 / 100 - 0.5, 2 / 50 - 0.5, 3], [11 / 100 - 0.5, 22 / 50 - 0.5, 33]]),
        ("2dbp", [[1 / 100 - 0.5, 2 / 50 - 0.5], [11 / 100 - 0.5, 22 / 50 - 0.5]]),
    ],
)
def test_poses_are_normalised_by_kind(tmp_path, kind, expected):
    tracks, counts = read(tmp_path, [record(batch(thing()))], pose_type=kind)
    poses = tracks["0", "1"].poses()
    assert poses.dtype == np.float32
    np.testing.assert_array_equal(poses[0], np.array(expected, dtype=np.float64).astype(np.float32))
    assert counts == {"records": 1, "frames": 1}


@pytest.mark.parametrize("kind", ["3dbp", "25dbp", "2dbp"])
def test_a_joint_without_confidence_is_zero(tmp_path, kind):
    tracks, _ = read(tmp_path, [record(batch(thing(pose=[1, 2, 3, 1, 11, 22, 33, 0])))], pose_type=kind)
    assert not tracks["0", "1"].poses()[0, 1].any()
    assert tracks["0", "1"].missing_joints == 1


@pytest.mark.parametrize("block", [1, 2, 3, 4096])
def test_a_missing_root_is_the_last_seen_else_the_next(tmp_path, monkeypatch, block):
    monkeypatch.setattr(bodypose, "MOST_PENDING", block)
    seen = [0, 0, 1, 0, 0, 1, 0]
    records = [record(batch(thing(pose=[100.0 * t, 0, 0, confidence, 1000.0, 0, 0, 1]))) for t, confidence in enumerate(seen)]
    track = read(tmp_path, records)[0]["0", "1"]
    roots = np.array([200, 200, 200, 200, 200, 500, 500])
    np.testing.assert_allclose(track.poses()[:, 1, 0], (1000 - roots) / 10, rtol=1e-6)
    assert not track.poses()[:, 0].any()
    assert track.roots_filled == 5


def test_a_track_whose_root_was_never_seen_stays_unconverted(tmp_path):
    tracks, _ = read(tmp_path, [record(batch(thing(pose=[0, 0, 0, 0, 1, 1, 1, 1])))])
    assert tracks["0", "1"].pending
    assert not tracks["0", "1"].converted


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (({"batch_id": 5}, {"batch_id": 3}), {("5", "1"), ("3", "1")}),
        (({"batch_id": 0, "source_id": 7}, {"batch_id": 1, "source_id": 9}), {("7", "1"), ("9", "1")}),
        (({"source_id": "door"}, {"source_id": "yard"}), {("door", "1"), ("yard", "1")}),
    ],
)
def test_objects_of_different_streams_are_different(tmp_path, ids, expected):
    tracks, _ = read(tmp_path, [record(*(batch(thing(), **i) for i in ids))] * 3)
    assert set(tracks) == expected
    assert {track.frames for track in tracks.values()} == {3}


def test_without_stream_ids_the_batches_are_frames_of_one_stream(tmp_path):
    tracks, _ = read(tmp_path, [record(batch(thing()), batch(thing()))] * 3)
    assert set(tracks) == {("0", "1")}
    assert {track.frames for track in tracks.values()} == {6}


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (5, "expected {num_frames_in_batch, batches"),
        ({"batches": []}, "num_frames_in_batch is None, but it has 0 batches"),
        (record(batch(), claimed=2), "num_frames_in_batch is 2, but it has 1 batches"),
        (record({"batch_id": 0}), "batch 0 has no list of objects"),
        (record(batch(thing(), source_id=[1])), "batch 0 has a source_id or batch_id"),
        (record(batch(thing(), source_id="../x")), "batch 0 has a source_id or batch_id"),
        (record(batch("x")), "no object_id"),
        (record(batch(thing("../../etc/passwd"))), "no object_id that is a number or a short name"),
        (record(batch(thing("a" * 200))), "no object_id that is a number or a short name"),
        (record(batch(thing(True))), "no object_id"),
        (record(batch({"object_id": 3, "pose25d": []})), "object 3 has no list 'pose3d', which pose_type 3dbp reads"),
        (record(batch(thing(3, [1.0] * 12))), "object 3 has 12 numbers in pose3d; expected 8"),
        (record(batch(thing(3, [1.0] * 7 + ["1"]))), "object 3 has values in pose3d that are not numbers"),
        (record(batch(thing(3, [1.0] * 7 + [None]))), "object 3 has values in pose3d that are not numbers"),
        (record(batch(thing(3, [1.0] * 7 + [10**400]))), "object 3 has values in pose3d that are not numbers"),
        (record(batch(thing(3, [float("nan")] + [1.0] * 7))), "object 3 has NaN or infinite values"),
        (record(batch(thing(3, [1e300] + [1.0] * 7))), "object 3 has NaN or infinite values"),
        (record(batch(thing(3), thing(3))), "object 3 appears twice in one frame"),
    ],
)
def test_bad_records_are_named(tmp_path, bad, says):
    good = record(batch(thing()))
    with pytest.raises(DataError) as caught:
        read(tmp_path, [good, bad, good])
    assert len(caught.value.problems) == 1
    assert "record 1: " in caught.value.problems[0]
    assert says in caught.value.problems[0]


def test_all_bad_records_are_named_up_to_a_number(tmp_path):
    records = [record(batch(thing(pose=[1.0] * 7 + [float("nan")])))] + [record(batch(), claimed=9)] * 40 + [5]
    with pytest.raises(DataError) as caught:
        read(tmp_path, records)
    said = caught.value.problems
    assert len(said) == bodypose.MOST_PROBLEMS + 1
    assert "record 0: object 1 has NaN" in said[0]
    assert said[-1].endswith("and 22 more problems like these")


def test_bad_records_before_the_end_of_a_truncated_file_are_named_too(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps([5, record(batch(thing()))])[:-20])
    with pytest.raises(DataError) as caught:
        bodypose.read_tracks(path, settings())
    assert "record 0" in caught.value.problems[0]
    assert "truncated" in caught.value.problems[1]
