"""Sets that lie on the device: the same training, from indices alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trainer_cases

from stgcn import config, data, resident, train
from stgcn.arrays import SkeletonSet
from stgcn.graph import LAYOUTS

CPU = torch.device("cpu")
PREPARED = {"center": "body", "scale": "body"}


def skeletons(count: int) -> SkeletonSet:
    sequences, labels = trainer_cases.sequences(count)
    return SkeletonSet("train", "train.npy", sequences, [str(i) for i in range(count)], labels)


def everywhere(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Every device counts as a GPU with room; the indices of the batches that are picked there."""
    picked: list[torch.Tensor] = []
    batch = resident.Resident.batch

    def watched(self: resident.Resident, indices: torch.Tensor) -> Any:
        picked.append(indices)
        return batch(self, indices)

    monkeypatch.setattr(data, "room_for", lambda nbytes, device: True)
    monkeypatch.setattr(resident.Resident, "batch", watched)
    return picked


@pytest.mark.parametrize(
    ("changes", "on_device"),
    [
        ({}, {"train", "val"}),
        ({"preparation": PREPARED}, {"train", "val"}),
        ({"augmentation": {"enabled": True}}, {"val"}),
        ({"random_choose": True, "window_size": 10}, {"val"}),
        ({"bucket_by_length": True, "class_balance": "sampler", "repeat_to": 20}, {"train", "val"}),
    ],
)
def test_the_training_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], on_device: set[str]
) -> None:
    spec = trainer_cases.train_spec(tmp_path / "data", tmp_path / "beside", num_epochs=2)
    spec["dataset"] |= changes
    beside = train.run(spec)
    picked, there = everywhere(monkeypatch), []
    whole = data.SkeletonData.teardown
    monkeypatch.setattr(data.SkeletonData, "teardown", lambda self, stage: (there.extend(self.resident), whole(self, stage)))
    within = train.run({**spec, "results_dir": str(tmp_path / "within")})
    assert set(there) == on_device
    assert picked
    first, second = (torch.load(one["artifacts"]["latest"], weights_only=True)["state_dict"] for one in (beside, within))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert beside["metrics"]["val_loss"] == within["metrics"]["val_loss"]


@pytest.mark.parametrize(
    ("settings", "drawn_as_they_are"),
    [
        (config.Dataset(), True),
        (config.Dataset(random_choose=True), True),  # a window of -1 cuts nothing
        (config.Dataset(window_size=5), True),  # nor does one without random_choose
        (config.Dataset(window_size=500), False),
        (config.Dataset(random_choose=True, window_size=5), False),
        (config.Dataset(random_move=True), False),
        (config.Dataset(augmentation=config.Augmentation(enabled=True)), False),
    ],
)
def test_only_what_is_drawn_as_it_is(settings: config.Dataset, drawn_as_they_are: bool) -> None:
    module = data.SkeletonData(skeletons(6), skeletons(4), settings, 0, layout=LAYOUTS["coco"])
    whole = module.train.whole()
    assert (whole is not None) is drawn_as_they_are
    if whole is not None:
        assert all(np.array_equal(whole[i], module.train[i][0]) for i in range(6))
    assert module.val.whole() is not None


def test_prepared_sequences_are_taken_as_prepared() -> None:
    settings = config.Dataset(preparation=config.Preparation(**PREPARED))
    module = data.SkeletonData(skeletons(6), skeletons(4), settings, 0, layout=LAYOUTS["coco"])
    assert module.val.whole() is None  # nothing is prepared yet
    module.setup("fit")
    on_device = resident.Resident(module.val.whole(), module.val.skeletons.labels, CPU)
    sequences, labels = on_device.batch(torch.tensor([3, 1]))
    assert torch.equal(sequences, torch.stack([module.val[3][0], module.val[1][0]]))
    assert labels.tolist() == [module.val[3][1], module.val[1][1]]


def test_large_sets_are_copied_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    one = skeletons(11)
    monkeypatch.setattr(resident, "CHUNK", 3 * one.data[:1].nbytes)
    assert torch.equal(resident.Resident(one.data, one.labels, CPU).data, torch.from_numpy(one.data))


def test_most_of_a_gpu_stays_free(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not resident.room_for(1, CPU)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4000, 9000))
    gpu = torch.device("cuda", 0)
    assert resident.room_for(1000, gpu)
    assert not resident.room_for(1001, gpu)
