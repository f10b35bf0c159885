"""The network against an independent, plain reading of the original, and against its published sizes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from stgcn.graph import LAYOUTS, adjacency
from stgcn.model import STGCN


def build(layout: str, strategy: str = "spatial", channels: int = 3, classes: int = 6, **kwargs) -> STGCN:
    torch.manual_seed(0)
    return STGCN(torch.from_numpy(adjacency(LAYOUTS[layout], strategy)), channels, classes, **kwargs)


def reference(state: dict, x: torch.Tensor) -> torch.Tensor:
    """Logits of the original network in evaluation mode, step by step from its state dict, with loops over partitions."""

    def norm(value, name):
        mean, var, weight, bias = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(value, mean, var, weight, bias, training=False)

    persons = []
    count, channels, frames, joints, _ = x.shape
    for person in x.unbind(dim=4):
        flat = torch.stack([person[:, c, :, v] for v in range(joints) for c in range(channels)], dim=1)  # joint outer
        flat = norm(flat, "data_bn")
        y = torch.zeros(count, channels, frames, joints)
        for v in range(joints):
            for c in range(channels):
                y[:, c, :, v] = flat[:, v * channels + c]
        for block in range(10):
            prefix = f"st_gcn_networks.{block}"
            importance = state.get(f"edge_importance.{block}", torch.ones(()))
            graph = state["A"] * importance
            weights = state[f"{prefix}.gcn.conv.weight"].chunk(len(graph))
            biases = state[f"{prefix}.gcn.conv.bias"].chunk(len(graph))
            out = sum(functional.conv2d(y, w, b) @ a for w, b, a in zip(weights, biases, graph, strict=True))
            stride = 2 if block in (4, 7) else 1
            out = norm(out, f"{prefix}.tcn.0").relu()
            weight, bias = state[f"{prefix}.tcn.2.weight"], state[f"{prefix}.tcn.2.bias"]
            out = norm(functional.conv2d(out, weight, bias, stride=(stride, 1), padding=(4, 0)), f"{prefix}.tcn.3")
            if block in (4, 7):
                shortcut = functional.conv2d(
                    y, state[f"{prefix}.residual.0.weight"], state[f"{prefix}.residual.0.bias"], stride=(stride, 1)
                )
                out = out + norm(shortcut, f"{prefix}.residual.1")
            elif block > 0:
                out = out + y
            y = out.relu()
        persons.append(functional.avg_pool2d(y, y.shape[2:]))
    pooled = torch.stack(persons).mean(dim=0)
    return functional.conv2d(pooled, state["fcn.weight"], state["fcn.bias"]).flatten(1)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("strategy", ["uniform", "distance", "spatial"])
def test_same_logits_as_the_original(layout: str, strategy: str) -> None:
    model = build(layout, strategy, edge_importance_weighting=strategy != "distance")
    x = torch.randn(2, 3, 13, LAYOUTS[layout].num_joints, 2)
    with torch.no_grad():
        for weight in model.edge_importance:
            if isinstance(weight, nn.Parameter):
                weight.uniform_(0.5, 1.5)
        model(x + 0.3)  # gives the running statistics values
        model.eval()
        torch.testing.assert_close(model(x), reference(model.state_dict(), x), rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize(
    ("layout", "channels", "classes", "parameters"),
    [
        ("nvidia", 3, 6, 3_100_938),
        ("openpose", 3, 5, None),
        ("openpose", 3, 6, 3_075_882),
        ("coco", 2, 6, 3_074_600),
        ("ntu-rgb+d", 3, 6, 3_084_954),
        ("human3.6m", 3, 6, 3_074_826),
    ],
)
def test_sizes(layout: str, channels: int, classes: int, parameters: int | None) -> None:
    model = build(layout, channels=channels, classes=classes)
    assert len(model.state_dict()) == 172
    if parameters:
        assert sum(p.numel() for p in model.parameters()) == parameters


def test_names_of_the_original() -> None:
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    expected = {"A", "fcn.weight", "fcn.bias", *(f"data_bn.{part}" for part in norm)}
    for i in range(10):
        block = f"st_gcn_networks.{i}"
        expected |= {f"edge_importance.{i}", *(f"{block}.{conv}.{p}" for conv in ("gcn.conv", "tcn.2") for p in norm[:2])}
        expected |= {f"{block}.tcn.{j}.{part}" for j in (0, 3) for part in norm}
    for i in (4, 7):
        expected |= {f"st_gcn_networks.{i}.residual.0.{part}" for part in norm[:2]}
        expected |= {f"st_gcn_networks.{i}.residual.1.{part}" for part in norm}
    assert set(build("coco").state_dict()) == expected
    without = build("coco", edge_importance_weighting=False)
    assert set(without.state_dict()) == {name for name in expected if not name.startswith("edge_importance")}


@pytest.mark.parametrize(("frames", "persons"), [(1, 1), (5, 3), (37, 2)])
def test_any_length_and_any_number_of_persons(frames: int, persons: int) -> None:
    model = build("coco").eval()
    with torch.no_grad():
        assert model(torch.randn(2, 3, frames, 17, persons)).shape == (2, 6)


def test_dropout_in_every_block_but_the_first() -> None:
    rates = [m.p for m in build("coco", dropout=0.3).modules() if isinstance(m, nn.Dropout)]
    assert rates == [0.0] + [0.3] * 9


def test_gradients_reach_every_parameter() -> None:
    model = build("coco", dropout=0.0)
    model(torch.randn(2, 3, 9, 17, 1)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
