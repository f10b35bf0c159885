from __future__ import annotations

import json
import time

import numpy as np
import pytest

from stgcn import arrays, dataset_convert, sample
from stgcn.errors import ResourceError, SpecError

PER_CLASS = (16, 4, 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    sample.write_sample(folder, per_class=PER_CLASS, frames=48, seed=3)
    return folder


@pytest.fixture(scope="module")
def sets(folder):
    return {
        split: arrays.read_set(
            split,
            str(folder / f"{split}_data.npy"),
            str(folder / f"{split}_label.pkl"),
            channels=3,
            num_joints=34,
            layout_name="nvidia",
            num_classes=6,
            label_map=json.loads((folder / "label_map.json").read_text()),
            need_labels=True,
        )
        for split in sample.SPLITS
    }


def test_all_files_are_there_and_say_that_they_are_synthetic(folder):
    assert {p.name for p in folder.iterdir()} == {
        *(f"{split}_{part}" for split in sample.SPLITS for part in ("data.npy", "label.pkl")),
        "label_map.json",
        "bodypose.json",
        "README.txt",
        "info.json",
    }
    info = json.loads((folder / "info.json").read_text())
    assert info["synthetic"] is True
    assert "Synthetic" in info["about"]
    assert "NOT recorded from people" in (folder / "README.txt").read_text()
    assert len(info["joints"]) == 34
    label_map = {"sitting_down": 0, "getting_up": 1, "sitting": 2, "standing": 3, "walking": 4, "jumping": 5}
    assert json.loads((folder / "label_map.json").read_text()) == label_map


@pytest.mark.parametrize(("split", "count"), list(zip(sample.SPLITS, PER_CLASS, strict=True)))
def test_the_sets_pass_the_checks_of_the_trainer(sets, split, count):
    skeletons = sets[split]
    assert skeletons.data.shape == (6 * count, 3, 48, 34, 1)
    facts = arrays.facts(skeletons, sample.LABEL_MAP)
    assert set(facts["per_class"].values()) == {count}
    assert 8 <= facts["frames"]["min"] < facts["frames"]["max"] <= 48
    assert 1 / 34 <= facts["missing_joint_share"] < 0.1  # the pelvis is the origin
    assert 0.5 < np.abs(skeletons.data).max() < 1.5
    assert all(name.rsplit("_p", 1)[0] == sample.CLASSES[i] for name, i in zip(skeletons.names, skeletons.labels, strict=True))


def test_names_are_unique_and_no_person_is_in_two_sets(sets):
    persons = {split: {name.split("_p")[-1][:2] for name in skeletons.names} for split, skeletons in sets.items()}
    assert sum(map(len, persons.values())) == len(set().union(*persons.values()))
    for skeletons in sets.values():
        assert len(set(skeletons.names)) == len(skeletons.names)


def test_classes_can_be_learned_but_not_for_nothing(sets):
    def features(skeletons):
        ends = arrays.valid_lengths(skeletons.data) - 1
        picked = np.round(np.linspace(0, 1, 16) * ends[:, None]).astype(int)
        return np.stack([clip[:, frames].ravel() for clip, frames in zip(skeletons.data, picked, strict=True)])

    known, asked = features(sets["train"]), features(sets["test"])
    nearest = ((known[:, None] - asked[None]) ** 2).sum(-1).argmin(0)
    accuracy = (sets["train"].labels[nearest] == sets["test"].labels).mean()
    assert 0.5 < accuracy < 0.98


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path):
    folders = [tmp_path / name for name in "abc"]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        sample.write_sample(folder, per_class=(1, 1, 1), frames=12, seed=seed)
    first, same, other = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in folders)
    assert first == same
    assert first["train_data.npy"] != other["train_data.npy"]


def test_the_bodypose_file_is_converted(folder, tmp_path):
    spec = {"results_dir": str(tmp_path), "dataset_convert": {"data": str(folder / "bodypose.json")}}
    for kind, channels in (("3dbp", 3), ("25dbp", 3), ("2dbp", 2)):
        spec["dataset_convert"]["pose_type"] = kind
        metrics = dataset_convert.run(spec)["metrics"]
        assert metrics["objects"] == 3
        assert metrics["windows"] >= 6
        windows = np.load(tmp_path / "dataset_convert" / "object_1.npy")
        assert windows.shape[1:] == (channels, 300, 34, 1)
    spec["dataset_convert"]["pose_type"] = "3dbp"
    dataset_convert.run(spec)
    converted = np.abs(np.load(tmp_path / "dataset_convert" / "object_1.npy")).max()
    assert converted == pytest.approx(np.abs(np.load(folder / "train_data.npy")).max(), rel=0.4)  # the same scale


def test_hundreds_of_sequences_take_seconds(tmp_path):
    start = time.monotonic()
    result = sample.write_sample(tmp_path, per_class=(60, 20, 20), frames=60)
    assert time.monotonic() - start < 10
    assert result["splits"]["train"]["shape"] == [360, 3, 60, 34, 1]
    assert result["files"]["train_data"] == str(tmp_path / "train_data.npy")


def test_wrong_numbers(tmp_path):
    with pytest.raises(SpecError) as caught:
        sample.write_sample(tmp_path / "x", per_class=(0, 1), frames=3)
    assert len(caught.value.problems) == 2
    assert not (tmp_path / "x").exists()


def test_an_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be written"):
        sample.write_sample(tmp_path / "file" / "x")
