from __future__ import annotations

import pytest

from runner import checkpoints
from runner.errors import ParentError, UsageError

LIST = [
    {"path": "/r/model_epoch_000_step_00007.pth", "epoch": 0, "step": 7, "val_loss": 0.9, "best": False},
    {"path": "/r/model_epoch_001_step_00014.pth", "epoch": 1, "step": 14, "val_loss": 0.4, "best": True},
    {"path": "/r/model_epoch_002_step_00021.pth", "epoch": 2, "step": 21, "val_loss": 0.5, "best": False},
    {"path": "/r/model_epoch_002_step_00018.pth", "epoch": 2, "step": 18, "val_loss": None, "best": False},
]


def epochs_of(found):
    return (found["epoch"], found["step"])


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [("best", (1, 14)), ("latest", (2, 21)), ("epoch:0", (0, 7)), ("epoch:2", (2, 21)), ("step:18", (2, 18))],
)
def test_choices(choice, chosen):
    assert epochs_of(checkpoints.pick(LIST, choice)) == chosen


def test_best_falls_back_to_the_lowest_loss_and_then_to_the_latest():
    unmarked = [{**c, "best": False} for c in LIST]
    assert epochs_of(checkpoints.pick(unmarked)) == (1, 14)
    odd = [{**c, "val_loss": loss} for c, loss in zip(unmarked, (float("nan"), None, "0.1", True), strict=True)]
    assert epochs_of(checkpoints.pick(odd)) == (2, 21)
    assert epochs_of(checkpoints.pick([{"path": "a", "epoch": 3, "step": 9}])) == (3, 9)


@pytest.mark.parametrize("choice", ["", "worst", "epoch:", "epoch:-1", "epoch:1.5", "epoch 1", "7"])
def test_what_is_no_choice(choice):
    with pytest.raises(UsageError, match="Allowed: best, latest, epoch:N or step:N"):
        checkpoints.pick(LIST, choice)


def test_what_is_not_there():
    with pytest.raises(ParentError, match="has no checkpoint"):
        checkpoints.pick([])
    with pytest.raises(ParentError, match=r"no checkpoint of epoch 9\nThere are: epoch:0 step:7, epoch:1 step:14") as caught:
        checkpoints.pick(LIST, "epoch:9")
    assert caught.value.exit_code == 5


def test_scan_takes_checkpoints_by_name_oldest_first():
    names = [
        "model_epoch_010_step_00110.pth",
        "/r/model_epoch_002_step_00022.tlt",
        "model_epoch_001_step_00011.hdf5",
        "model_epoch_1000_step_100000.pth",
        "pc_model_latest.pth",
        "model_epoch_001_step_00011.pth.tmp",
        "model_epoch_01_step_00011.pth",
        "xmodel_epoch_001_step_00011.pth",
        "experiment.yaml",
    ]
    assert [epochs_of(found) for found in checkpoints.scan(names)] == [(1, 11), (2, 22), (10, 110), (1000, 100000)]
    assert checkpoints.scan(names)[1]["name"] == "/r/model_epoch_002_step_00022.tlt"
