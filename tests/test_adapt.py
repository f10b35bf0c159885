"""Settings that say `auto`: what the training set is taken to say, and that a model carries what came of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from trainer_cases import train_spec

from stgcn import adapt, errors, evaluate, export, train
from stgcn.arrays import SkeletonSet
from stgcn.config import Augmentation, Dataset, Preparation
from stgcn.description import KEY
from stgcn.graph import LAYOUTS, Layout

COCO = LAYOUTS["coco"]
PAIRLESS = Layout("chain", ("a", "b", "c"), ((0, 1), (1, 2)), 0)


def skeletons(data: np.ndarray, labels: np.ndarray | None = None) -> SkeletonSet:
    classes = np.zeros(len(data), np.int64) if labels is None else labels
    return SkeletonSet("train", "", data.astype(np.float32), [f"s{i}" for i in range(len(data))], classes, [])


def bodies(count: int, *, apart: float, seed: int = 0) -> np.ndarray:
    """One body of 17 joints and size about 1 that trembles; each sequence stands somewhere else. (N, 3, 10, 17, 1)."""
    rng = np.random.default_rng(seed)
    body = rng.normal(0, 1, (1, 3, 1, 17, 1))
    return body + rng.normal(0, 0.05, (count, 3, 10, 17, 1)) + apart * rng.normal(0, 1, (count, 3, 1, 1, 1))


def auto(**kwargs: object) -> Dataset:
    return Dataset(preparation=Preparation(center="auto", scale="auto", **kwargs))


@pytest.mark.parametrize(("apart", "center", "scale"), [(0.1, "none", "none"), (3.0, "body", "spread")])
def test_places_are_kept_where_they_tell_something(apart: float, center: str, scale: str) -> None:
    for units in (1, 1000):
        found, said = adapt.adapted(auto(), skeletons(units * bodies(40, apart=apart)), COCO)
        assert (found.preparation.center, found.preparation.scale) == (center, scale)
        assert f"center={center}" in said[0]


def test_a_word_of_the_user_stays() -> None:
    dataset = Dataset(preparation=Preparation(center="frame", scale="auto"))
    found, _ = adapt.adapted(dataset, skeletons(bodies(20, apart=3.0)), COCO)
    assert found.preparation == Preparation(center="frame", scale="spread")
    assert adapt.adapted(Dataset(), skeletons(bodies(5, apart=1.0)), COCO) == (Dataset(), [])


def test_empty_sequences_tell_nothing() -> None:
    found, _ = adapt.adapted(auto(confidence_channel=-2), skeletons(np.zeros((4, 3, 5, 17, 1))), COCO)
    assert found.preparation == Preparation()


@pytest.mark.parametrize(
    ("change", "channel", "unclear"),
    [
        (lambda data: data, -1, False),
        (lambda data: np.concatenate([data[:, :2], np.random.default_rng(0).random(data[:, :1].shape)], axis=1), 2, False),
        (lambda data: np.random.default_rng(0).random(data.shape), -1, True),  # places between 0 and 1, too
        (lambda data: np.clip(data[:, :2], 0, 1), -1, False),  # two channels are x and y
    ],
)
def test_the_channel_that_is_a_score(change, channel: int, unclear: bool) -> None:
    dataset = Dataset(preparation=Preparation(confidence_channel=-2))
    found, said = adapt.adapted(dataset, skeletons(change(bodies(10, apart=0.2))), COCO)
    assert found.preparation.confidence_channel == channel
    assert bool(said) == (channel >= 0 or unclear)
    assert ("nobody can tell" in str(said)) == unclear


def sides(*, both: bool) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric bodies; class 0 raises the left wrist, class 1 the right one, or, when ``both``, each of them either."""
    rng = np.random.default_rng(0)
    data = np.zeros((40, 2, 10, 17, 1))
    data[:, 1] = np.arange(17)[:, None] / 9
    for left, right in COCO.pairs:
        data[:, 0, :, left], data[:, 0, :, right] = -1, 1
        data[:, 1, :, right] = data[:, 1, :, left]
    labels = np.arange(40) % 2
    for i, label in enumerate(labels):
        wrist = (9, 10)[label if not both else (i // 2) % 2]
        data[i, 1, :, wrist, 0] += (2 + label if both else 2) * np.sin(np.arange(10) / 3)
    return data + rng.normal(0, 0.02, data.shape), labels


def mirrored(dataset: Dataset, layout: Layout = COCO, *, both: bool = True) -> tuple[float, str]:
    data, labels = sides(both=both)
    found, said = adapt.adapted(dataset, skeletons(data[:, :, :, : layout.num_joints], labels), layout)
    return found.augmentation.mirror, said[-1] if said else ""


ON = Dataset(augmentation=Augmentation(enabled=True, mirror=-1.0), label_map={"left": 0, "right": 1}, num_classes=2)


def test_mirror_only_where_no_class_turns_into_another() -> None:
    assert mirrored(ON)[0] == 0.5
    chance, why = mirrored(ON, both=False)
    assert chance == 0
    assert "left and right are mirror images of each other" in why
    assert mirrored(ON, PAIRLESS) == (0.0, "dataset.augmentation.mirror: 0, since the layout chain names no left and right")
    off = replace(ON, augmentation=Augmentation(mirror=-1.0))
    assert mirrored(off)[0] == 0
    assert mirrored(replace(ON, augmentation=Augmentation(enabled=True, mirror=0.3)), both=False)[0] == 0.3


def test_a_model_carries_what_auto_came_to(tmp_path: Path) -> None:
    spec = train_spec(tmp_path, tmp_path / "results", num_epochs=2, checkpoint_interval=1)
    spec["model"] |= {"model_type": "Sep-GCN", "width": 8, "stages": [1]}
    spec["dataset"] |= {
        "preparation": {"center": "auto", "scale": "auto", "confidence_channel": -2, "window": 10},
        "augmentation": {"enabled": True, "mirror": -1.0},
    }
    done = train.run(spec)
    notes = [json.loads(line)["message"] for line in (tmp_path / "results" / "train" / "status.json").read_text().splitlines()]
    assert any("bodies lie" in note for note in notes)
    assert any("augmentation.mirror" in note for note in notes)
    content = torch.load(done["artifacts"]["latest"], weights_only=True)
    carried = content[KEY]["preparation"]
    assert carried["center"] in ("none", "body")
    assert carried["confidence_channel"] == -1
    first = next(c["path"] for c in done["checkpoints"] if c["epoch"] == 0)
    again = {**spec, "results_dir": str(tmp_path / "again")}
    again["train"] = {**spec["train"], "resume_training_checkpoint_path": first}
    resumed = torch.load(train.run(again)["artifacts"]["latest"], weights_only=True)
    assert resumed[KEY]["preparation"] == carried
    assert all(torch.equal(value, resumed["state_dict"][name]) for name, value in content["state_dict"].items())
    tested = {"results_dir": str(tmp_path / "test"), "dataset": {"preparation": {"center": "auto"}}}
    tested["evaluate"] = {"checkpoint": done["artifacts"]["latest"], "test_dataset": spec["dataset"]["val_dataset"]}
    ours = evaluate.run(tested)["metrics"]["loss"]
    out = export.run({"results_dir": str(tmp_path / "onnx"), "export": {"checkpoint": done["artifacts"]["latest"]}})
    tested["evaluate"]["checkpoint"] = out["artifacts"]["onnx"]
    assert evaluate.run(tested)["metrics"]["loss"] == pytest.approx(ours, abs=1e-5)


@pytest.mark.parametrize("select", ["best", "last"])
def test_which_epoch_is_the_model(tmp_path: Path, select: str) -> None:
    spec = train_spec(tmp_path, tmp_path / "results", num_epochs=4, checkpoint_interval=4, select=select)
    spec["train"]["optim"]["lr"] = 0.05
    wrong = tmp_path / "wrong.json"  # against wrong labels, whoever learns gets worse
    wrong.write_text(json.dumps([["a", "b", "c"], [1, 2, 0]]))
    spec["dataset"]["val_dataset"]["label_path"] = str(wrong)
    spec["model"] |= {"model_type": "Sep-GCN", "width": 8, "stages": [1]}
    done = train.run(spec)
    rows = (tmp_path / "results" / "train" / "metrics.csv").read_text().splitlines()
    losses = [float(dict(zip(rows[0].split(","), row.split(","), strict=True))["val_loss"]) for row in rows[1:]]
    lowest = losses.index(min(losses))
    assert lowest < 3, "the test needs a training that gets worse"
    wanted = lowest if select == "best" else 3
    assert done["metrics"]["best_epoch"] == wanted
    assert done["metrics"]["val_loss"] == pytest.approx(losses[wanted], rel=1e-5)
    assert [c["epoch"] for c in done["checkpoints"] if c["best"]] == [wanted]
    assert f"model_epoch_{wanted:03d}" in done["artifacts"]["checkpoint"]
    assert {c["epoch"] for c in done["checkpoints"]} == {wanted, 3}


def test_the_last_epoch_is_not_waited_for_by_early_stopping(tmp_path: Path) -> None:
    spec = train_spec(tmp_path, tmp_path / "results", select="last", early_stopping=2)
    with pytest.raises(errors.SpecError, match=r"train\.select=last"):
        train.run(spec)
