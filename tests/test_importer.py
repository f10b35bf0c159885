from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest

from stgcn import arrays, dataset_convert, labels, people
from stgcn.errors import DataError, RefusedError, SpecError
from stgcn.formats import table
from stgcn.formats.base import Frame, Recording, name_of

JOINTS = 17
WIDTH, HEIGHT = 640, 480


def people_of(frames, seed=0, persons=1, ids=False):
    """Frames of people who walk from left to right, in pixels."""
    rng = np.random.default_rng(seed)
    bodies = rng.uniform(50, 150, (persons, JOINTS, 2)) + np.arange(persons)[:, None, None] * 150
    made = []
    for t in range(frames):
        moved = bodies + np.array([2 * t, 0]) + rng.normal(0, 1, bodies.shape)
        poses = np.concatenate([moved, np.full((persons, JOINTS, 1), 0.9)], axis=2)
        made.append(Frame(t, poses.astype(np.float32), tuple(f"p{i}" if ids else None for i in range(persons))))
    return made


@pytest.fixture
def fake(monkeypatch):
    """A format whose files are JSON of what a recording is made of; `broken` in a file is a bad record."""

    def units(root):
        paths = [root] if root.is_file() else sorted(root.rglob("*.fake"))
        return [path for path in paths if path.suffix == ".fake"]

    def read(unit, root, options):
        content = json.loads(unit.read_text())
        if content.get("broken"):
            options.bad(unit.name, "it is broken")
            return
        frames = people_of(content.get("frames", 20), seed=len(str(unit)), persons=content.get("persons", 1))
        for gap in content.get("gaps", ()):
            frames = [frame for frame in frames if frame.index != gap]
        more = {key: content[key] for key in ("label", "subject", "split") if key in content}
        channels = tuple(content.get("channels", ("x", "y", "score")))
        size = content.get("size", [WIDTH, HEIGHT])
        frames = [dataclasses.replace(frame, people=frame.people[..., : len(channels)]) for frame in frames]
        layout, length = content.get("layout", "coco"), content.get("frames", 20)
        yield Recording(name_of(unit, root), layout, channels, frames, length, size=tuple(size) if size else None, **more)

    module = types.SimpleNamespace(NAME="fake", units=units, read=read)
    monkeypatch.setattr(table, "FORMATS", {"fake": "fake"})
    monkeypatch.setattr(table, "reader_of", lambda _: module)


def write(folder, name, **content):
    path = folder / f"{name}.fake"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def classes(folder, count=10, names=("walk", "wave"), **content):
    for label in names:
        for i in range(count):
            write(folder, f"{label}/clip{i}", **content)


def convert(tmp_path, **settings):
    spec = {"data": str(tmp_path / "in"), "sequence_length_max": 50, "sequence_length": 20} | settings
    return dataset_convert.run({"results_dir": str(tmp_path / "out"), "dataset_convert": spec})


def card(tmp_path):
    return json.loads((tmp_path / "out" / "dataset_convert" / "data_card.json").read_text())


def sets(tmp_path):
    """(data, names, ids) by set, read as the trainer does."""
    folder = tmp_path / "out" / "dataset_convert"
    found = {}
    for name in ("train", "val", "test"):
        if (folder / f"{name}_data.npy").exists():
            found[name] = (np.load(folder / f"{name}_data.npy"), *labels.read_labels(folder / f"{name}_label.pkl"))
    return found


def test_who_performed_is_written_beside_the_data_for_cross_validation(fake, tmp_path):
    classes(tmp_path / "in")
    for i in range(6):
        write(tmp_path / "in", f"walk/more{i}", subject=f"ann{i % 3}")
    convert(tmp_path)
    told = people.table(tmp_path / "out" / "dataset_convert")
    assert told == {f"walk/more{i}": f"ann{i % 3}" for i in range(6)}
    assert set(told) <= {name for _, names, _ in sets(tmp_path).values() for name in names}


def test_class_folders_become_a_data_set_that_the_trainer_reads(fake, tmp_path):
    classes(tmp_path / "in")
    result = convert(tmp_path)
    folder = tmp_path / "out" / "dataset_convert"
    assert result["metrics"] | {"sequences": 20, "train": 14, "classes": 2} == result["metrics"]
    assert json.loads((folder / "label_map.json").read_text()) == {"walk": 0, "wave": 1}
    assert json.loads((folder / "layout.json").read_text())["name"] == "coco"
    for name, (data, names, ids) in sets(tmp_path).items():
        arrays.read_set(
            name, str(folder / f"{name}_data.npy"), str(folder / f"{name}_label.pkl"), channels=3, num_joints=17,
            layout_name="coco", num_classes=2, label_map={"walk": 0, "wave": 1}, need_labels=True,
        )  # fmt: skip
        assert data.dtype == np.float32
        assert data.shape[1:] == (3, 20, 17, 1)
        assert [sample.split("/")[0] for sample in names] == [("walk", "wave")[i] for i in ids]
    assert not list(folder.glob(".*"))
    assert "walk" in (folder / "card.md").read_text()


def test_pixels_are_divided_by_the_size_of_the_picture(fake, tmp_path):
    write(tmp_path / "in", "a/one")
    convert(tmp_path, split="1,0,0")
    data = sets(tmp_path)["train"][0]
    frames = people_of(20, seed=len(str(tmp_path / "in" / "a" / "one.fake")))
    expected = np.stack([frame.people[0] for frame in frames]) / [WIDTH, HEIGHT, 1] - [0.5, 0.5, 0]
    np.testing.assert_allclose(data[0, :, :, :, 0].transpose(1, 2, 0), expected, atol=1e-6)
    assert "640 x 480" in card(tmp_path)["normalisation"]


@pytest.mark.parametrize("size", [[1920, 1080], None])
def test_a_doubtful_picture_size_is_said(fake, tmp_path, size):
    write(tmp_path / "in", "a/one", size=size)
    convert(tmp_path, split="1,0,0")
    assert "dataset_convert.input_width" in " ".join(card(tmp_path)["notes"])


def test_subjects_are_never_on_two_sides(fake, tmp_path):
    for subject in range(8):
        for label in ("walk", "wave", "fall"):
            for i in range(2):
                write(tmp_path / "in", f"{label}/s{subject}_{i}", subject=f"s{subject}")
    convert(tmp_path, split="subject")
    found = card(tmp_path)["sets"]
    assert set(found) == {"train", "val", "test"}
    assert sorted(subject for own in found.values() for subject in own["subjects"]) == [f"s{i}" for i in range(8)]
    assert all(all(own["per_class"].values()) for own in found.values())


def test_windows_of_a_recording_stay_together(fake, tmp_path):
    classes(tmp_path / "in", count=5, frames=90)
    convert(tmp_path, sequence_length=20, sequence_length_max=30)
    homes = {}
    for name, (data, names, _) in sets(tmp_path).items():
        assert data.shape[2] == 20
        for sample in names:
            homes.setdefault(sample.rpartition("_w")[0], set()).add(name)
    assert len(homes) == 10
    assert all(len(home) == 1 for home in homes.values())
    assert sum(len(names) for _, names, _ in sets(tmp_path).values()) == 10 * 8


def test_segments_give_labels_to_windows(fake, tmp_path):
    for i in range(4):
        write(tmp_path / "in", f"day{i}", frames=60)
    rows = [f"day{i},{start},{start + 20},{label}" for i in range(4) for start, label in ((0, "walk"), (30, "fall"))]
    (tmp_path / "segments.csv").write_text("\n".join(["sample,start,end,label", *rows]))
    convert(tmp_path, segments=str(tmp_path / "segments.csv"))
    for _, names, ids in sets(tmp_path).values():
        assert all(("f000030" in name) == (i == 0) for name, i in zip(names, ids, strict=True))
    assert sum(own["sequences"] for own in card(tmp_path)["sets"].values()) == 8


def test_a_table_gives_label_subject_and_set(fake, tmp_path):
    for name in ("a", "b", "c", "d"):
        write(tmp_path / "in", f"deep/{name}")
    (tmp_path / "labels.csv").write_text(
        "Sample;Label;Subject;Split\na.mp4;walk;p1;training\ndeep/b;wave;p2;Train\nc;walk;p3;val\nd;wave;p4;test\nz;wave;p5;test\n"
    )
    convert(tmp_path, label_file=str(tmp_path / "labels.csv"))
    assert {name: own["subjects"] for name, own in card(tmp_path)["sets"].items()} == {
        "train": ["p1", "p2"], "val": ["p3"], "test": ["p4"],
    }  # fmt: skip
    assert "1 samples that are not in the data: z" in " ".join(card(tmp_path)["notes"])


def test_a_name_that_could_be_several_recordings_labels_none_of_them(fake, tmp_path):
    for folder in ("walk", "wave"):
        write(tmp_path / "in", f"{folder}/clip1", frames=40)
    (tmp_path / "labels.csv").write_text("sample,label\nclip1,walk\n")
    (tmp_path / "segments.csv").write_text("sample,start,end,label\nclip1,0,20,walk\n")
    for settings in ({"label_file": str(tmp_path / "labels.csv")}, {"segments": str(tmp_path / "segments.csv")}):
        with pytest.raises(DataError, match="'clip1' could be walk/clip1, wave/clip1; give the folders too"):
            convert(tmp_path, on_error="skip", **settings)
    assert os.listdir(tmp_path / "out" / "dataset_convert") == ["status.json"]


def test_a_table_of_which_nothing_fits_is_shown(fake, tmp_path):
    write(tmp_path / "in", "walk/clip1")
    (tmp_path / "labels.csv").write_text("sample,label\nclipp1,walk\n")
    with pytest.raises(DataError, match=r"labels\.csv names 1 samples that are not in the data: clipp1"):
        convert(tmp_path, label_file=str(tmp_path / "labels.csv"))


def test_a_set_that_is_none_is_said_with_the_table_that_has_it(fake, tmp_path):
    write(tmp_path / "in", "walk/clip1")
    (tmp_path / "labels.csv").write_text("sample,label,split\nclip1,walk,trian\n")
    with pytest.raises(DataError, match=r"'trian' of .*labels\.csv is none of train, val, test"):
        convert(tmp_path, label_file=str(tmp_path / "labels.csv"))


def test_folders_named_train_and_test_are_sets_and_val_comes_out_of_train(fake, tmp_path):
    classes(tmp_path / "in" / "train")
    classes(tmp_path / "in" / "test", count=3)
    convert(tmp_path)
    found = card(tmp_path)
    assert {name: own["sequences"] for name, own in found["sets"].items()} == {"train": 18, "val": 2, "test": 6}
    assert "taken out of train" in " ".join(found["notes"])


@pytest.mark.parametrize(
    ("settings", "shapes"),
    [
        ({}, {(3, 20, 17, 1)}),
        ({"persons": "slots"}, {(3, 20, 17, 2)}),
        ({"persons": "slots", "max_persons": 3}, {(3, 20, 17, 3)}),
    ],
)
def test_people_become_tracks_or_slots(fake, tmp_path, settings, shapes):
    write(tmp_path / "in", "a/one", persons=2)
    result = convert(tmp_path, split="1,0,0", **settings)
    data, names, _ = sets(tmp_path)["train"]
    assert {data.shape[1:]} == shapes
    assert result["metrics"]["sequences"] == (1 if settings else 2)
    assert names == (["a/one"] if settings else ["a/one_person0", "a/one_person1"])


@pytest.mark.parametrize(
    ("given", "wanted", "written"),
    [
        (("x", "y", "score"), "", ["x", "y", "score"]),
        (("x", "y", "score"), "x,y", ["x", "y"]),
        (("x", "y", "z"), "", ["x", "y", "z"]),
    ],
)
def test_channels_by_choice(fake, tmp_path, given, wanted, written):
    write(tmp_path / "in", "a/one", channels=given)
    convert(tmp_path, split="1,0,0", channels=wanted)
    assert card(tmp_path)["channels"] == written
    assert sets(tmp_path)["train"][0].shape[1] == len(written)
    with pytest.raises(DataError, match="the data have x, y"):
        convert(tmp_path, split="1,0,0", channels="x,depth")


def test_missed_frames_are_zero_and_keep_their_place(fake, tmp_path):
    write(tmp_path / "in", "a/one", gaps=[5, 6])
    convert(tmp_path, split="1,0,0")
    data = sets(tmp_path)["train"][0]
    assert np.flatnonzero(~data[0].any(axis=(0, 2, 3))).tolist() == [5, 6]


def test_without_labels_all_is_test(fake, tmp_path):
    classes(tmp_path / "in", count=2)
    result = convert(tmp_path, labels="none")
    folder = tmp_path / "out" / "dataset_convert"
    assert result["metrics"]["test"] == 4
    assert not (folder / "test_label.pkl").exists()
    assert len(json.loads((folder / "names.json").read_text())) == 4


def test_bad_records_are_all_named_or_left_out(fake, tmp_path):
    classes(tmp_path / "in", count=4)
    write(tmp_path / "in", "walk/bad1", broken=True)
    write(tmp_path / "in", "wave/other", layout="openpose")
    with pytest.raises(DataError) as error:
        convert(tmp_path)
    said = str(error.value)
    assert "bad1.fake: it is broken" in said
    assert "wave/other" in said
    assert "on_error=skip" in said
    assert os.listdir(tmp_path / "out" / "dataset_convert") == ["status.json"]
    convert(tmp_path, on_error="skip")
    assert card(tmp_path)["bad_records"]["count"] == 2


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"labels": "table"}, SpecError, "label_file is empty"),
        ({"split": "0.5,x"}, SpecError, "shares of train, val and test"),
        ({"split": "given"}, DataError, "have no set"),
        ({"split": "subject"}, DataError, "the subject of 8 sequences is not known"),
        ({"labels": "file"}, DataError, "the data give none"),
        ({"layout": "nowhere.yaml"}, SpecError, "no such file"),
        ({"layout": "openpose"}, DataError, "the data have 17 joints"),
        ({"sequence_length_min": 20, "sequence_length": 20, "label_file": "no.csv"}, DataError, "no.csv cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said(fake, tmp_path, settings, error, says):
    classes(tmp_path / "in", count=4)
    with pytest.raises(error, match=says):
        convert(tmp_path, **settings)


def test_too_short_recordings_are_named(fake, tmp_path):
    classes(tmp_path / "in", count=3)
    write(tmp_path / "in", "walk/short", frames=5)
    convert(tmp_path)
    (entry,) = card(tmp_path)["left_out"]["samples"]
    assert entry["name"] == "walk/short"
    assert "sequence_length_min" in entry["reason"]


def test_an_unknown_skeleton_asks_for_a_layout(fake, tmp_path):
    write(tmp_path / "in", "a/one", layout="custom")
    with pytest.raises(DataError, match=r"set dataset_convert.layout to one of .*coco"):
        convert(tmp_path, split="1,0,0")
    convert(tmp_path, split="1,0,0", layout="human3.6m")
    assert card(tmp_path)["layout"] == "human3.6m"


def test_another_data_set_is_not_overwritten_but_an_earlier_import_is(fake, tmp_path):
    classes(tmp_path / "in", count=10)
    convert(tmp_path)
    folder = tmp_path / "out" / "dataset_convert"
    (folder / ".importing-dead").mkdir()
    convert(tmp_path, split="0.8,0.2")
    assert not (folder / "test_data.npy").exists()
    assert not (folder / ".importing-dead").exists()
    (folder / "data_card.json").unlink()
    before = (folder / "train_data.npy").read_bytes()
    with pytest.raises(RefusedError, match="nothing is lost"):
        convert(tmp_path)
    assert (folder / "train_data.npy").read_bytes() == before


def test_the_same_input_and_seed_give_the_same_bytes(fake, tmp_path):
    classes(tmp_path / "in", persons=2)
    folder = tmp_path / "out" / "dataset_convert"
    made = []
    for seed in (1, 1, 2):
        convert(tmp_path, split_seed=seed)
        made.append({path.name: path.read_bytes() for path in folder.iterdir() if path.name != "status.json"})
    assert made[0] == made[1] != made[2]


def test_a_converted_folder_is_not_converted_again(fake, tmp_path):
    classes(tmp_path / "in", count=4)
    convert(tmp_path)
    with pytest.raises(DataError, match="converted already"):
        convert(tmp_path, data=str(tmp_path / "out" / "dataset_convert"))


def test_memory_does_not_grow_with_the_input(fake, tmp_path):
    import tracemalloc

    peaks = []
    for count in (5, 40):
        folder = tmp_path / str(count)
        classes(folder / "in", count=count, frames=50)
        tracemalloc.start()
        convert(folder)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2.5 * peaks[0]


def test_the_import_needs_no_torch():
    code = "import sys, stgcn.dataset_convert; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"
