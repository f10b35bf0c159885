"""A training that is asked about after each validation: when, with what, and that one that was stopped goes on exactly."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest
import torch
from trainer_cases import status_lines, train_spec

from stgcn import train
from stgcn.steering import relayed

# As the recipe for small sets has it, in little: three streams side by side, one cycle over all steps, parts of the set.
RECIPE = {
    "model": {
        "graph_layout": "coco",
        "model_type": "Sep-GCN",
        "width": 8,
        "stages": [1, 1],
        "padding": "masked",
        "dropout": 0.2,
    },
    "dataset": {
        "streams": ["joint", "bone", "joint_motion"],
        "draw_at_most": 7,
        "preparation": {"center": "auto", "scale": "auto", "window": 8},
        "augmentation": {"enabled": True, "rotation": 15.0, "temporal_crop": 0.6, "mixup": 0.2},
    },
    "train": {
        "num_epochs": 5,
        "validation_interval": 2,
        "checkpoint_interval": 5,
        "select": "last",
        "calibrate": True,
        "ema_decay": 0.9,
        "optim": {
            "optimizer_type": "torch.optim.AdamW",
            "lr": 0.003,
            "lr_scheduler": "OneCycle",
            "warmup_share": 0.1,
            "decay_norms": False,
        },
    },
}
PLAIN = {
    "model": {"graph_layout": "coco", "width": 8, "stages": [1, 1]},
    "train": {"num_epochs": 5, "validation_interval": 2, "checkpoint_interval": 5, "optim": {"lr_scheduler": "AutoReduce"}},
}


class Watcher:
    """Says stop at an epoch; keeps what it was told, and which checkpoints there were."""

    def __init__(self, stop_at: int | None, folder: Path) -> None:
        self.stop_at, self.folder = stop_at, folder
        self.told: dict[int, dict[str, float]] = {}
        self.seen: list[list[str]] = []

    def __call__(self, epoch: int, metrics: dict[str, float]) -> bool:
        self.told[epoch] = metrics
        self.seen.append(sorted(path.name[:15] for path in (self.folder / "train").glob("model_*.pth")))
        return epoch == self.stop_at


def spec_of(case: dict, data: Path, results: Path) -> dict:
    spec = train_spec(data, results)
    for section, values in case.items():
        spec[section] = {**spec[section], **values}
    return spec


@pytest.mark.parametrize("case", [RECIPE, PLAIN], ids=["recipe", "plain"])
def test_stopped_and_continued_is_the_same_training(tmp_path: Path, case: dict) -> None:
    whole_spec = spec_of(case, tmp_path / "data", tmp_path / "whole")
    never = Watcher(None, tmp_path / "whole")
    whole = train.run(whole_spec, never)
    assert list(never.told) == [2, 4, 5]  # every second epoch is validated, and the last
    assert set(never.told[2]) >= {"val_loss", "val_acc", "train_loss", "train_acc", "lr"}
    assert "stopped_epoch" not in whole["metrics"]

    first = Watcher(2, tmp_path / "first")
    stopped = train.run({**whole_spec, "results_dir": str(tmp_path / "first")}, first)
    assert list(first.told) == [2]
    assert (stopped["metrics"]["stopped_epoch"], stopped["metrics"]["epochs"]) == (2, 2)
    assert stopped["metrics"]["last_val_loss"] == first.told[2]["val_loss"]
    latest = stopped["artifacts"]["latest"]
    assert os.readlink(latest) == Path(stopped["checkpoints"][-1]["path"]).name
    said = [line["message"] for line in status_lines(tmp_path / "first" / "train")]
    assert any("Stopped after epoch 1" in line for line in said)
    assert said[-1] == "Train finished successfully."

    again = Watcher(None, tmp_path / "again")
    resume = {**whole_spec["train"], "resume_training_checkpoint_path": latest}
    continued = train.run({**whole_spec, "results_dir": str(tmp_path / "again"), "train": resume}, again)
    assert list(again.told) == [4, 5]  # counted from the first start
    assert {**first.told, **again.told} == never.told
    one, other = (torch.load(run["checkpoints"][-1]["path"], weights_only=True) for run in (whole, continued))
    for key in ("state_dict", "raw_state_dict", "optimizer_states", "global_step"):
        assert same(one.get(key), other.get(key)), key


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_the_state_after_every_epoch_is_on_the_disk_while_somebody_watches(tmp_path: Path) -> None:
    spec = spec_of(RECIPE, tmp_path / "data", tmp_path)
    watcher = Watcher(None, tmp_path)
    result = train.run(spec, watcher)
    assert watcher.seen == [["model_epoch_000"], ["model_epoch_002"], ["model_epoch_003"]]  # that of the epoch before
    assert [Path(one["path"]).name[:15] for one in result["checkpoints"]] == ["model_epoch_004"]
    assert [path.name[:15] for path in (tmp_path / "train").glob("model_*.pth")] == ["model_epoch_004"]


def test_the_lowest_loss_is_kept_beside_the_latest_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(PLAIN, tmp_path / "data", tmp_path)
    spec["train"] |= {"validation_interval": 1}
    losses = iter([1.0, 0.5, 0.9, 0.4, 0.7])
    monkeypatch.setattr(train.PoseClassifier, "_measured", lambda *_: (next(losses), 0.5))
    watcher = Watcher(None, tmp_path)
    result = train.run(spec, watcher)
    names = [[], [0], [1], [1, 2], [3]]
    assert watcher.seen == [[f"model_epoch_{epoch:03d}" for epoch in found] for found in names]
    assert [(one["epoch"], one["best"]) for one in result["checkpoints"]] == [(3, True), (4, False)]


def test_an_error_of_the_control_ends_the_training_with_a_checkpoint(tmp_path: Path) -> None:
    def breaks(_epoch: int, _metrics: dict[str, float]) -> bool:
        raise ConnectionError("nobody there")

    with pytest.raises(ConnectionError, match="nobody there"):
        train.run(spec_of(RECIPE, tmp_path / "data", tmp_path), breaks)
    assert (tmp_path / "train" / "pc_model_latest.pth").exists()


def _trainer(sent: bytes, said: Any) -> None:
    relay = pickle.loads(sent)
    said.append(relay(3, {"val_loss": 0.5}))
    try:
        relay(4, {"val_loss": 0.5})
    except ValueError as error:
        said.append(str(error))


def test_training_processes_ask_through_the_first_one() -> None:
    """As with several GPUs, where the training runs in other processes, to which the relay is sent."""
    told = []

    def control(epoch: int, metrics: dict[str, float]) -> bool:
        told.append((epoch, metrics, os.getpid()))
        if epoch == 4:
            raise ValueError("no such study")
        return True

    fork = multiprocessing.get_context("fork")
    with fork.Manager() as manager, relayed(control, manager) as relay:
        said = manager.list()
        process = fork.Process(target=_trainer, args=(ForkingPickler.dumps(relay), said))
        process.start()
        process.join()
        assert list(said) == [True, "no such study"]
    assert told == [(epoch, {"val_loss": 0.5}, os.getpid()) for epoch in (3, 4)]
