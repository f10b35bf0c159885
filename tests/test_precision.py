"""What a step computes with, and how many batches go into one."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from stgcn import precision, train
from tests.trainer_cases import train_spec

FLAGS = {
    "flags\t\t: fpu avx512f avx512_bf16 amx_tile\n": True,
    "processor : 0\nflags : fpu amx_bf16\nflags : fpu\n": True,
    "Features\t: fp asimd bf16\n": True,
    "flags : fpu avx512f avx512_bf16x\n": False,
    "model name : bf16\n": False,
    "": False,
}


@pytest.mark.parametrize("text", FLAGS)
def test_a_cpu_says_whether_it_multiplies_bf16(tmp_path: Path, text: str) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(text)
    assert precision.cpu_has_bf16(info) is FLAGS[text]


def test_a_cpu_that_says_nothing_has_none(tmp_path: Path) -> None:
    assert not precision.cpu_has_bf16(tmp_path / "none")


@pytest.mark.parametrize("has", [True, False])
def test_auto_takes_bf16_where_it_pays(monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: has)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has)
    better = "bf16" if has else "fp32"
    assert precision.chosen("auto", "ST-GCN", gpu=False) == better
    assert precision.chosen("auto", "Sep-GCN", gpu=False) == "fp32"
    assert precision.chosen("auto", "Sep-GCN", gpu=True) == better
    assert precision.chosen("fp32", "ST-GCN", gpu=True) == "fp32"
    assert precision.chosen("bf16", "Sep-GCN", gpu=False) == "bf16"


@pytest.mark.parametrize("arrangement", ["textbook", "fast"])
def test_a_training_in_bf16_leaves_weights_and_losses_of_fp32(tmp_path: Path, arrangement: str) -> None:
    said = {}
    for name in ("fp32", "bf16"):
        spec = train_spec(tmp_path, tmp_path / name, num_epochs=1, precision=name, arrangement=arrangement)
        spec["train"]["optim"] = {"lr": 1e-4}
        said[name] = train.run(spec)
        assert said[name]["metrics"]["precision"] == name
    weights = torch.load(said["bf16"]["artifacts"]["checkpoint"], weights_only=True)["state_dict"].values()
    assert {value.dtype for value in weights if value.is_floating_point()} == {torch.float32}
    losses = [found["metrics"]["train_loss"] for found in said.values()]
    assert losses[0] != losses[1]
    assert math.isclose(*losses, rel_tol=0.05)


def test_the_log_says_what_auto_came_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: False)
    train.run(train_spec(tmp_path, tmp_path / "results", num_epochs=1, precision="auto"))
    said = (tmp_path / "results" / "train" / "status.json").read_text()
    assert "train.precision=auto: fp32 on this machine with ST-GCN" in said


def test_batches_are_gathered_into_steps(tmp_path: Path) -> None:
    """The schedule knows how many steps there are, also after a resume."""
    common = {"num_epochs": 2, "accumulate_batches": 2, "checkpoint_interval": 1}
    whole = train_spec(tmp_path, tmp_path / "whole", **common)
    whole["train"]["optim"] = {"lr": 1e-3, "lr_scheduler": "OneCycle", "min_lr": 1e-5}
    told = train.run(whole)
    one = train_spec(tmp_path, tmp_path / "one", num_epochs=2)
    assert told["metrics"]["steps"] == 2 * math.ceil(train.run(one)["metrics"]["steps"] / 2 / 2)
    first = next(item["path"] for item in told["checkpoints"] if item["epoch"] == 0)
    again = json.loads(json.dumps(whole))
    again["results_dir"] = str(tmp_path / "again")
    again["train"]["resume_training_checkpoint_path"] = first
    resumed = train.run(again)
    assert resumed["metrics"]["steps"] == told["metrics"]["steps"]
    ours, theirs = (torch.load(found["artifacts"]["latest"], weights_only=True)["state_dict"] for found in (resumed, told))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
