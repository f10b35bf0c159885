from __future__ import annotations

import contextlib
import json
import random
import tempfile
import tracemalloc

import bodypose_reference as reference
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from stgcn import bodypose, forked, jsonblocks, jsonlist
from stgcn.bodytrack import Scratch
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


@pytest.fixture
def read(tmp_path):
    """Reads records as a BodyPose file; gives the tracks and the counts."""
    with contextlib.ExitStack() as stack:

        def reading(records, **changes):
            path = tmp_path / "x.json"
            path.write_text(json.dumps(records))
            file = stack.enter_context(tempfile.TemporaryFile(buffering=0))
            return bodypose.read_tracks(path, settings(**changes), Scratch(file))

        yield reading


def poses(track):
    """Normalised, (frames, V, C)."""
    return track.read(0, track.frames).transpose(0, 2, 1)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("3dbp", [[0, 0, 0], [1, 2, 3]]),
        ("25dbp", [[1 / 100 - 0.5, 2 / 50 - 0.5, 3], [11 / 100 - 0.5, 22 / 50 - 0.5, 33]]),
        ("2dbp", [[1 / 100 - 0.5, 2 / 50 - 0.5], [11 / 100 - 0.5, 22 / 50 - 0.5]]),
    ],
)
def test_poses_are_normalised_by_kind(read, kind, expected):
    tracks, counts = read([record(batch(thing()))], pose_type=kind)
    found = poses(tracks["0", "1"])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0], np.array(expected, dtype=np.float64).astype(np.float32))
    assert counts == {"records": 1, "frames": 1}


@pytest.mark.parametrize("kind", ["3dbp", "25dbp", "2dbp"])
def test_a_joint_without_confidence_is_zero(read, kind):
    tracks, _ = read([record(batch(thing(pose=[1, 2, 3, 1, 11, 22, 33, 0])))], pose_type=kind)
    assert not poses(tracks["0", "1"])[0, 1].any()
    assert tracks["0", "1"].missing_joints == 1


@pytest.mark.parametrize("block", [1, 2, 3, 4096])
def test_a_missing_root_is_the_last_seen_else_the_next(read, monkeypatch, block):
    monkeypatch.setattr(bodypose, "MOST_PENDING", block)
    seen = [0, 0, 1, 0, 0, 1, 0]
    records = [record(batch(thing(pose=[100.0 * t, 0, 0, confidence, 1000.0, 0, 0, 1]))) for t, confidence in enumerate(seen)]
    track = read(records)[0]["0", "1"]
    roots = np.array([200, 200, 200, 200, 200, 500, 500])
    np.testing.assert_allclose(poses(track)[:, 1, 0], (1000 - roots) / 10, rtol=1e-6)
    assert not poses(track)[:, 0].any()
    assert track.roots_filled == 5


def test_a_track_whose_root_was_never_seen_stays_as_it_is(read):
    tracks, _ = read([record(batch(thing(pose=[0, 0, 0, 0, 1, 1, 1, 1])))])
    assert tracks["0", "1"].rootless
    assert not tracks["0", "1"].kept


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (({"batch_id": 5}, {"batch_id": 3}), {("5", "1"), ("3", "1")}),
        (({"batch_id": 0, "source_id": 7}, {"batch_id": 1, "source_id": 9}), {("7", "1"), ("9", "1")}),
        (({"source_id": "door"}, {"source_id": "yard"}), {("door", "1"), ("yard", "1")}),
    ],
)
def test_objects_of_different_streams_are_different(read, ids, expected):
    tracks, _ = read([record(*(batch(thing(), **i) for i in ids))] * 3)
    assert set(tracks) == expected
    assert {track.frames for track in tracks.values()} == {3}


def test_without_stream_ids_the_batches_are_frames_of_one_stream(read):
    tracks, _ = read([record(batch(thing()), batch(thing()))] * 3)
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
def test_bad_records_are_named(read, bad, says):
    good = record(batch(thing()))
    with pytest.raises(DataError) as caught:
        read([good, bad, good])
    assert len(caught.value.problems) == 1
    assert "record 1: " in caught.value.problems[0]
    assert says in caught.value.problems[0]


def test_all_bad_records_are_named_up_to_a_number(read):
    records = [record(batch(thing(pose=[1.0] * 7 + [float("nan")])))] + [record(batch(), claimed=9)] * 40 + [5]
    with pytest.raises(DataError) as caught:
        read(records)
    said = caught.value.problems
    assert len(said) == bodypose.MOST_PROBLEMS + 1
    assert "record 0: object 1 has NaN" in said[0]
    assert said[-1].endswith("and 22 more problems like these")


def test_bad_records_before_the_end_of_a_truncated_file_are_named_too(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps([5, record(batch(thing()))])[:-20])
    with pytest.raises(DataError) as caught, tempfile.TemporaryFile(buffering=0) as file:
        bodypose.read_tracks(path, settings(), Scratch(file))
    assert "record 0" in caught.value.problems[0]
    assert "truncated" in caught.value.problems[1]


class Raw(str):
    """Text that is written as it is."""

    __slots__ = ()


class Wild:
    """Writes BodyPose files that are regular, now and then odd, or mostly odd."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.oddness = self.rng.choice([0, 0, 0.005, 0.02, 0.2])
        self.blank = self.rng.choice(["", " ", "\n", "\r\n\t", "  "])
        self.streams = self.rng.choice([None, "batch_id", "source_id"])
        self.first_seen = self.rng.choice([0, 0, 3, 10**6])  # frame in which a root joint may be seen first

    def odd(self):
        return self.rng.random() < self.oddness

    def number(self):
        rng = self.rng
        if self.odd():
            return Raw(rng.choice(["NaN", "-Infinity", "1e400", "1e300", "true", "null", '"1"', "[1]", "[]", "{}", "9" * 30,
                                   "1.e5", "01", "-", "18446744073709551615", "9007199254740993", "1" * 321]))  # fmt: skip
        return Raw(rng.choice([f"{rng.uniform(-2000, 2000):f}", repr(rng.gauss(0, 1e3)), f"{rng.random():.20e}", "-0", "-0.0",
                               "0", str(rng.randrange(10**6)), f"{rng.randrange(10**20)}E-17", "1e-400"]))  # fmt: skip

    def pose(self, frame):
        values = []
        for joint in range(JOINTS):
            values += [self.number() for _ in range(3)]
            hidden = frame < self.first_seen if joint == 0 else False
            values.append(Raw("0" if hidden else self.rng.choice(["0", "0.0", "0.5", "1", "-0.0"])))
        return values[: self.rng.randrange(8)] if self.odd() else values

    def identity(self, value):
        if self.odd():
            return self.rng.choice([True, 1.0, str(value), "../x", None, -3, "a" * 200, 10**30, [1], "", "é"])
        return value

    def members(self, pairs):
        """Pairs of an object, in disorder, doubled, or with others between."""
        rng, pairs = self.rng, list(pairs)
        if self.odd():
            rng.shuffle(pairs)
        if self.odd():
            pairs.insert(rng.randrange(len(pairs) + 1), rng.choice(pairs))
        if self.odd():
            name, value = rng.choice(pairs)
            again = self.pose(0) if name.startswith("pose") else rng.choice([5, value, "x" * 136, [], {}, [{}], "", None])
            pairs.insert(rng.randrange(len(pairs) + 1), (name, again))
        if self.odd():
            del pairs[rng.randrange(len(pairs))]
        if self.odd():
            text = rng.choice(["}, {", "[[", "ö€𝄞", '\\"{', "\\ud800", "}{" * 50, "\\u0000", "],[", ":[", "\\"])
            pairs.insert(rng.randrange(len(pairs) + 1), (rng.choice(["note", "a b", "pose3d ", ""]), Raw(f'"{text}"')))
        if self.odd():
            pairs.insert(
                rng.randrange(len(pairs) + 1),
                ("box", Raw(rng.choice(["[1, [2]]", "[[]]", "[ ]", "NaN", "12345678901234567890123"]))),
            )
        return dict(enumerate(pairs))

    def record(self, frame):
        batches = []
        for stream in range(2 if self.streams else 1):
            objects = [
                self.members([("object_id", self.identity(name)), ("pose25d", self.pose(frame)), ("pose3d", self.pose(frame))])
                for name in range(1, 4)
                if self.rng.random() < 0.7
            ]
            ids = [(self.streams, self.identity(stream))] if self.streams else []
            batches.append(self.members([*ids, ("frame_num", frame), ("objects", objects)]))
        record = self.members([("num_frames_in_batch", len(batches)), ("batches", batches)])
        return self.rng.choice([5, [], Raw("nul"), "}", {}, record]) if self.odd() else record

    def text(self, value):
        space = self.blank
        if isinstance(value, Raw):
            return value
        if isinstance(value, dict):  # of pairs, so that names may be there twice
            inner = [f"{self.name(name)}{space}:{space[:1]}{self.text(item)}" for name, item in value.values()]
            return "{" + space + f",{space}".join(inner) + space + "}"
        if isinstance(value, list):
            return "[" + f",{space}".join(map(self.text, value)) + "]"
        return json.dumps(value)

    def name(self, name):
        return json.dumps(name).replace("3", "\\u0033") if self.odd() else json.dumps(name)

    def file(self):
        rng = self.rng
        records = [self.text(self.record(frame)) for frame in range(rng.randrange(14))]
        content = (
            self.blank + "[" + self.blank + f"{self.blank},{self.blank}".join(records) + self.blank + "]" + self.blank
        ).encode()
        if rng.random() < 0.1:
            content = b"\xef\xbb\xbf" + content
        if rng.random() < 0.25:  # broken
            place = rng.randrange(len(content))
            content = rng.choice([content[:place], content[:place] + rng.randbytes(1) + content[place + 1 :],
                                  content[:place] + rng.choice(b'{}[],:" 0\\').to_bytes(1) + content[place:]])  # fmt: skip
        return content


@pytest.fixture(scope="module")
def scratch_file():
    with tempfile.TemporaryFile(buffering=0) as file:
        yield file


def agree(path, chosen, scratch_file):
    """Read a file as the plain reader does, and compare what comes out, or what is said to be wrong."""
    expected, problems, fault = reference.read(path, chosen)
    if problems or fault:
        with pytest.raises(DataError) as caught:
            bodypose.read_tracks(path, chosen, Scratch(scratch_file))
        if "not UTF-8" in fault + caught.value.problems[-1]:  # seen when it is read, before other faults or after them
            return
        said = [line.removeprefix(f"{path}: ") for line in caught.value.problems]
        lines = [f"record {number}: {text}" for number, text in problems]
        more = len(lines) - bodypose.MOST_PROBLEMS
        lines[bodypose.MOST_PROBLEMS :] = [f"and {more} more problems like these"] if more > 0 else []
        assert said == lines + ([fault] if fault else [])
        return
    tracks, counts = bodypose.read_tracks(path, chosen, Scratch(scratch_file))
    assert list(tracks) == list(expected)
    assert counts["records"] == len(json.loads(path.read_text(encoding="utf-8-sig")))
    assert counts["frames"] == sum(track.frames for track in tracks.values())
    for key, (frames, converted, filled, missing) in expected.items():
        track = tracks[key]
        assert (track.frames, track.rootless) == (frames, converted is None)
        if converted is not None:
            assert track.read(0, frames).tobytes() == converted.tobytes()
            assert (track.roots_filled, track.missing_joints) == (filled, missing)


PLAIN = (
    '{"num_frames_in_batch": 1, "batches": [{"batch_id": 1, "frame_num": 3, "objects": [{"object_id": 7, '
    '"pose25d": [1, 2, 3, 1, 4, 5, 6, 1], "pose3d": [1.5, 2.5, 3.5, 1.0, 11.0, 22.0, 33.0, 0.5]}]}]}'
)
POSE = '"pose3d": [1.5, 2.5, 3.5, 1.0, 11.0, 22.0, 33.0, 0.5]'
OTHER = '"pose3d": [7, 7, 7, 1, 8, 8, 8, 1]'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x", "x"),
        (POSE, f"{POSE}, {OTHER}"),
        (POSE, f"{OTHER}, {POSE}"),
        (POSE, OTHER.replace("3", "\\u0033")),
        (POSE, f'"\\u0070ose3d": [1], {POSE}'),
        ('"object_id": 7', '"object_id": 7, "object_id": 8'),
        ('"batch_id": 1', '"batch_id": 1, "batch_id": 2'),
        ('"batch_id": 1', '"batch_id": 1, "source_id": 2, "source_id": "x"'),
        ('"batch_id": 1', '"batch_id": 1, "source_id": "x"'),
        ('"batch_id": 1', '"source_id": null, "batch_id": 2'),
        ('"batch_id": 1, ', ""),
        ('"num_frames_in_batch": 1', '"num_frames_in_batch": 1, "num_frames_in_batch": 2'),
        ('"num_frames_in_batch": 1, ', ""),
        ('"batches"', '"batches": [], "batches"'),
        ('"objects"', '"objects": [], "objects"'),
        *(('"object_id": 7', f'"object_id": {value}') for value in ("7.0", "true", '"7"', "-7", "1" * 30, "null", "[7]")),
        *(('"batch_id": 1', f'"batch_id": {value}') for value in ("1.0", "true", '"1"', "null", '"../x"', "{}")),
        *(("_batch\": 1", f'_batch": {value}') for value in ("1.0", "true", '"1"', "2", "[1]", "null")),
        *(('"batches": [', f'"batches": {value}, "x": [') for value in ('""', '"a"', "{}", "5", "null", "[5]", '[""]', "[{}]")),
        *(('"objects": [', f'"objects": {value}, "x": [') for value in ('""', '"a"', "{}", "5", "null", "[5]", '[""]', "[{}]")),
        *(
            ("1.5, 2.5, 3.5", value)
            for value in (
                "[1.5], [2.5], [3.5]", "[1.5, 2.5], [], 3.5", "[1.5, 2.5, 3.5], [], []", "1.5, true, false", "1.5, null, 3.5",
                '1.5, "2.5", 3.5', "1.5, {}, 3.5", "1.5, 2.5", "1.5, 2.5, 3.5, 4.5", "1e300, 2.5, 3.5", "1e400, 2.5, 3.5",
                "NaN, 2.5, 3.5", "1.5, -Infinity, 3.5", f"{'9' * 30}, 2.5, 3.5", f"{'9' * 400}, 2.5, 3.5", "-0, -0.0, 0",
                "9007199254740993, 18446744073709551615, -9223372036854775808", "1e-400, 4.9e-324, 1.7976931348623157e308",
                "0.1e1, 123456789.123456789123456789, 5E+2", "1., 2.5, 3.5", "01, 2.5, 3.5", "+1, 2.5, 3.5", "1.5 2.5, 3.5",
                "1.5,, 3.5", "1.5, 2.5, 3.5,", ".5, 2.5, 3.5", "1.5, 2.5e, 3.5", "0x1, 2.5, 3.5", "1.5,\n2.5 ,\t3.5",
            )
        ),
        *(
            ('"frame_num": 3', f'"frame_num": {value}')
            for value in (
                '"}, {"', '"}{{"', '"{\\"}"', '"\\ud800"', '"é𝄞"', '"[["', "[[1], [2]]", "[ [1]]", "NaN", "9" * 30, '"\\u0000"',
                '"]"', '"', '"\t"', '"\\x"', "tru", "[1", "{}}", "{1: 2}", "1e400", "-",
            )
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["3dbp", "25dbp"])
def test_one_odd_record_is_read_as_the_plain_reader_has_it(tmp_path, scratch_file, monkeypatch, kind, old, new):
    monkeypatch.setattr(jsonblocks, "BLOCK", 3 * len(PLAIN))
    odd = PLAIN.replace(old, new)
    path = tmp_path / "odd.json"
    for count in (0, 1, 8):
        path.write_text("[" + ", ".join([PLAIN] * count + [odd] + [PLAIN] * count) + "]", encoding="utf-8")
        agree(path, settings(pose_type=kind), scratch_file)
    twice = PLAIN.replace("}]}]}", "}, " + odd.partition('"objects": [')[2])
    path.write_text("[" + ", ".join([PLAIN, twice, PLAIN]) + "]", encoding="utf-8")
    agree(path, settings(pose_type=kind), scratch_file)


@given(
    st.integers(0, 2**32), st.sampled_from([30, 150, 700, 5000]), st.sampled_from([0, 0, 1, 3]),
    st.sampled_from(list(bodypose.POSE_KEYS)),
)  # fmt: skip
@with_settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_whatever_a_file_holds_it_is_read_as_the_plain_reader_has_it(tmp_path, scratch_file, seed, size, helpers, kind):
    path = tmp_path / "wild.json"
    path.write_bytes(Wild(seed).file())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonblocks, "BLOCK", size)
        patch.setattr(jsonblocks, "LONGEST", 4 * size)
        patch.setattr(jsonlist, "CHUNK", size)
        patch.setattr(bodypose, "MOST_PENDING", 5)
        patch.setattr(bodypose, "PENDING", 2)
        patch.setattr(bodypose, "FEWEST_BYTES", 200)
        patch.setattr(forked, "spare", lambda: helpers)
        agree(path, settings(pose_type=kind), scratch_file)


def test_memory_grows_neither_with_the_poses_nor_much_with_the_tracks(tmp_path, scratch_file, monkeypatch):
    monkeypatch.setattr(bodypose, "MOST_PENDING", 1000)
    path, peaks = tmp_path / "long.json", []
    objects = [thing(n // 20, [1] * 136) for n in range(8000)]
    for count in (4000, 8000):
        path.write_text(json.dumps([record(batch(one)) for one in objects[:count]]))
        tracemalloc.start()
        tracks, counts = bodypose.read_tracks(path, settings(num_joints=34), Scratch(scratch_file))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert (len(tracks), counts["frames"]) == (count // 20, count)
    assert peaks[1] - peaks[0] < 1e6  # 4000 poses as read are 4.4 MB
