"""What is noticed in the data before an action starts: said in the log and the status, kept for the report, seldom fatal."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_inspect import Data
from trainer_cases import status_lines, train_spec, write_checkpoint, write_set

from stgcn import arrays, description, evaluate, inference, inspect, sample, train
from stgcn.arrays import SkeletonSet
from stgcn.errors import DataError
from stgcn.graph import LAYOUTS
from stgcn.inspect import anatomy, before, leaks, source
from stgcn.inspect.finding import Finding
from stgcn.inspect.source import Part


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "data"
    sample.write_sample(folder, per_class=(8, 4, 4), frames=30, seed=4)
    return folder


@pytest.fixture
def data(made: Path) -> Data:
    return Data(made)


def sets(data: Data, *splits: str, labelled: bool = True) -> list[SkeletonSet]:
    return [
        SkeletonSet(s, s, data.arrays[s], data.names[s], np.array(data.ids[s]) if labelled else None)
        for s in splits or ("train", "val")
    ]


def look(data: Data, *splits: str, layout: str = "nvidia", **given: Any) -> dict[str, Finding]:
    labelled = given.pop("labelled", True)
    found = before.look(sets(data, *splits, labelled=labelled), LAYOUTS[layout], data.label_map, **given)
    return {finding.code: finding for finding in found}


def test_of_good_data_nothing_is_said(data: Data) -> None:
    found = look(data)
    assert before.said(list(found.values())) == []
    assert all(finding.level == "note" for finding in found.values())


def empty(data: Data) -> None:
    data.arrays["train"][6] = 0


def frozen(data: Data) -> None:
    block = data.arrays["train"][7]
    block[:, :, 24] = np.where(block.any(axis=(0, 2))[None], block[:, :1, 23], 0)


def jump(data: Data) -> None:
    data.arrays["val"][2, :, 10, 14] = 7.0


def missing(data: Data) -> None:
    data.arrays["val"][3, :, :, 10:30] = 0


def shuffled(data: Data) -> None:
    order = np.random.default_rng(1).permutation(34)
    data.arrays = {split: block[:, :, :, order] for split, block in data.arrays.items()}


def val_shuffled(data: Data) -> None:
    data.arrays["val"] = data.arrays["val"][:, :, :, np.random.default_rng(1).permutation(34)]


def uneven(data: Data) -> None:
    keep = [i for i, label in enumerate(data.ids["train"]) if label != 2 or i == data.ids["train"].index(2)]
    data.arrays["train"], data.ids["train"] = data.arrays["train"][keep], [data.ids["train"][i] for i in keep]
    data.names["train"] = [data.names["train"][i] for i in keep]


def leak(data: Data) -> None:
    longer = np.zeros((24, 3, 40, 34, 1), np.float32)
    longer[:, :, :30] = data.arrays["val"]
    longer[5:9, :, :30] = data.arrays["train"][10:14]
    data.arrays["val"] = longer
    data.ids["val"][5:9] = data.ids["train"][10:14]


def twice(data: Data) -> None:
    data.arrays["val"][1], data.ids["val"][1] = data.arrays["val"][0], data.ids["val"][0]


def contradiction(data: Data) -> None:
    data.arrays["train"][1], data.ids["train"][1] = data.arrays["train"][0], (data.ids["train"][0] + 1) % 6


@pytest.mark.parametrize(
    ("spoil", "code", "level", "said", "named"),
    [
        (empty, "empty", "warning", "1 train sequence with nobody in any frame", lambda d: [d.names["train"][6]]),
        (frozen, "frozen", "warning", "stand still", lambda d: [d.names["train"][7], "left_wrist"]),
        (jump, "jump", "warning", "jumps", lambda d: [d.names["val"][2], "right_heel at frame 1"]),
        (missing, "missing", "warning", "missing", lambda d: [d.names["val"][3]]),
        (shuffled, "layout", "error", "another order", lambda d: []),
        (val_shuffled, "order", "error", "joints of val", lambda d: []),
        (uneven, "imbalance", "warning", "1 to 8 training sequences", lambda d: []),
        (leak, "leak", "error", "4 of 24 val sequences are copies of train sequences", lambda d: d.names["val"][5:9]),
        (twice, "duplicates", "warning", "1 of 24 val sequences is a copy", lambda d: [d.names["val"][1]]),
        (contradiction, "contradiction", "error", "different labels", lambda d: d.names["train"][:2]),
    ],
)
def test_what_is_planted_is_found_by_name(data: Data, spoil: Any, code: str, level: str, said: str, named: Any) -> None:
    spoil(data)
    finding = look(data)[code]
    assert finding.level == level
    assert said in finding.text
    listed = "\n".join(finding.samples)
    assert all(name in listed for name in named(data))
    (text,) = (text for text in before.said([finding]))
    assert text.startswith("data check: ")
    kept = before.kept([finding])[0]
    assert json.loads(json.dumps(kept)) == kept
    assert kept["samples"] == list(finding.samples)


def test_the_layout_that_fits_is_named_for_training_and_not_advised_for_a_model(tmp_path: Path) -> None:
    """Bones of smpl_24 that swing, said to be of another layout of 24 joints."""
    layout, rng = LAYOUTS["smpl_24"], np.random.default_rng(2)
    place, known = np.zeros((20, 24, 24, 3)), {0}
    for a, b in layout.edges:  # from the pelvis outward
        turns = rng.normal(0, 0.25, (20, 24, 3)).cumsum(axis=1) + rng.normal(0, 1, (1, 1, 3))
        place[:, :, b] = place[:, :, a] + turns / np.linalg.norm(turns, axis=-1, keepdims=True) * 0.2
        known.add(b)
    block = place.transpose(0, 3, 1, 2)[..., None].astype(np.float32)
    one = [SkeletonSet("train", "x", block, [f"s{i}" for i in range(20)], np.arange(20) % 2)]
    found = {f.code: f for f in before.look(one, LAYOUTS["ntu_edge"], {"a": 0, "b": 1})}
    assert "smpl_24 fits the data better than ntu_edge (the spec)" in found["layout"].text
    assert "Set model.graph_layout=smpl_24" in found["layout"].text
    found = {f.code: f for f in before.look(one, LAYOUTS["ntu_edge"], {"a": 0, "b": 1}, source=anatomy.MODEL)}
    assert "than ntu_edge (the model)" in found["layout"].text
    assert "Set model" not in found["layout"].text


def test_a_set_of_nothing_stops_the_action(data: Data) -> None:
    data.arrays["train"][:] = 0
    data.arrays["val"][:] = 0
    with pytest.raises(DataError, match="every sequence is empty") as caught:
        look(data)
    assert [problem.split()[0] for problem in caught.value.problems] == ["train", "val"]


def test_too_much_data_is_not_looked_at_and_said(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    leak(data)
    empty(data)
    monkeypatch.setattr(before, "MOST_BYTES", 1000)
    found = look(data)
    assert set(found) == {"unchecked", "leak", "misnamed"}  # the copies bear names of another class
    assert "more than is looked at" in found["unchecked"].text


def test_without_labels_only_values_are_looked_at(data: Data) -> None:
    twice(data)
    jump(data)
    assert set(look(data, "val", labelled=False)) == {"jump", "origin"}


def test_sets_of_other_numbers_of_persons_are_taken(data: Data) -> None:
    data.arrays["val"] = np.concatenate([data.arrays["val"], np.zeros_like(data.arrays["val"])], axis=4)
    assert before.said(list(look(data).values())) == []


def test_two_persons_are_measured_as_one_is(data: Data) -> None:
    """However a block lies in memory, its values are the same."""
    one = data.arrays["train"][:5]
    two = np.concatenate([one, one[:, :, ::-1]], axis=4)
    part = Part("train", Path("x"), two, list("abcde"), None, None)
    np.testing.assert_array_equal(part.take([0, 2]), two[[0, 2]])
    np.testing.assert_array_equal(np.concatenate([block for _, block in part.blocks()]), two)


def test_copies_among_many_alike_beginnings_are_found_in_time() -> None:
    """Sequences that all begin with the same frames are candidates of each other; looking stays linear."""
    block = np.zeros((3000, 2, 20, 5, 1), np.float32)
    block[:, :, 12:] = np.random.default_rng(0).normal(size=(3000, 2, 8, 5, 1))
    block[2999] = block[3]
    part = Part("train", Path("x"), block, [f"s{i}" for i in range(3000)], None, None)
    began = time.perf_counter()
    (finding,) = leaks.quick({"train": part})
    assert list(finding.samples) == ["s2999 = s3"]
    assert time.perf_counter() - began < 5


def test_a_thousand_sequences_take_well_under_a_second() -> None:
    block = np.random.default_rng(0).normal(0, 0.3, (1000, 3, 60, 17, 1)).astype(np.float32)
    one = [SkeletonSet("train", "x", block, [f"s{i}" for i in range(1000)], np.arange(1000) % 3)]
    times = []
    for _ in range(3):
        began = time.process_time()
        before.look(one, LAYOUTS["coco"], {"a": 0, "b": 1, "c": 2})
        times.append(time.process_time() - began)
    assert min(times) < 0.7


# --- in the actions ---


def heard(folder: Path) -> list[str]:
    return [line["message"] for line in status_lines(folder) if str(line.get("message")).startswith("data check: ")]


def inspection(folder: Path) -> dict[str, dict[str, Any]]:
    return {told["code"]: told for told in json.loads((folder / "data_facts.json").read_text())["inspection"]}


def copy_into(paths: dict[str, str], other: dict[str, str], row: int, where: int) -> None:
    """Sequence ``row`` of a set takes the place of ``where`` in another."""
    theirs, ours = np.load(other["data_path"]), np.load(paths["data_path"])
    ours[where] = theirs[row]
    np.save(paths["data_path"], ours)


def test_training_says_what_it_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spec = train_spec(tmp_path / "data", tmp_path, num_epochs=1)
    copy_into(spec["dataset"]["val_dataset"], spec["dataset"]["train_dataset"], 3, 0)
    with caplog.at_level(logging.WARNING, "stgcn"):
        train.run(spec)
    wanted = "data check: 1 of 3 val sequences is a copy of train sequences: what val measures is too good: val_0 = train_3"
    assert wanted in heard(tmp_path / "train")
    assert wanted in caplog.text
    told = inspection(tmp_path / "train")["leak"]
    assert (told["level"], told["split"], told["count"], told["samples"]) == ("error", "val", 1, ["val_0 = train_3"])


def test_training_refuses_a_set_of_nothing(tmp_path: Path) -> None:
    spec = train_spec(tmp_path / "data", tmp_path)
    path = spec["dataset"]["val_dataset"]["data_path"]
    np.save(path, np.zeros_like(np.load(path)))
    with pytest.raises(DataError, match="val data: every sequence is empty"):
        train.run(spec)
    assert status_lines(tmp_path / "train")[-1]["status"] == "FAILURE"


def checkpoint(folder: Path, trained_on: dict[str, str]) -> str:
    """A checkpoint that says what it was trained on."""
    path = write_checkpoint(folder / "model.pth")
    content = torch.load(path, weights_only=True)
    content[description.KEY]["spec"] = {"dataset": {"train_dataset": trained_on}}
    torch.save(content, path)
    return str(path)


def test_evaluation_finds_copies_within_the_test_set_and_of_what_the_model_was_trained_on(tmp_path: Path) -> None:
    trained = write_set(tmp_path, "train", 9, seed=1)
    test = write_set(tmp_path, "test", 7, seed=3)
    copy_into(test, test, 0, 3)
    copy_into(test, trained, 4, 1)
    model = checkpoint(tmp_path, trained)
    evaluate.run({"results_dir": str(tmp_path), "evaluate": {"checkpoint": model, "test_dataset": test}})
    told = inspection(tmp_path / "evaluate")
    assert told["duplicates"]["samples"] == ["test_3 = test_0"]
    assert told["leak"]["samples"] == ["test_1 = train_4"]
    assert "1 of 7 test sequences is a copy of training sequences" in told["leak"]["text"]
    assert len(heard(tmp_path / "evaluate")) == sum(entry["level"] != "note" for entry in told.values())


@pytest.mark.parametrize(
    "trained",
    [
        {"data_path": "/nowhere/train.npy", "label_path": "???"},
        {"data_path": "", "label_path": ""},
        {"data_path": None},
        {"data_path": 7},
        {"data_path": "model.pth"},
        {"data_path": "flat.npy"},
        {"data_path": "test_data.npy"},  # the very file
    ],
)
def test_training_data_that_cannot_be_read_any_more_is_no_problem(
    tmp_path: Path, trained: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "flat.npy", np.zeros((3, 4)))
    model = checkpoint(tmp_path, trained)
    test = write_set(tmp_path, "test", 7, seed=3)
    evaluate.run({"results_dir": str(tmp_path), "evaluate": {"checkpoint": model, "test_dataset": test}})
    assert "leak" not in inspection(tmp_path / "evaluate")


def test_inference_looks_at_values(tmp_path: Path) -> None:
    test = write_set(tmp_path, "test", 7, seed=3)
    block = np.load(test["data_path"])
    block[2] = 0
    np.save(test["data_path"], block)
    model = write_checkpoint(tmp_path / "model.pth")
    spec = {
        "results_dir": str(tmp_path),
        "inference": {"checkpoint": str(model), "test_dataset": {"data_path": test["data_path"]}},
    }
    inference.run(spec)
    assert inspection(tmp_path / "inference")["empty"]["samples"] == ["2 (test)"]
    assert any("nobody in any frame" in text for text in heard(tmp_path / "inference"))
    np.save(test["data_path"], np.zeros_like(block))
    with pytest.raises(DataError, match="every sequence is empty"):
        inference.run(spec)


def test_a_conversion_is_looked_at_too(data: Data, tmp_path: Path) -> None:
    leak(data)
    folder = data.write(tmp_path / "data")
    facts, said = before.of_folder(folder)
    assert set(facts) == {"train", "val", "test", "inspection"}
    assert facts["train"]["sequences"] == 48
    assert any("4 of 24 val sequences are copies of train" in text for text in said)
    (folder / "layout.json").unlink()
    assert "4 of 24" in " ".join(before.of_folder(folder)[1])


def test_what_is_said_before_is_what_the_inspection_says(data: Data, tmp_path: Path) -> None:
    """One way to look: the cheap part finds the same by the same words."""
    for spoil in (twice, jump, missing, empty):
        spoil(data)
    folder = data.write(tmp_path / "data")
    full = {f["code"]: f for f in inspect.run({"data": str(folder)})["metrics"]["report"]["findings"]}
    opened = source.read(folder)
    one = [SkeletonSet(s, str(p.path), p.data, p.names, p.ids) for s, p in opened.parts.items()]
    found = before.kept(before.look(one, LAYOUTS["nvidia"], data.label_map))
    assert {told["code"] for told in found} >= {"duplicates", "jump", "missing", "empty"}
    for told in found:
        assert told == full[told["code"]]
    assert arrays.facts(one[0], data.label_map)["sequences"] == 48
