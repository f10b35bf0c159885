"""Wrong input through the command line people type: one message, the exit code, no traceback, nothing half-written."""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from runner import bank, plan, tao_cli

N, C, T, V, M = 12, 3, 12, 17, 1
CLASSES = ("sit", "stand", "walk")


def save_set(folder: Path, split: str, data: np.ndarray | None = None, labels: Any = None) -> None:
    rng = np.random.default_rng(3)
    data = rng.normal(size=(N, C, T, V, M)).astype(np.float32) if data is None else data
    labels = ([f"s{i}" for i in range(N)], [i % 3 for i in range(N)]) if labels is None else labels
    np.save(folder / f"{split}_data.npy", data)
    (folder / f"{split}_label.pkl").write_bytes(pickle.dumps(labels, protocol=4))


def good_spec(folder: Path) -> dict[str, Any]:
    paths = {
        f"{s}_dataset": {"data_path": str(folder / f"{s}_data.npy"), "label_path": str(folder / f"{s}_label.pkl")}
        for s in ("train", "val")
    }
    return {
        "results_dir": str(folder / "results"),
        "model": {"graph_layout": "coco"},
        "dataset": {**paths, "num_classes": 3, "label_map": {name: i for i, name in enumerate(CLASSES)}, "num_workers": 0},
        "train": {"num_epochs": 1},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        save_set(tmp_path, split)
    return tmp_path


@pytest.fixture
def call(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """`pose_classification ACTION -e SPEC overrides`, in this process: exit code and what was said."""

    def run(spec: dict[str, Any] | str, *words: str, action: str = "train") -> tuple[int, str]:
        path = folder / "spec.yaml"
        path.write_text(spec if isinstance(spec, str) else yaml.safe_dump(spec))
        capsys.readouterr()
        code = tao_cli.main([action, "-e", str(path), *words])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return code, said.err

    return run


def changed(spec: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    *sections, last = key.split(".")
    place = spec
    for section in sections:
        place = place.setdefault(section, {})
    place[last] = value
    return spec


WRONG_VALUES = [
    ("train.num_epoch", 3, r"train\.num_epoch.*did you mean train\.num_epochs"),
    ("trian.num_epochs", 3, r"trian.*(train|did you mean)"),
    ("train.num_epochs", "ten", r"train\.num_epochs.*integer"),
    ("train.num_epochs", 2.5, r"train\.num_epochs.*integer"),
    ("train.num_epochs", 0, r"train\.num_epochs.*out of bounds.*at least 1"),
    ("model.dropout", 5, r"model\.dropout.*out of bounds.*from 0\.0 to 1\.0"),
    ("model.dropout", "abc", r"model\.dropout.*number"),
    ("dataset.batch_size", -4, r"dataset\.batch_size.*out of bounds"),
    ("train.optim.lr", -1, r"train\.optim\.lr.*out of bounds"),
    ("dataset.random_move", "perhaps", r"dataset\.random_move.*true or false"),
    ("model.graph_layout", "kinect", r"model\.graph_layout.*nvidia, openpose"),
    ("model.graph_layout", "cocoo", r"did you mean coco"),
    ("train.optim.optimizer_type", "SGD", r"optimizer_type.*torch\.optim\.SGD"),
    ("dataset.label_map", ["sit", "stand", "walk"], r"dataset\.label_map.*mapping"),
    ("dataset.label_map", {"sit": 0, "stand": 1, "walk": 3}, r"label_map"),
    ("dataset.label_map", {"sit": 0, "stand": 1, "walk": 1}, r"label_map"),
    ("dataset.num_classes", 4, r"num_classes"),
    ("train.num_nodes", 2, r"num_nodes.*only 1"),
    ("train.optim.lr", float("nan"), r"(?i)nan"),
    ("train.lr", 0.1, r"train\.lr.*train\.optim\.lr"),
    ("train.optim", 3, r"train\.optim.*mapping"),
]


@pytest.mark.parametrize(("key", "value", "says"), WRONG_VALUES, ids=[f"{k}={v}" for k, v, _ in WRONG_VALUES])
def test_a_wrong_value(folder: Path, call: Any, key: str, value: Any, says: str) -> None:
    code, said = call(changed(good_spec(folder), key, value))
    assert code == 3, said
    assert re.search(says, said), said
    assert not list(folder.rglob("*.pth"))


def test_all_problems_at_once(folder: Path, call: Any) -> None:
    spec = good_spec(folder)
    for key, value in (("train.num_epoch", 3), ("model.dropout", 5), ("model.graph_layout", "x"), ("dataset.batch_size", "a")):
        changed(spec, key, value)
    changed(spec, "dataset.train_dataset.data_path", str(folder / "none.npy"))
    code, said = call(spec)
    assert code == 3
    for word in ("train.num_epoch", "model.dropout", "model.graph_layout", "dataset.batch_size", "none.npy"):
        assert word in said


WRONG_TEXTS = [
    ("results_dir: r\ntrain.num_epochs: 3\n", r"train\.num_epochs.*(dot|nested)"),
    ("results_dir: r\ntrain:\n  num_epochs: 3\n  num_epochs: 4\n", r"num_epochs.*(twice|duplicate|line)"),
    ("results_dir: [r\n", r"(?i)line"),
    ("- a\n- b\n", r"(?i)mapping|section"),
    ("results_dir: !!python/object/apply:os.system ['touch owned']\n", r"(?i)tag"),
    ("train: {num_epochs: .nan}\n", r"(?i)nan"),
    ("", r"results_dir"),
    ("\x00\x01", r"(?i)character|yaml|read"),
]


@pytest.mark.parametrize(("text", "says"), WRONG_TEXTS, ids=range(len(WRONG_TEXTS)))
def test_an_unreadable_spec(folder: Path, call: Any, text: str, says: str) -> None:
    code, said = call(text)
    assert code == 3, said
    assert re.search(says, said), said
    assert not (folder / "owned").exists()
    assert not Path("owned").exists()


def test_a_missing_spec_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert tao_cli.main(["train", "-e", str(tmp_path / "none.yaml")]) in (2, 3)
    assert "none.yaml" in capsys.readouterr().err


def test_a_wrong_action_and_a_wrong_override(call: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tao_cli.main(["trian", "-e", "x"]) == 2
    assert "train" in capsys.readouterr().err
    assert call(good_spec(folder), "train.num_epochs")[0] == 2
    code, said = call(good_spec(folder), "train.num_epoch=3", "model.dropot=1")
    assert code == 3
    assert "did you mean train.num_epochs" in said
    assert "did you mean model.dropout" in said


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch owned",)


def good_data() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N, C, T, V, M)).astype(np.float32)


def with_nan() -> np.ndarray:
    data = good_data()
    data[4, 0, 3, 2, 0] = np.nan
    data[7, 1, 0, 0, 0] = np.inf
    return data


LABELS = ([f"s{i}" for i in range(N)], [i % 3 for i in range(N)])
WRONG_DATA: list[tuple[str, Callable[[Path], None], str]] = [
    ("missing", lambda f: (f / "train_data.npy").unlink(), r"train_data\.npy"),
    ("empty file", lambda f: (f / "train_data.npy").write_bytes(b""), r"train_data\.npy.*empty"),
    ("truncated", lambda f: (f / "train_data.npy").write_bytes((f / "train_data.npy").read_bytes()[:-400]), r"train_data\.npy"),
    ("not npy", lambda f: (f / "train_data.npy").write_text("hello, I am text"), r"train_data\.npy"),
    ("wrong rank", lambda f: np.save(f / "train_data.npy", good_data()[..., 0]), r"\(N, C, T, V, M\)"),
    ("text dtype", lambda f: np.save(f / "train_data.npy", good_data().astype("U4")), r"(?i)dtype|type"),
    ("objects", lambda f: np.save(f / "train_data.npy", np.array([{}] * 3, object), allow_pickle=True), r"(?i)object"),
    ("no sequences", lambda f: save_set(f, "train", good_data()[:0], ([], [])), r"(?i)no sequences|empty|N"),
    ("nan and inf", lambda f: save_set(f, "train", with_nan()), r"s4"),
    ("joints", lambda f: save_set(f, "train", good_data()[:, :, :, :15]), r"15.*17|17.*15"),
    ("channels", lambda f: save_set(f, "train", good_data()[:, :2]), r"input_channels"),
    ("fewer labels", lambda f: save_set(f, "train", labels=(LABELS[0][:9], LABELS[1][:9])), r"12.*9|9.*12"),
    ("label out of range", lambda f: save_set(f, "train", labels=(LABELS[0], [9, *LABELS[1][1:]])), r"9"),
    ("negative label", lambda f: save_set(f, "train", labels=(LABELS[0], [-1, *LABELS[1][1:]])), r"-1"),
    ("malicious labels", lambda f: save_set(f, "train", labels=(LABELS[0], [Evil()])), r"(?i)refused|not allowed|system"),
    ("labels of wrong form", lambda f: save_set(f, "train", labels={"a": 1}), r"train_label\.pkl"),
    ("labels truncated", lambda f: (f / "train_label.pkl").write_bytes(pickle.dumps(LABELS)[:-9]), r"train_label\.pkl"),
    ("labels missing", lambda f: (f / "train_label.pkl").unlink(), r"train_label\.pkl"),
]


@pytest.mark.parametrize(("spoil", "says"), [(s, w) for _, s, w in WRONG_DATA], ids=[n for n, _, _ in WRONG_DATA])
def test_wrong_data(folder: Path, call: Any, monkeypatch: pytest.MonkeyPatch, spoil: Any, says: str) -> None:
    monkeypatch.chdir(folder)
    spoil(folder)
    code, said = call(good_spec(folder))
    assert code == 4, said
    assert re.search(says, said), said
    assert not (folder / "owned").exists()
    assert not list(folder.rglob("*.pth"))


def test_problems_of_both_sets_at_once_and_a_truthful_status(folder: Path, call: Any) -> None:
    save_set(folder, "train", with_nan())
    save_set(folder, "val", good_data()[:, :, :, :15])
    code, said = call(good_spec(folder))
    assert code == 4
    assert "s4" in said
    assert "15" in said
    last = json.loads((folder / "results/train/status.json").read_text().splitlines()[-1])
    assert last["status"] == "FAILURE"


def test_float64_is_converted_and_said(folder: Path, call: Any) -> None:
    save_set(folder, "train", good_data().astype(np.float64))
    code, _ = call(good_spec(folder))
    assert code == 0
    assert "float64" in (folder / "results/train/status.json").read_text()


def test_an_unwritable_results_folder(folder: Path, call: Any) -> None:
    (folder / "file").write_text("")
    spec = changed(good_spec(folder), "results_dir", str(folder / "file"))
    code, said = call(spec)
    assert code == 7, said
    assert str(folder / "file") in said


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    for split in ("train", "val"):
        save_set(folder, split)
    spec = folder / "spec.yaml"
    spec.write_text(yaml.safe_dump(good_spec(folder)))
    assert tao_cli.main(["train", "-e", str(spec)]) == 0
    return folder / "results/train/pc_model_latest.pth"


def evaluation(folder: Path, checkpoint: Path) -> dict[str, Any]:
    spec = good_spec(folder)
    spec["evaluate"] = {"checkpoint": str(checkpoint), "test_dataset": dict(spec["dataset"]["val_dataset"])}
    return spec


WRONG_CHECKPOINTS: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("truncated", lambda b: b[: len(b) // 2], r"(?i)truncated|broken|damaged|not a checkpoint|cannot be read"),
    ("not a checkpoint", lambda b: b"hello", r"(?i)not a checkpoint|cannot be read|no checkpoint"),
    ("empty", lambda b: b"", r"(?i)empty|not a checkpoint"),
    ("malicious", lambda b: pickle.dumps(Evil()), r"(?i)refused|not a checkpoint|cannot be read|nothing"),
]


@pytest.mark.parametrize(("spoil", "says"), [(s, w) for _, s, w in WRONG_CHECKPOINTS], ids=[n for n, _, _ in WRONG_CHECKPOINTS])
def test_a_wrong_checkpoint(
    folder: Path, call: Any, trained: Path, monkeypatch: pytest.MonkeyPatch, spoil: Any, says: str
) -> None:
    monkeypatch.chdir(folder)
    broken = folder / "broken.pth"
    broken.write_bytes(spoil(trained.read_bytes()))
    code, said = call(evaluation(folder, broken), action="evaluate")
    assert code == 5, said
    assert re.search(says, said), said
    assert not (folder / "owned").exists()


def test_a_checkpoint_of_another_network(folder: Path, call: Any, trained: Path) -> None:
    spec = evaluation(folder, trained)
    spec["model"]["graph_layout"] = "openpose"
    code, said = call(spec, action="evaluate")
    assert code == 5, said
    assert "openpose" in said
    assert "coco" in said


def test_evaluation_without_labels_is_refused(folder: Path, call: Any, trained: Path) -> None:
    spec = evaluation(folder, trained)
    spec["evaluate"]["test_dataset"]["label_path"] = ""
    code, said = call(spec, action="evaluate")
    assert code in (3, 4), said
    assert "label_path" in said


def test_an_existing_onnx_file_is_kept(folder: Path, call: Any, trained: Path) -> None:
    spec = good_spec(folder)
    onnx = folder / "mine.onnx"
    onnx.write_text("precious")
    spec["export"] = {"checkpoint": str(trained), "onnx_file": str(onnx)}
    code, said = call(spec, action="export")
    assert code == 9, said
    assert "overwrite" in said
    assert onnx.read_text() == "precious"


@pytest.mark.parametrize("name", ["tao_nvidia.yaml", "tao_kinetics.yaml"])
@pytest.mark.parametrize("action", ["train", "evaluate", "export", "inference"])
def test_the_public_tao_specs_are_accepted_unchanged(name: str, action: str, tmp_path: Path) -> None:
    """Their files name data of another machine; those paths alone are given anew."""
    skill = bank.by_network("pose_classification")
    (tmp_path / "file").write_text("")
    inputs = [key for key, facts in skill.action(action).inputs.items() if not facts["optional"] or "label" in key]
    made = plan.make(
        plan.Request(
            workspace=tmp_path,
            skill=skill.name,
            action=action,
            spec_file=Path(__file__).parent / "data" / name,
            overrides=tuple(f"{key}={tmp_path / 'file'}" for key in inputs),
        )
    )
    layout, classes = ("nvidia", 6) if "nvidia" in name else ("openpose", 5)
    assert made.spec["model"]["graph_layout"] == layout
    assert made.spec["dataset"]["num_classes"] == len(made.spec["dataset"]["label_map"]) == classes
    assert made.sources["model.graph_layout"] == "file"
