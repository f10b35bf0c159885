"""The arrangement of ST-GCN for training: the losses, gradients and statistics of the textbook network."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from stgcn import dropout, fast_training, toomcook, train
from stgcn.graph import LAYOUTS, adjacency
from stgcn.model import STGCN
from stgcn.streams import Inputs
from tests.trainer_cases import train_spec

LAYOUT = LAYOUTS["openpose"]
EXACT = 1e-9


def network(**settings: object) -> STGCN:
    torch.manual_seed(1)
    model = STGCN(torch.from_numpy(adjacency(LAYOUT, "spatial")), 3, 4, **settings).double()
    for importance in model.edge_importance:
        if isinstance(importance, nn.Parameter):
            nn.init.uniform_(importance, 0.5, 1.5)
    return model.train()


def sequences(frames: int, persons: int = 1, count: int = 3) -> torch.Tensor:
    torch.manual_seed(2)
    x = torch.randn(count, 3, frames, len(LAYOUT.joints), persons, dtype=torch.float64)
    x[0, :, frames // 2 :] = 0
    return x


def gradients(model: nn.Module, x: torch.Tensor, how) -> torch.Tensor:
    torch.manual_seed(3)
    logits = how(model, x)
    functional.cross_entropy(logits, torch.arange(len(x)) % 4).backward()
    return logits.detach()


def as_the_textbook_draws(y: torch.Tensor, p: float, source: None) -> torch.Tensor:
    frames, rows, joints, channels = y.shape
    return functional.dropout(y.new_ones(rows, channels, frames, joints), p).permute(2, 0, 3, 1)


@pytest.mark.parametrize(
    ("settings", "frames", "persons"),
    [
        ({}, 20, 1),
        ({"dropout": 0.0, "width": 16, "stages": [2, 1]}, 7, 2),
        ({"dropout": 0.3, "width": 64, "stages": [2]}, 1, 1),
        ({"edge_importance_weighting": False, "width": 48, "stages": [1, 2]}, 10, 1),
        ({"dropout": 0.9, "width": 8, "stages": [1, 1, 1]}, 9, 3),
    ],
)
def test_losses_gradients_and_statistics_are_those_of_the_textbook_network(
    settings: dict, frames: int, persons: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_training, "kept", as_the_textbook_draws)
    plain = network(**settings)
    other = copy.deepcopy(plain)
    x = sequences(frames, persons)
    assert fast_training.fits(other, x)
    apart = (gradients(plain, x, lambda model, batch: model(batch)) - gradients(other, x, fast_training.logits)).abs().max()
    assert apart < EXACT
    for (name, ours), theirs in zip(other.named_parameters(), plain.parameters(), strict=True):
        assert ours.grad is not None, name
        assert theirs.grad is not None, name
        assert (ours.grad - theirs.grad).abs().max() < EXACT * max(1, theirs.grad.abs().max()), name
    for (name, ours), theirs in zip(other.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=EXACT, atol=EXACT, msg=name)


@pytest.mark.parametrize("p", [1e-9, 0.1, 0.5, 0.9, 1.0])
def test_dropout_keeps_the_share_and_the_mean(p: float) -> None:
    torch.manual_seed(5)
    y = torch.empty(101, 3, 7, 129)
    kept = dropout.kept(y, p)
    assert (kept.shape, kept.dtype) == (y.shape, y.dtype)
    count = y.numel()
    assert (kept == 0).float().mean().item() == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / count) + 2e-5)
    assert len(kept.unique()) <= 2
    if p < 1:
        assert kept.double().mean().item() == pytest.approx(1, abs=4 * math.sqrt(p / (1 - p) / count) + 2e-5)
    for axis in range(4):  # neighbours know nothing of one another
        first, second = ((kept.transpose(0, axis)[part] > 0).double().flatten() for part in (slice(None, -1), slice(1, None)))
        together = (first - first.mean()).mul(second - second.mean()).mean().item()
        assert abs(together) < 5 * p * (1 - p) / math.sqrt(len(first)) + 1e-6
    torch.manual_seed(5)
    assert torch.equal(dropout.kept(y, p), kept)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("frames", [1, 8, 9, 10, 27, 31])
@pytest.mark.parametrize("rows", [1, 5, 140])
def test_the_convolution_and_its_gradients_are_those_of_torch(frames: int, rows: int, threads: int, monkeypatch) -> None:
    monkeypatch.setattr(toomcook, "TOGETHER", 24)  # so that few rows are shared out as well
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        agree(frames, rows)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def agree(frames: int, rows: int) -> None:
    torch.manual_seed(4)
    x = torch.randn(frames, rows, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 6, 9, dtype=torch.float64, requires_grad=True)
    told = torch.randn(frames, rows, 5, dtype=torch.float64)
    wanted = functional.conv1d(x.permute(1, 2, 0), weight, padding=4).permute(2, 0, 1)
    of_torch = torch.autograd.grad(wanted, (x, weight), told)
    found = toomcook.Convolution.apply(x, weight)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
    for ours, theirs in zip(torch.autograd.grad(found, (x, weight), told), of_torch, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_where_it_does_not_serve_the_network_itself_answers() -> None:
    x = sequences(6)
    frozen = network(width=8, stages=[1])
    frozen.data_bn.eval()
    masked = network(width=8, stages=[1], inputs=Inputs(masked=True))
    for model in (frozen, masked, network(width=8, stages=[1]).eval()):
        assert not fast_training.fits(model, x)
        torch.testing.assert_close(fast_training.logits(copy.deepcopy(model), x), model(x), rtol=0, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert not fast_training.fits(network(width=8, stages=[1]), x)


@pytest.mark.parametrize("streams", [["joint"], ["joint", "bone"]])
def test_a_training_says_the_same_either_way(streams: list[str], tmp_path: Path) -> None:
    """In single precision, at a rate that does not magnify rounding."""
    said = {}
    for how in ("textbook", "fast"):
        spec = train_spec(tmp_path, tmp_path / how, num_epochs=2, arrangement=how)
        spec["model"]["dropout"] = 0.0  # it falls elsewhere
        spec["dataset"]["streams"] = streams
        spec["train"]["optim"] = {"lr": 1e-5}
        said[how] = train.run(spec)["metrics"]
    for name in ("train_loss", "val_loss"):
        assert math.isclose(said["fast"][name], said["textbook"][name], rel_tol=2e-4), name
