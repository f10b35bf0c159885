"""Tables and NumPy arrays of keypoints: columns and axes are understood or named, and nothing breaks a reader."""

from __future__ import annotations

import io
import json
import pickle
import tracemalloc
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgcn.errors import SpecError, TrainerError
from stgcn.formats import csv_columns, csv_table, numpy_arrays
from stgcn.formats.base import Options
from stgcn.graph import LAYOUTS

RNG = np.random.default_rng(5)
MAP = {
    "frame": "frame", "person": "id", "label": "action", "subject": "who",
    "x": "{joint}_x", "y": "{joint}_y", "score": "{joint}_conf",
}  # fmt: skip


class Collected:
    """Options that collect what is bad."""

    def __init__(self, **options):
        self.problems = []
        self.options = Options(bad=lambda where, why: self.problems.append(f"{where}: {why}"), **options)

    def read(self, module, root):
        return [recording for unit in module.units(root) for recording in module.read(unit, root, self.options)]


def table(tmp_path, text, **options):
    (tmp_path / "walk.csv").write_text(text, encoding="utf-8")
    collected = Collected(**options)
    return collected.read(csv_table, tmp_path), collected.problems


def test_a_wide_table_with_a_column_map(tmp_path):
    text = (
        "frame,id,action,who,nose_x,nose_y,nose_conf,neck_x,neck_y,neck_conf\n"
        "10,1,wave,p1,100,200,.5,300,400,.5\n11,1,wave,p1,101,200,.5,,,0\n10,2,wave,p1,900,90,.9,800,80,.9\n"
    )
    (recording,), problems = table(tmp_path, text, columns=MAP, size=(1920, 1080))
    assert problems == []
    assert (recording.name, recording.label, recording.subject, recording.length) == ("walk", "wave", "p1", 2)
    assert (recording.channels, recording.size) == (("x", "y", "score"), (1920, 1080))
    assert recording.facts["joints"] == ["nose", "neck"]
    assert recording.frames[0].ids == ("1", "2")
    assert recording.frames[0].people[1].tolist() == [[900, 90, np.float32(0.9)], [800, 80, np.float32(0.9)]]
    assert recording.frames[1].people.tolist() == [[[101, 200, 0.5], [0, 0, 0]]]


@pytest.mark.parametrize(
    ("header", "axes"),
    [
        ("frame,hip_x,hip_y,knee_x,knee_y", ("x", "y")),
        ("frame_id,x_hip,y_hip,c_hip,x_knee,y_knee,c_knee", ("x", "y", "score")),
        ("Frame,hip.X,hip.Y,hip.Z,knee.X,knee.Y,knee.Z", ("x", "y", "z")),
        ("frame,hipX,hipY,hipZ,kneeX,kneeY,kneeZ", ("x", "y", "z")),
        ("frame,x0,y0,z0,v0,x1,y1,z1,v1", ("x", "y", "z", "score")),
        ("frame,0_x,0_y,1_x,1_y", ("x", "y")),
        ("frame,hip x,hip y,hip likelihood,knee x,knee y,knee likelihood", ("x", "y", "score")),
    ],
)
def test_common_ways_to_call_the_columns(tmp_path, header, axes):
    count = header.count(",")
    (recording,), problems = table(tmp_path, f"{header}\n0,{','.join(str(i + 1) for i in range(count))}\n")
    assert problems == []
    assert recording.channels == axes
    assert recording.frames[0].people.tolist() == np.arange(1.0, count + 1).reshape(1, 2, -1).tolist()


def test_a_long_table_of_several_recordings(tmp_path):
    text = (
        "sample,frame,joint,x,y,z,class,split,subject\nv1,1,hip,1,2,3,run,train,p1\nv1,1,knee,1,2,4,run,train,p1\n"
        "v1,2,hip,1,2,3,run,train,p1\nv2,5,hip,1,2,3,sit,val,p2\nv1,9,hip,1,2,3,run,train,p1\nv1,9,knee,1,2,3,run,train,p1\n"
    )
    (first, second), problems = table(tmp_path, text)
    assert [first.name, first.label, first.split, first.subject] == ["walk/v1", "run", "train", "p1"]
    assert [second.name, second.label, second.split, second.length] == ["walk/v2", "sit", "val", 1]
    assert second.frames[0].people.tolist() == [[[1, 2, 3], [0, 0, 0]]]
    (problem,) = problems
    assert "line 6: rows of 'v1' do not lie together" in problem


def test_joints_named_as_in_a_layout_come_in_its_order(tmp_path):
    joints = LAYOUTS["coco"].joints
    header = ",".join(f"{joint}_{axis}" for joint in reversed(joints) for axis in "xy")
    (recording,), _ = table(tmp_path, f"{header}\n{','.join(map(str, range(34)))}\n")
    assert recording.layout == "coco"
    assert recording.facts["joints"] == list(joints)
    assert recording.frames[0].people[0, 0].tolist() == [32, 33]


def test_labels_that_change_make_a_recording_each(tmp_path):
    rows = [f"{t},1,{'walk' if t < 15 else 'sit'},1,2" for t in range(0, 30, 5)]
    (first, second), problems = table(tmp_path, "frame,id,action,nose_x,nose_y\n" + "\n".join(rows))
    assert problems == []
    assert [(one.name, one.label, one.length, one.facts["recording"]) for one in (first, second)] == [
        ("walk_f000000-000002", "walk", 3, "walk"), ("walk_f000003-000005", "sit", 3, "walk"),
    ]  # fmt: skip
    assert first.facts["frame_step"] == 5
    together = "frame,id,action,nose_x,nose_y\n0,a,walk,1,2\n0,b,sit,3,4\n1,a,walk,1,2\n1,b,sit,3,4\n"
    (first, second), problems = table(tmp_path, together)
    assert [(one.name, one.label, one.length, one.frames[0].ids) for one in (first, second)] == [
        ("walk/a", "walk", 2, ("a",)), ("walk/b", "sit", 2, ("b",)),
    ]  # fmt: skip


def test_other_dialects(tmp_path):
    (recording,), _ = table(tmp_path, "x0;y0;x1;y1\n1,5;2;3;4\n1;2;NaN;4\n")
    assert recording.frames[1].people.tolist() == [[[1, 2], [0, 0]]]
    assert recording.frames[0].people[0, 0, 0] == 1.5
    deeplabcut = "scorer,D,D,D\nbodyparts,paw,paw,paw\ncoords,x,y,likelihood\n0,1,2,.9\n1,1,2,.9\n"
    (recording,), _ = table(tmp_path, deeplabcut)
    assert (recording.channels, recording.facts["joints"], recording.length) == (("x", "y", "score"), ["paw"], 2)
    (recording,), _ = table(tmp_path, "\ufefftime,nose_x,nose_y\n" + "\n".join(f"{t / 25},1,2" for t in range(10)))
    assert recording.fps == pytest.approx(25)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("1,1,inf", "line 3: a coordinate is infinite"),
        ("1,oops,1", "line 3: a coordinate is no number"),
        ("1,1", "line 3: it has 2 cells; the header has 3"),
        ("0,1,2", "line 3: frame 0 has this person twice; name the column that tells people apart"),
        ("x,1,2", "line 3: its frame is 'x'"),
        ("1.5,1,2", "line 3: its frame is '1.5'"),
        ("99999999,1,2", "more than 2000000"),
        ('1,"' + "9" * 200_000 + '",2', "no table of UTF-8 text"),
    ],
)
def test_bad_rows_are_named(tmp_path, row, says):
    recordings, problems = table(tmp_path, f"frame,nose_x,nose_y\n0,1,2\n{row}\n")
    assert len(recordings) <= 1
    assert says in problems[0]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"frmae": "t"}, "did you mean frame?"),
        ({"x": "a"}, "has one of x and y"),
        ({"x": "{joint}_x", "y": "y"}, "{joint} must stand in all"),
        ({"frame": "{joint}"}, "{joint} may stand once"),
        ({"frame": 3}, "expected the name of a column"),
    ],
)
def test_wrong_column_maps_are_refused(columns, says):
    with pytest.raises(SpecError) as caught:
        csv_columns.understand(["x0", "y0"], columns)
    assert says in str(caught.value)


def test_a_map_that_does_not_fit_the_file_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("f,a_x,a_y\n0,1,2\n")
    for columns, says in [
        ({"frame": "g"}, "no column as the column map names it (frame: 'g'); it has 'f', 'a_x', 'a_y'"),
        ({"x": "{joint}_u", "y": "{joint}_v"}, "no joint has all the columns"),
        ({"x": "a_x", "y": "a_y"}, "no column that names the joint"),
    ]:
        collected = Collected(columns=columns)
        assert collected.read(csv_table, tmp_path) == []
        assert says in collected.problems[0]


def test_label_tables_are_not_claimed(tmp_path):
    (tmp_path / "labels.csv").write_text("sample,label,subject,split\na,b,c,train\n")
    (tmp_path / "empty.csv").write_text("")
    assert csv_table.units(tmp_path) == []


@pytest.mark.parametrize(
    ("shape", "axes", "recordings", "people"),
    [
        ((12, 17, 2), "TVC", 1, (1, 17, 2)),
        ((12, 25, 3), "TVC", 1, (1, 25, 3)),
        ((12, 25, 4), "TVC", 1, (1, 25, 4)),
        ((2, 12, 17), "CTV", 1, (1, 17, 2)),
        ((12, 2, 17, 2), "TMVC", 1, (2, 17, 2)),
        ((3, 12, 25, 2), "CTVM", 1, (2, 25, 3)),
        ((3, 10, 17, 2), "CTVM", 1, (2, 17, 3)),
        ((30, 12, 17, 2), "NTVC", 30, (1, 17, 2)),
        ((5, 3, 12, 25, 2), "NCTVM", 5, (2, 25, 3)),
        ((5, 2, 12, 25, 3), "NMTVC", 5, (2, 25, 3)),
        ((5, 60, 2, 25, 3), "NTMVC", 5, (2, 25, 3)),
    ],
)
def test_axes_are_told_from_shapes(tmp_path, shape, axes, recordings, people):
    values = RNG.normal(size=shape)
    np.save(tmp_path / "clip.npy", values)
    collected = Collected()
    found = collected.read(numpy_arrays, tmp_path)
    assert collected.problems == []
    assert len(found) == recordings
    assert {one.facts["axes"] for one in found} == {axes}
    assert found[0].frames[0].people.shape == people
    if "N" not in axes:
        whole, order = (values, axes) if "M" in axes else (values[None], f"M{axes}")
        moved = whole.transpose([order.index(axis) for axis in "TMVC"])
        assert np.array_equal(np.stack([frame.people for frame in found[0].frames]), moved.astype(np.float32))


def test_a_set_with_its_label_file(tmp_path):
    data = RNG.normal(size=(4, 3, 20, 25, 2)).astype(np.float32)
    data[:, :, 15:] = 0
    data[2] = 0
    np.save(tmp_path / "train_data.npy", data)
    (tmp_path / "train_label.pkl").write_bytes(pickle.dumps((["a_p1", "b_p1", "c_p2", "a_p1"], [0, 1, 0, 1])))
    (tmp_path / "label_map.json").write_text(json.dumps({"walk": 0, "run": 1}))
    collected = Collected()
    found = collected.read(numpy_arrays, tmp_path)
    assert [(one.name, one.label, one.split, one.length) for one in found] == [
        ("train_data/a_p1", "walk", "train", 15),
        ("train_data/b_p1", "run", "train", 15),
        ("train_data/a_p1#3", "run", "train", 15),
    ]  # fmt: skip
    (problem,) = collected.problems
    assert "clip 2 (train_data/c_p2): nobody is in it" in problem


def test_archives(tmp_path):
    flat = RNG.normal(size=(3, 10, 150))
    np.savez_compressed(tmp_path / "NTU60_CS.npz", x_train=flat, y_train=np.eye(60)[[1, 2, 3]], x_test=flat, y_test=[4, 5, 6])
    np.savez(tmp_path / "clip.npz", keypoints=RNG.random((10, 17, 2)), scores=RNG.random((10, 17)), label="wave", subject=b"p1")
    np.savez(tmp_path / "many.npz", first=RNG.random((10, 17, 2)), second=RNG.random((9, 17, 2)))
    np.savez(tmp_path / "said.npz", data=RNG.random((4, 10, 17, 2)), axes="MTVC", fps=25)
    collected = Collected()
    found = {one.name: one for one in collected.read(numpy_arrays, tmp_path)}
    assert collected.problems == []
    assert (found["NTU60_CS/NTU60_CS_train_000001"].label, found["NTU60_CS/NTU60_CS_test_000002"].label) == ("2", "6")
    assert found["NTU60_CS/NTU60_CS_test_000002"].split == "test"
    first = found["NTU60_CS/NTU60_CS_train_000000"].frames[0].people
    assert np.array_equal(first, flat[0, 0].reshape(2, 25, 3).astype(np.float32))
    assert (found["clip"].label, found["clip"].subject, found["clip"].channels) == ("wave", "p1", ("x", "y", "score"))
    assert (found["many/first"].length, found["many/second"].length) == (10, 9)
    assert found["said"].frames[0].people.shape == (4, 17, 2)


def test_missing_joints_and_pixels(tmp_path):
    poses = RNG.random((5, 17, 2)) * 1000
    poses[1, 3] = np.nan
    np.save(tmp_path / "pixels.npy", poses)
    np.save(tmp_path / "shares.npy", poses / 1000)
    pixels, shares = Collected(size=(1920, 1080)).read(numpy_arrays, tmp_path)
    assert (pixels.size, shares.size) == ((1920, 1080), None)
    assert not pixels.frames[1].people[0, 3].any()


def test_bad_arrays_are_named(tmp_path):
    np.save(tmp_path / "inf.npy", np.full((5, 17, 2), np.inf))
    np.save(tmp_path / "odd.npy", np.zeros((5, 17, 7)))
    np.savez(tmp_path / "objects.npz", data=np.zeros((5, 17, 2)), extra=np.array([{}], dtype=object))
    np.savez(tmp_path / "few.npz", data=np.zeros((9, 5, 17, 2)), labels=[1, 2])
    np.savez_compressed(tmp_path / "zeros.npz", data=np.zeros((9, 8, 17, 2)))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "few.npz").read_bytes()[:300])
    says = {
        "inf.npy": "infinite", "odd.npy": "no clip and no set", "objects.npz": "never loaded", "few.npz": "2 labels",
        "zeros.npz": "nobody", "cut.npz": "may be truncated",
    }  # fmt: skip
    for name, words in says.items():
        collected = Collected()
        assert list(numpy_arrays.read(tmp_path / name, tmp_path, collected.options)) == []
        assert words in collected.problems[0]


def test_a_large_archive_is_read_clip_by_clip(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", data=RNG.normal(size=(60, 3, 200, 25, 2)).astype(np.float32))
    path = tmp_path / "x.npz"
    tracemalloc.start()
    assert sum(1 for _ in numpy_arrays.read(path, path, Collected().options)) == 60
    assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 3
    tracemalloc.stop()


def _bytes(save, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


CSV = b"sample,frame,id,action,nose_x,nose_y,nose_conf\na,0,1,w,1,2,.5\na,1,1,s,1,2,.5\nb,0,2,w,,,\nb,1,2,w,3,4,1\n"
LONG = b"time;joint;x;y;label\n0,1;a;1;2;w\n0,1;b;1;2;w\n0,2;a;1,5;2;w\n"
CLIP = np.arange(24.0).reshape(3, 4, 2)
VALID = {
    "x.csv": (csv_table, CSV),
    "long.csv": (csv_table, LONG),
    "x.npy": (numpy_arrays, _bytes(np.save, arr=CLIP)),
    "x.npz": (numpy_arrays, _bytes(np.savez, data=CLIP[None].repeat(2, 0), labels=[0, 1], names=["a", "b"])),
    "z.npz": (numpy_arrays, _bytes(np.savez_compressed, x_train=CLIP, axes=np.array("TVC"))),
}
PIECES = st.binary(max_size=6) | st.sampled_from(
    [b"", b"\x00", b"\xff" * 4, b"-1", b"1e999", b"nan", b'"', b"\n", b"\r", b",", b";", b"9" * 400, b"'O'", b"(0,)", b"PK"]
)


@pytest.mark.parametrize("name", VALID)
@given(st.data())
@settings(deadline=None, max_examples=120)
def test_whatever_is_changed_in_a_file_no_reader_breaks(tmp_path_factory, name, data):
    module, content = VALID[name]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        content = content[:at] + data.draw(PIECES) + content[at + data.draw(st.sampled_from([0, 1, 2, 8, 10**6])) :]
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    collected = Collected()
    try:
        module.units(path)
        for recording in module.read(path, path, collected.options):
            assert all(np.isfinite(frame.people).all() for frame in recording.frames)
            assert all(0 <= frame.index < recording.length for frame in recording.frames)
    except TrainerError:
        pass


cells = st.text(max_size=8) | st.floats().map(str) | st.integers().map(str)


@given(
    st.lists(st.lists(cells, max_size=6), max_size=6), st.dictionaries(st.sampled_from(csv_columns.KEYS), st.text(max_size=8))
)
@settings(deadline=None, max_examples=150)
def test_any_cells_and_any_map(tmp_path_factory, rows, columns):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text("frame,x0,y0,x1,y1,label\n" + "\n".join(",".join(row) for row in rows), encoding="utf-8", errors="replace")
    with suppress(SpecError):
        list(csv_table.read(path, path, Collected(columns=columns).options))


def test_an_archive_that_unfolds_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("stgcn.formats.npz.ALWAYS_FINE", 1000)
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", _bytes(np.save, arr=np.zeros((400, 100, 17, 2))))
    collected = Collected()
    assert list(numpy_arrays.read(tmp_path / "x.npz", tmp_path, collected.options)) == []
    assert "more than 200 times its size" in collected.problems[0]
