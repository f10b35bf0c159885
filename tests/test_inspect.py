"""What `dataset inspect` finds in sets that are spoilt on purpose, and that it finds nothing in one that is not."""

from __future__ import annotations

import json
import pickle
import re
from contextlib import suppress

import numpy as np
import pytest

from stgcn import inspect, people, sample
from stgcn.errors import DataError, RefusedError, SpecError
from stgcn.graph import LAYOUTS
from stgcn.inspect import fix, survey, view
from stgcn.labels import read_labels

SPLITS = ("train", "val", "test")
CENTRE = 0  # the pelvis, from which the made-up data is measured


class Data:
    """A made-up set in memory, to be spoilt and written."""

    def __init__(self, folder):
        self.arrays = {split: np.load(folder / f"{split}_data.npy") for split in SPLITS}
        labels = {split: read_labels(folder / f"{split}_label.pkl") for split in SPLITS}
        self.names = {split: list(names) for split, (names, _) in labels.items()}
        self.ids = {split: ids.tolist() for split, (_, ids) in labels.items()}
        self.label_map = json.loads((folder / "label_map.json").read_text())
        self.layout = LAYOUTS["nvidia"].as_plain()

    def write(self, folder):
        folder.mkdir()
        for split, data in self.arrays.items():
            np.save(folder / f"{split}_data.npy", data)
            (folder / f"{split}_label.pkl").write_bytes(pickle.dumps((self.names[split], self.ids[split])))
        (folder / "label_map.json").write_text(json.dumps(self.label_map))
        if self.layout:
            (folder / "layout.json").write_text(json.dumps(self.layout))
        return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "data"
    sample.write_sample(folder, per_class=(8, 4, 4), frames=30, seed=4)
    return folder


@pytest.fixture
def data(made):
    return Data(made)


def found(folder, **settings):
    """Code to finding of a report."""
    report = survey.look(folder, **settings).report
    return {finding["code"]: finding for finding in report["findings"]}


def test_a_good_set_is_in_order(made):
    report = survey.look(made).report
    assert report["verdict"] == "in order"
    assert report["counts"]["error"] == report["counts"]["warning"] == 0
    assert report["layout"]["name"] == "nvidia"
    assert report["layout"]["strain"] < 0.3
    assert report["splits"]["train"]["per_class"] == dict.fromkeys(sample.LABEL_MAP, 8)
    assert report["people"]["known"]
    assert report["settings"]["model.graph_layout"] == "nvidia"
    assert report["settings"]["dataset.num_classes"] == 6
    json.dumps(report, allow_nan=False)


def nan(data):
    data.arrays["train"][3, 0, 2, 5] = np.nan
    data.arrays["train"][3, 1, 3, 5] = np.inf


def leak(data):
    data.arrays["test"][5:9] = data.arrays["train"][10:14]
    data.ids["test"][5:9] = data.ids["train"][10:14]


def twice(data):
    data.arrays["val"][1], data.ids["val"][1] = data.arrays["val"][0], data.ids["val"][0]


def contradiction(data):
    data.arrays["train"][1], data.ids["train"][1] = data.arrays["train"][0], (data.ids["train"][0] + 1) % 6


def subject(data):
    data.names["val"][2] = re.sub(r"_p\d+_", "_p01_", data.names["val"][2])


def shuffled(data):
    order = np.random.default_rng(1).permutation(34)
    data.arrays = {split: block[:, :, :, order] for split, block in data.arrays.items()}


def split_shuffled(data):
    data.arrays["test"] = data.arrays["test"][:, :, :, np.random.default_rng(1).permutation(34)]


def one_shuffled(data):
    data.arrays["train"][4] = data.arrays["train"][4][:, :, np.random.default_rng(1).permutation(34)]


def frozen(data):
    block = data.arrays["train"][7]
    block[:, :, 24] = np.where(block.any(axis=(0, 2))[None], block[:, :1, 23], 0)


def jump(data):
    data.arrays["val"][2, :, 10, 14] = 7.0


def gap(data):
    data.arrays["train"][2, :, 4:10] = 0


def missing(data):
    data.arrays["val"][3, :, :, 10:30] = 0


def empty(data):
    data.arrays["train"][6] = 0


def scale(data):
    data.arrays["test"] *= 3


def units(data):
    data.arrays = {split: block * 1200 for split, block in data.arrays.items()}


def axes(data):
    data.arrays["train"] = data.arrays["train"].transpose(0, 2, 3, 1, 4)


def flat(data):
    data.arrays["train"] = data.arrays["train"][..., 0]


def channels(data):
    data.arrays["test"] = data.arrays["test"][:, :2]


def stray(data):
    data.ids["val"][3] = 17


def map_gap(data):
    data.label_map["jumping"] = 9


def lost_class(data):
    data.ids["train"] = [0 if i == 5 else i for i in data.ids["train"]]


def misnamed(data):
    data.ids["train"][5] = (data.ids["train"][5] + 1) % 6


def fewer_labels(data):
    data.ids["val"].pop()
    data.names["val"].pop()


def other_layout(data):
    data.layout = LAYOUTS["coco"].as_plain()


@pytest.mark.parametrize(
    ("spoil", "code", "level", "said", "named"),
    [
        (nan, "nonfinite", "error", "NaN", lambda d: [d.names["train"][3]]),
        (leak, "leak", "error", "4 of 24 test sequences are copies of train", lambda d: d.names["test"][5:9]),
        (twice, "duplicates", "warning", "1 of 24 val sequences is a copy", lambda d: [d.names["val"][1], d.names["val"][0]]),
        (contradiction, "contradiction", "error", "different labels", lambda d: d.names["train"][:2]),
        (subject, "subjects", "warning", "in train and val", lambda d: [d.names["val"][2]]),
        (shuffled, "layout", "error", "another order", lambda d: []),
        (split_shuffled, "order", "error", "joints of test", lambda d: []),
        (one_shuffled, "proportions", "warning", "proportions", lambda d: [d.names["train"][4]]),
        (frozen, "frozen", "warning", "stand still", lambda d: [d.names["train"][7], "left_wrist"]),
        (jump, "jump", "warning", "jumps", lambda d: [d.names["val"][2], "right_heel at frame 1"]),
        (gap, "gaps", "warning", "nobody", lambda d: [d.names["train"][2]]),
        (missing, "missing", "warning", "missing", lambda d: [d.names["val"][3]]),
        (empty, "empty", "warning", "nobody in any frame", lambda d: [d.names["train"][6]]),
        (scale, "scale", "warning", "different size", lambda d: []),
        (units, "units", "warning", "millimetres", lambda d: []),
        (axes, "shape", "error", "data.transpose(0, 3, 1, 2, 4)", lambda d: []),
        (flat, "shape", "error", "data[..., None]", lambda d: []),
        (channels, "form", "error", "[2, 34, 1]", lambda d: []),
        (stray, "class_ids", "error", "17 (1 times)", lambda d: [d.names["val"][3]]),
        (map_gap, "label_map", "error", "contiguous", lambda d: []),
        (lost_class, "no_samples", "error", "jumping", lambda d: []),
        (misnamed, "misnamed", "warning", "1 train sample bears", lambda d: [d.names["train"][5]]),
        (fewer_labels, "label_count", "error", "23 labels for 24 sequences", lambda d: []),
        (other_layout, "layout_size", "error", "17 joints", lambda d: []),
    ],
)
def test_what_is_planted_is_found_by_name(data, tmp_path, spoil, code, level, said, named):
    spoil(data)
    findings = found(data.write(tmp_path / "data"))
    assert code in findings, sorted(findings)
    assert findings[code]["level"] == level
    assert said in findings[code]["text"]
    listed = "\n".join(findings[code]["samples"])
    for name in named(data):
        assert name in listed


@pytest.mark.parametrize(("name", "wrong"), [("coco", "human3.6m"), ("openpose", "smpl_24")])
def test_another_layout_of_as_many_joints_is_told_apart(name, wrong, tmp_path):
    """A body whose bones swing about their joints; the layouts share their number of joints, or are of another."""
    layout, rng = LAYOUTS[name], np.random.default_rng(2)
    place = np.zeros((20, 24, layout.num_joints, 3))
    known = {layout.center}
    while len(known) < layout.num_joints:
        a, b = next((a, b) for e in layout.edges for a, b in (e, e[::-1]) if a in known and b not in known)
        angles = rng.normal(0, 0.25, (20, 24, 3)).cumsum(axis=1) + rng.normal(0, 1, (1, 1, 3))
        place[:, :, b] = place[:, :, a] + angles / np.linalg.norm(angles, axis=-1, keepdims=True) * 0.2
        known.add(b)
    place += rng.normal(0, 0.05, (20, 24, 1, 3)).cumsum(axis=1)
    np.save(tmp_path / "train_data.npy", place.transpose(0, 3, 1, 2)[..., None].astype(np.float32))
    (tmp_path / "train_label.pkl").write_bytes(pickle.dumps(([f"s{i}" for i in range(20)], [i % 2 for i in range(20)])))
    report = survey.look(tmp_path).report
    assert report["layout"]["name"] == name
    assert report["layout"]["source"] == "likely"
    findings = found(tmp_path, layout=wrong)
    code = "layout" if LAYOUTS[wrong].num_joints == layout.num_joints else "layout_size"
    assert name in findings[code]["text"]


def test_repairs_take_the_errors_away_and_leave_the_source(data, tmp_path):
    for spoil in (nan, leak, twice, empty, map_gap):
        spoil(data)
    data.ids = {split: [9 if i == 5 else i for i in ids] for split, ids in data.ids.items()}
    data.arrays["train"][9, :, 3:6, 12] = 0
    folder = data.write(tmp_path / "data")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    looked = survey.look(folder)
    report = fix.write(looked, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    after = survey.look(tmp_path / "out").report
    codes = {finding["code"] for finding in after["findings"] if finding["level"] != "note"}
    assert codes == {"misnamed"}  # the planted copies bear names of another class
    assert {split: facts["sequences"] for split, facts in after["splits"].items()} == {"train": 43, "val": 23, "test": 24}
    assert set(json.loads((tmp_path / "out" / "label_map.json").read_text()).values()) == set(range(6))
    assert report["interpolated"]["train"] >= 3
    assert [row["why"] for row in report["dropped"] if row["split"] == "val"] == [f"copy of {data.names['val'][0]} (val)"]
    with pytest.raises(RefusedError, match="not empty"):
        fix.write(looked, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out"]


def test_repairs_keep_what_training_reads_beside_the_data(data, tmp_path):
    folder = data.write(tmp_path / "data")
    (folder / "subjects.csv").write_text("sample,subject\na,anna\n")
    (folder / "data_card.json").write_text(json.dumps({"confidence_channel": 2, "input_channels": 3, "notes": ["one"]}))
    fix.write(survey.look(folder), tmp_path / "out")
    card = json.loads((tmp_path / "out" / "data_card.json").read_text())
    assert (card["confidence_channel"], card["input_channels"], card["notes"][0]) == (2, 3, "one")
    assert "repairs.json" in card["notes"][1]
    assert people.table(tmp_path / "out") == {"a": "anna"}
    (folder / "data_card.json").write_text("broken")
    fix.write(survey.look(folder), tmp_path / "again")
    assert not (tmp_path / "again" / "data_card.json").exists()


def test_gaps_are_filled_on_the_line_between_and_no_farther():
    block = np.zeros((1, 2, 20, 3, 1), np.float32)
    block[0, :, :, :, 0] = np.arange(1, 21)[None, :, None]
    block[0, :, 4:9, 1] = 0  # five frames
    block[0, :, 10:16, 2] = 0  # six
    block[0, 1, 2, 0] = np.nan
    block[0, :, :2, 0] = 0  # at the beginning
    filled, count = fix.interpolate(block, view.View(2, None, (), ()))
    assert count == 5
    assert np.allclose(filled[0, :, 4:9, 1, 0], np.arange(5, 10))
    assert not filled[0, :, 10:16, 2].any()
    assert not filled[0, :, :3, 0].any()


@pytest.mark.parametrize(
    ("names", "subjects"),
    [
        ([f"S00{s}C001P{p:03}R001A007" for p in (3, 11) for s in (1, 2)], ["003", "003", "011", "011"]),
        (["a01_s01_e00", "a02_s01_e01", "a01_s02_e00", "a02_s02_e00"], ["1", "1", "2", "2"]),
        (["walk/person04_x", "run/person04_y", "walk/person5_x", "run/person5_y"], ["4", "4", "5", "5"]),
        (["train000", "train001", "train002", "train003"], [None] * 4),
        (["clip_p1", "clip_p2", "clip_p3", "clip_p4"], [None] * 4),
    ],
)  # fmt: skip
def test_subjects_are_told_by_names(names, subjects):
    assert people.subjects(names, {})[0] == subjects


def test_subjects_of_a_table(data, tmp_path):
    data.names = {split: [f"{split}{i}" for i in range(len(names))] for split, names in data.names.items()}
    folder = data.write(tmp_path / "data")
    assert "subjects" not in found(folder)
    rows = [f"{name},{'anna' if i % 2 else 'ben'}" for names in data.names.values() for i, name in enumerate(names)]
    (folder / "subjects.csv").write_text("sample,subject\n" + "\n".join(rows))
    assert "ben, anna (told by the table" in found(folder)["subjects"]["text"]
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        survey.look(folder, subjects=tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("write", "error", "said"),
    [
        (lambda folder: None, DataError, "holds no <split>_data.npy"),
        (lambda folder: (folder / "train_data.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr'"), DataError, "npy"),
        (lambda folder: np.save(folder / "train_data.npy", np.array([{}], dtype=object)), DataError, "Python objects"),
    ],
)
def test_what_is_no_data_set_is_said_in_words(tmp_path, write, error, said):
    write(tmp_path)
    with pytest.raises(error, match=said):
        inspect.run({"data": str(tmp_path)})


def test_an_unknown_layout_is_said_in_words(made):
    with pytest.raises(SpecError, match="coco"):
        inspect.run({"data": str(made), "layout": "cocos"})


@pytest.mark.parametrize("seed", range(12))
def test_broken_bytes_end_in_words_or_in_a_report(made, tmp_path, seed):
    """Mutated files: no exception but the trainer's own, and a report that is strict JSON."""
    rng = np.random.default_rng(seed)
    folder = Data(made).write(tmp_path / "data")
    for path in folder.iterdir():
        content = bytearray(path.read_bytes())
        spots = rng.integers(0, len(content) if rng.random() < 0.5 else min(len(content), 160), 6)
        for spot in spots.tolist():
            content[spot] = int(rng.integers(256))
        path.write_bytes(bytes(content[: int(rng.integers(1, len(content)))] if rng.random() < 0.15 else content))
    with suppress(DataError, SpecError):
        done = inspect.run({"data": str(folder), "html": str(tmp_path / "page.html")})
        json.dumps(done["metrics"]["report"], allow_nan=False)


def test_the_page_needs_nothing_else_and_escapes_names(data, tmp_path):
    leak(data)
    jump(data)
    data.names["val"][2] = "<script>alert(1)</script>"
    done = inspect.run({"data": str(data.write(tmp_path / "data")), "html": str(tmp_path / "page.html")})
    page = (tmp_path / "page.html").read_text()
    assert done["artifacts"]["html"] == str(tmp_path / "page.html")
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=|url\(|@import|https?://", page)
    assert page.count('class="moving"') == 6
    assert "&lt;script&gt;alert(1)" in page
    assert "prefers-color-scheme: dark" in page


def test_the_command(data, tmp_path, pose_classification):
    folder = data.write(tmp_path / "good")
    done = pose_classification("dataset", "inspect", folder, "--html", tmp_path / "page.html")
    assert done.code == 0, done.err
    assert "in order" in done.out
    leak(data)
    folder = data.write(tmp_path / "leaking")
    done = pose_classification("dataset", "inspect", folder, "--json", "--fix", tmp_path / "fixed")
    assert done.code == 4
    assert done.envelope["findings"][0]["code"] == "leak"
    assert pose_classification("dataset", "inspect", tmp_path / "fixed").code == 0
    done = pose_classification("dataset", "inspect", tmp_path / "nowhere")
    assert (done.code, done.out) == (4, "")
    assert "not there" in done.err
