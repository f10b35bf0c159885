"""Networks of streams trained side by side: gradients, random numbers, and answers that no number of threads changes."""

from __future__ import annotations

import copy
import csv
from pathlib import Path

import pytest
import torch
from computing import with_threads
from torch import Tensor, nn
from torch.nn import functional
from trainer_cases import train_spec

from stgcn import side_by_side, train
from stgcn.dropout import Dropout, drawing

CLASSES = 4


def three(p: float = 0.0) -> list[nn.Module]:
    torch.manual_seed(1)
    return [
        nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), Dropout(p), nn.Linear(32, CLASSES)) for _ in range(3)
    ]


def sources() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in (5, 6, 7)]


BATCH = torch.randn(16, 8, generator=torch.Generator().manual_seed(2))
LABELS = torch.arange(16) % CLASSES


def of(network: nn.Module) -> tuple[Tensor, Tensor]:
    logits = network(BATCH)
    return logits, functional.cross_entropy(logits, LABELS)


def gradients(networks: list[nn.Module]) -> list[Tensor | None]:
    return [weight.grad for network in networks for weight in network.parameters()]


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_gradients_are_those_of_the_sum_of_losses(count: int, scale: float) -> None:
    together, apart = three(), three()
    scores, losses = side_by_side.losses(together, sources(), of)
    (scale * losses.sum()).backward()
    with with_threads(1):
        expected = [of(network) for network in apart]
        (scale * torch.stack([loss for _, loss in expected]).sum()).backward()
    assert not scores.requires_grad
    assert torch.equal(scores, torch.stack([logits for logits, _ in expected]))
    assert torch.equal(losses, torch.stack([loss for _, loss in expected]))
    for ours, theirs in zip(gradients(together), gradients(apart), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0 if scale == 1 else 1e-6, atol=0)
    for network, other in zip(together, apart, strict=True):
        assert torch.equal(network[1].running_mean, other[1].running_mean)


def test_gradients_add_up_over_batches(count: int) -> None:
    once, twice = three(), three()
    for networks, times in ((once, 1), (twice, 2)):
        for _ in range(times):
            side_by_side.losses(networks, sources(), of)[1].sum().backward()
    for one, two in zip(gradients(once), gradients(twice), strict=True):
        torch.testing.assert_close(2 * one, two)


def test_frozen_weights_get_none(count: int) -> None:
    networks = three()
    for weight in networks[1].parameters():
        weight.requires_grad_(False)
    networks[1][-1].bias.requires_grad_(True)
    networks[2][1].unused = nn.Parameter(torch.zeros(2))
    side_by_side.losses(networks, sources(), of)[1].sum().backward()
    assert [weight.grad is not None for weight in networks[1].parameters()] == [False] * 5 + [True]
    assert all(weight.grad is not None for weight in networks[0].parameters())
    assert networks[2][1].unused.grad is None


def test_a_network_that_is_frozen_as_a_whole_only_answers(count: int) -> None:
    networks = three()
    for weight in networks[0].parameters():
        weight.requires_grad_(False)
    scores, losses = side_by_side.losses(networks, sources(), of)
    losses.sum().backward()
    assert scores.shape == (3, 16, CLASSES)
    assert [weight.grad is None for weight in networks[0].parameters()] == [True] * 6
    assert all(weight.grad is not None for network in networks[1:] for weight in network.parameters())


def test_autocast_holds_in_every_thread(count: int) -> None:
    kinds = []

    def told(network: nn.Module) -> tuple[Tensor, Tensor]:
        logits, loss = of(network)
        kinds.append(logits.dtype)
        return logits, loss

    with torch.autocast("cpu", dtype=torch.bfloat16):
        side_by_side.losses(three(), sources(), told)
    side_by_side.losses(three(), sources(), told)
    assert kinds == [torch.bfloat16] * 3 + [torch.float32] * 3


def test_each_network_draws_from_its_own_source(count: int) -> None:
    def drawn(networks: list[nn.Module]) -> Tensor:
        return side_by_side.losses(networks, sources(), of)[0]

    expected = []
    for network, source in zip(three(0.4), sources(), strict=True):
        with with_threads(1), drawing(network, source):
            expected.append(of(network)[0])
    found = drawn(three(0.4))
    assert torch.equal(found, torch.stack(expected))
    assert torch.equal(found, drawn(three(0.4)))
    assert not torch.equal(found, drawn(three()))


def test_without_a_source_dropout_is_that_of_torch() -> None:
    ours, theirs, x = Dropout(0.3), nn.Dropout(0.3), torch.ones(5, 7)
    torch.manual_seed(1)
    expected = theirs(x)
    torch.manual_seed(1)
    assert torch.equal(ours(x), expected)
    with drawing(ours, torch.Generator()):
        assert (ours(x) == 0).any()
        assert torch.equal(ours.eval()(x), x)
    assert ours.source is None
    copy.deepcopy(ours)


def test_an_exception_comes_out_and_leaves_nothing(count: int) -> None:
    networks = three()

    def broken(network: nn.Module) -> tuple[Tensor, Tensor]:
        if network is networks[1]:
            raise RuntimeError("the second")
        return of(network)

    with pytest.raises(RuntimeError, match="the second"):
        side_by_side.losses(networks, sources(), broken)
    assert gradients(networks) == [None] * 18
    assert networks[1][3].source is None


@pytest.mark.parametrize(("kind", "arrangement"), [("Sep-GCN", "textbook"), ("ST-GCN", "fast")])
def test_a_training_ends_the_same_with_any_number_of_threads(kind: str, arrangement: str, tmp_path: Path) -> None:
    """With mixing, dropout, clipping and accumulation. (The validation shares out its products, and rounds otherwise.)"""
    losses, weights = [], []
    settings = {"num_epochs": 2, "grad_clip": 0.5, "accumulate_batches": 2, "arrangement": arrangement}
    for threads in (1, 2, 3):
        spec = train_spec(tmp_path, tmp_path / str(threads), **settings)
        spec["model"] |= {"model_type": kind, "dropout": 0.3}
        spec["dataset"] |= {
            "streams": ["joint", "bone", "joint_motion"],
            "repeat_to": 20,
            "augmentation": {"enabled": True, "rotation": 10.0, "mixup": 0.3},
        }
        with with_threads(threads):
            told = train.run(spec)
        with Path(told["artifacts"]["metrics_csv"]).open() as table:
            losses.append([row["train_loss"] for row in csv.DictReader(table)])
        state = torch.load(told["artifacts"]["checkpoint"], weights_only=True)["state_dict"]
        weights.append({name: value for name, value in state.items() if not name.endswith("fusion")})
    assert len(losses[0]) == 2
    assert losses[0] == losses[1] == losses[2]
    for other in weights[1:]:
        torch.testing.assert_close(other, weights[0], rtol=0, atol=0)
