from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from stgcn import dataset_convert
from stgcn.dataset_convert import window_starts
from stgcn.errors import DataError, ResourceError, SpecError

JOINTS = 5


def poses(frames, seed=0, missing=0.1):
    """Poses of one track, (frames, joints, x y z confidence), with missed joints, the root among them."""
    rng = np.random.default_rng(seed)
    result = rng.normal(500, 400, (frames, JOINTS, 4)).round(6)
    result[..., 3] = np.where(rng.random((frames, JOINTS)) < missing, 0.0, 0.9)
    result[frames // 2, 0, 3] = 0.9  # the root is seen at least once
    return result


def bodypose(tracks, streams=1):
    """A BodyPose file: ``tracks`` maps (stream, object, first frame) to poses."""
    length = max(first + len(track) for (_, _, first), track in tracks.items())
    records = []
    for t in range(length):
        batches = []
        for stream in range(streams):
            objects = [
                {"object_id": name, "pose3d": track[t - first].ravel().tolist(), "pose25d": track[t - first].ravel().tolist()}
                for (s, name, first), track in tracks.items()
                if s == stream and first <= t < first + len(track)
            ]
            batches.append({"batch_id": stream, "frame_num": t, "num_objects_in_frame": len(objects), "objects": objects})
        records.append({"num_frames_in_batch": streams, "batches": batches})
    return records


def convert(folder, records, **changes):
    source = folder / "bodypose.json"
    source.write_text(json.dumps(records))
    settings = {"data": str(source), "num_joints": JOINTS, "sequence_length_max": 30, "sequence_length": 20} | changes
    return dataset_convert.run({"results_dir": str(folder / "results"), "dataset_convert": settings})


def reference(track, kind="3dbp", length=20, longest=30, shortest=10, overlap=0.5):
    """What the conversion should give for one track, joint by joint and number by number."""
    root, normalised = None, []
    for frame in track:  # a track may begin without its root: take the first one seen
        if frame[0][3] != 0:
            root = frame[0]
            break
    for frame in track:
        if frame[0][3] != 0:
            root = frame[0]
        pose = []
        for x, y, z, confidence in frame:
            if confidence == 0:
                joint = [0.0] * 3
            elif kind == "3dbp":
                joint = [(x - root[0]) / 1200.0, (y - root[1]) / 1200.0, (z - root[2]) / 1200.0]
            else:
                joint = [x / 1920 - 0.5, y / 1080 - 0.5, z]
            pose.append(joint[: 2 if kind == "2dbp" else 3])
        normalised.append(pose)
    windows, start, reached = [], 0, 0
    while len(track) - start >= shortest and reached < len(track):
        reached = min(start + length, len(track))
        window = np.zeros((2 if kind == "2dbp" else 3, longest, JOINTS, 1), np.float32)
        for t, pose in enumerate(normalised[start:reached]):
            for v, joint in enumerate(pose):
                for c, value in enumerate(joint):
                    window[c, t, v, 0] = value
        windows.append(window)
        start += max(1, int(length * (1 - overlap) + 1e-9))
    return np.stack(windows)


@pytest.mark.parametrize("kind", ["3dbp", "25dbp", "2dbp"])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_windows_equal_the_reference_bit_for_bit(tmp_path, kind, overlap):
    tracks = {(0, 1, 0): poses(57, 1), (0, 2, 3): poses(20, 2), (0, 7, 5): poses(12, 3), (0, 9, 0): poses(9, 4)}
    result = convert(tmp_path, bodypose(tracks), pose_type=kind, sequence_overlap=overlap)
    folder = tmp_path / "results" / "dataset_convert"
    for (_, name, _), track in tracks.items():
        if len(track) < 10:
            assert not (folder / f"object_{name}.npy").exists()
            continue
        written = np.load(folder / f"object_{name}.npy")
        expected = reference(track, kind, overlap=overlap)
        assert written.dtype == np.float32
        assert written.tobytes() == expected.tobytes()
        assert written.shape == expected.shape
    assert result["metrics"]["objects"] == 3
    assert result["artifacts"] == {"objects": str(folder), "conversion": str(folder / "conversion.json")}


def test_blocks_and_chunks_do_not_show_in_the_result(tmp_path, monkeypatch):
    tracks = {(0, 1, 0): poses(57, 1), (0, 2, 3): poses(40, 2)}
    monkeypatch.setattr("stgcn.bodypose.MOST_PENDING", 7)
    monkeypatch.setattr("stgcn.jsonlist.CHUNK", 100)
    monkeypatch.setattr(dataset_convert, "WINDOWS_AT_ONCE", 1)
    convert(tmp_path, bodypose(tracks))
    for (_, name, _), track in tracks.items():
        written = np.load(tmp_path / "results" / "dataset_convert" / f"object_{name}.npy")
        assert written.tobytes() == reference(track).tobytes()


def test_streams_are_kept_apart(tmp_path):
    tracks = {(0, 1, 0): poses(15, 1), (1, 1, 0): poses(15, 2)}
    convert(tmp_path, bodypose(tracks, streams=2))
    folder = tmp_path / "results" / "dataset_convert"
    assert sorted(p.name for p in folder.glob("*.npy")) == ["stream_0_object_1.npy", "stream_1_object_1.npy"]
    for (stream, _, _), track in tracks.items():
        assert np.load(folder / f"stream_{stream}_object_1.npy").tobytes() == reference(track).tobytes()


@pytest.mark.parametrize(
    ("frames", "length", "overlap", "expected"),
    [
        (300, 100, 0.5, [0, 50, 100, 150, 200]),
        (310, 100, 0.5, [0, 50, 100, 150, 200, 250]),
        (10, 100, 0.5, [0]),
        (9, 100, 0.5, []),
        (0, 100, 0.5, []),
        (300, 100, 0.0, [0, 100, 200]),
        (305, 100, 0.0, [0, 100, 200]),  # a tail of 5 is less than the shortest sequence
        (110, 100, 0.0, [0, 100]),
        (13, 10, 1.0, [0, 1, 2, 3]),
        (100, 100, 1.0, [0]),
        (300, 100, 0.9, list(range(0, 201, 10))),
    ],
)
def test_window_starts(frames, length, overlap, expected):
    assert window_starts(frames, length, 10, overlap) == expected


@given(st.integers(0, 400), st.integers(1, 120), st.floats(0, 1), st.data())
@with_settings(deadline=None)
def test_windows_cover_the_track_and_none_lies_in_another(frames, length, overlap, data):
    shortest = data.draw(st.integers(1, length))
    starts = window_starts(frames, length, shortest, overlap)
    windows = [(start, min(start + length, frames)) for start in starts]
    assert bool(windows) == (frames >= shortest)
    assert all(end - start >= shortest for start, end in windows)
    for (start, end), (next_start, next_end) in itertools.pairwise(windows):
        assert start < next_start
        assert end < next_end
        repeated = max(0, end - next_start)
        assert repeated <= length * overlap + 1
        assert next_start <= end or overlap == 0  # no frame between two windows is lost
    if windows:
        assert windows[0][0] == 0
        assert frames - windows[-1][1] < shortest + max(1, length)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sequence_length": 31}, "sequence_length 31 is more than sequence_length_max 30"),
        ({"sequence_length_min": 21}, "sequence_length_min 21 is more than sequence_length 20"),
        ({"data": ""}, "dataset_convert.data is empty"),
        ({"sequence_overlap": 1.5}, "out of bounds"),
        ({"pose_type": "4dbp"}, "not one of 3dbp, 25dbp, 2dbp"),
    ],
)
def test_settings_that_contradict_each_other(tmp_path, changes, says):
    with pytest.raises(SpecError, match=says):
        convert(tmp_path, [], **changes)
    assert not (tmp_path / "results").exists()


def test_conversion_json_says_what_happened(tmp_path):
    rootless = poses(15, 3)
    rootless[:, 0, 3] = 0
    tracks = {(0, 1, 0): poses(25, 1), (0, 2, 0): poses(4, 2), (0, 3, 0): rootless}
    result = convert(tmp_path, bodypose(tracks))
    said = json.loads((tmp_path / "results" / "dataset_convert" / "conversion.json").read_text())
    assert result["metrics"] == {"objects": 1, "windows": 2, "frames": 44, "records": 25}
    assert (said["records"], said["frames"], said["windows"], said["sequence_overlap"]) == (25, 44, 2, 0.5)
    entry = said["objects"][0]
    assert (entry["object_id"], entry["file"], entry["frames"], entry["windows"]) == ("1", "object_1.npy", 25, 2)
    assert 0 < entry["missing_joint_share"] < 0.3
    reasons = {left["object_id"]: left["reason"] for left in said["left_out"]}
    assert "fewer than sequence_length_min 10" in reasons["2"]
    assert "root joint (joint 0) was never seen" in reasons["3"]
    assert len(said["sha256"]) == 64


def test_files_of_an_earlier_conversion_are_noted(tmp_path):
    convert(tmp_path, bodypose({(0, 1, 0): poses(15), (0, 2, 0): poses(15)}))
    convert(tmp_path, bodypose({(0, 2, 0): poses(15)}))
    said = json.loads((tmp_path / "results" / "dataset_convert" / "conversion.json").read_text())
    assert said["notes"] == ["object_1.npy is of an earlier conversion"]


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([], "holds no objects"),
        (bodypose({(0, 1, 0): poses(5)}), "object 1: 5 frames, fewer than sequence_length_min 10"),
        ([*bodypose({(0, 1, 0): poses(20)}), {"bad": 1}], "record 20: expected"),
    ],
)
def test_nothing_is_left_behind_when_nothing_can_be_converted(tmp_path, records, says):
    with pytest.raises(DataError, match=says):
        convert(tmp_path, records)
    folder = tmp_path / "results" / "dataset_convert"
    assert os.listdir(folder) == ["status.json"]
    last = json.loads((folder / "status.json").read_text().splitlines()[-1])
    assert last["status"] == "FAILURE"


def test_all_files_or_none(tmp_path, monkeypatch):
    written = []

    def fail_at_the_second(path, *rest):
        written.append(path)
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        path.write_bytes(b"")

    monkeypatch.setattr(dataset_convert, "_write_windows", fail_at_the_second)
    with pytest.raises(ResourceError, match="No space left on device"):
        convert(tmp_path, bodypose({(0, 1, 0): poses(15), (0, 2, 0): poses(15)}))
    assert os.listdir(tmp_path / "results" / "dataset_convert") == ["status.json"]


def test_a_missing_file_is_said(tmp_path):
    spec = {"results_dir": str(tmp_path), "dataset_convert": {"data": str(tmp_path / "none.json")}}
    with pytest.raises(DataError, match=r"none\.json cannot be read: No such file"):
        dataset_convert.run(spec)


def test_status_lines(tmp_path):
    convert(tmp_path, bodypose({(0, 1, 0): poses(15)}))
    lines = (tmp_path / "results" / "dataset_convert" / "status.json").read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["STARTED", "RUNNING", "SUCCESS"]


def test_memory_does_not_grow_with_the_file(tmp_path):
    source = tmp_path / "big.json"
    record = json.dumps(bodypose({(0, 1, 0): poses(1)})[0] | {"filler": "x" * 2000})
    peaks = []
    for count in (2000, 4000):  # 5 and 10 MB
        source.write_text("[" + ",\n".join([record] * count) + "]")
        spec = {"results_dir": str(tmp_path / "r"), "dataset_convert": {"data": str(source), "num_joints": JOINTS}}
        tracemalloc.start()
        dataset_convert.run(spec)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert source.stat().st_size > 9e6
    assert peaks[1] < source.stat().st_size
    assert peaks[1] - peaks[0] < 3e6


def content(folder):
    """What a results folder holds, the log of its runs left out."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "status.json"}


@pytest.fixture
def interrupted(tmp_path):
    """A conversion of a long file, interrupted in a folder that an earlier one has filled; gives how, and what was there."""
    source = tmp_path / "long.json"
    record = json.dumps(bodypose({(0, 1, 0): poses(1)})[0] | {"filler": "x" * 20_000})
    source.write_text("[" + ",\n".join([record] * 2000) + "]")  # 40 MB
    convert(tmp_path, bodypose({(0, 1, 0): poses(25, 1), (0, 2, 0): poses(25, 2)}))
    folder = tmp_path / "results" / "dataset_convert"
    earlier = content(folder)
    spec = {"results_dir": str(tmp_path / "results"), "dataset_convert": {"data": str(source), "num_joints": JOINTS}}
    # However fast the machine is, the conversion is still at it when the signal comes.
    slowly = "cls = bodypose._Gathered; flush = cls.flush; cls.flush = lambda *a, **k: time.sleep(0.05) or flush(*a, **k)"
    code = f"import time; from stgcn import bodypose, dataset_convert; {slowly}; dataset_convert.run({spec!r})"

    def by(number):
        with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as process:
            while not list(folder.glob(".converting-*/poses")):
                time.sleep(0.0005)
            process.send_signal(number)
            return process.wait(60)

    return by, folder, earlier


def test_a_conversion_that_is_terminated_leaves_what_was_there(interrupted):
    by, folder, earlier = interrupted
    assert by(signal.SIGTERM) == 143
    assert content(folder) == earlier
    assert sorted(os.listdir(folder)) == sorted([*earlier, "status.json"])
    assert json.loads((folder / "status.json").read_text().splitlines()[-1])["status"] == "FAILURE"


def test_a_conversion_that_is_killed_leaves_nothing_half_written(interrupted, tmp_path):
    by, folder, earlier = interrupted
    assert by(signal.SIGKILL) == -signal.SIGKILL
    assert content(folder) == earlier
    assert list(folder.glob(".converting-*"))
    deadline = time.monotonic() + 30
    while list(folder.glob(".converting-*")):  # until a copy of the process has seen that nobody waits for it
        assert time.monotonic() < deadline
        convert(tmp_path, bodypose({(0, 1, 0): poses(25, 1), (0, 2, 0): poses(25, 2)}))
    assert content(folder) == earlier


def test_what_has_begun_to_move_in_moves_in_whole(tmp_path, monkeypatch):
    folder = tmp_path / "results" / "dataset_convert"
    replace, moved = os.replace, []

    def interrupting(source, target):
        replace(source, target)
        if target.parent == folder:
            moved.append(target.name)
            if len(moved) == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)

    monkeypatch.setattr(dataset_convert.os, "replace", interrupting)
    with pytest.raises(SystemExit):
        convert(tmp_path, bodypose({(0, 1, 0): poses(25, 1), (0, 2, 0): poses(25, 2)}))
    assert sorted(moved) == ["conversion.json", "object_1.npy", "object_2.npy"]
    assert sorted(content(folder)) == sorted(moved)
