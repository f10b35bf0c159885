"""ST-GCN arranged for training on a CPU: the losses and gradients of the textbook network, to rounding, in less time. No files.

The graph is applied before channels are mixed, frames lie outside and channels inside, (T, B, V, C), and the temporal
convolution does a third of the products (``stgcn.toomcook``). Dropout falls on places of its own.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from stgcn import toomcook
from stgcn.dropout import Dropout, kept
from stgcn.model import STGCN, Block

SOME = 64  # frames whose share of a graph's gradient is summed at a time
FEW = 48  # channels below which the transforms of ``toomcook`` cost more than they save


class Heard(torch.autograd.Function):
    """A graph (J, V) times the joints of (R, V, C): (R, J, C); plain products of matrices as they lie, both ways."""

    @staticmethod
    def forward(ctx: Any, graph: Tensor, x: Tensor) -> Tensor:
        """The product."""
        ctx.save_for_backward(graph, x)
        return torch.bmm(graph.expand(len(x), -1, -1), x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        """Gradients of the graph and of the joints."""
        graph, x = ctx.saved_tensors
        whole = torch.zeros_like(graph)
        for some, part in zip(torch.split(gradient, SOME), torch.split(x, SOME), strict=True):
            whole += torch.bmm(some, part.transpose(1, 2)).sum(dim=0)
        back = torch.bmm(graph.T.expand(len(x), -1, -1), gradient) if ctx.needs_input_grad[1] else None
        return whole, back


def logits(network: nn.Module, x: Tensor) -> Tensor:
    """Logits (N, classes) that ``network`` gives in training for sequences (N, C, T, V, M), its norms updated as ever."""
    return _logits(network, x) if isinstance(network, STGCN) and fits(network, x) else cast(Tensor, network(x))


def fits(network: STGCN, x: Tensor) -> bool:
    """Whether the arrangement serves: on a CPU, every layer in training, full precision, and padding that counts like data."""
    weights = next(network.parameters())
    here = x.device.type == weights.device.type == "cpu" and x.dtype == weights.dtype
    plain = here and not network.inputs.masked and not torch.is_autocast_enabled("cpu")
    return plain and all(part.training for part in network.modules())


def _logits(network: STGCN, x: Tensor) -> Tensor:
    persons = x.shape[4]
    x, _ = network.inputs(x)  # (B, V, C, T)
    rows, joints, channels, frames = x.shape
    x = network.data_bn(x.flatten(1, 2)).view(rows, joints, channels, frames)
    x = x.permute(3, 0, 1, 2).contiguous()  # (T, B, V, C)
    for block, importance in zip(network.st_gcn_networks, network.edge_importance, strict=True):
        x = _through(cast(Block, block), network.A * importance, x)
    features = x.mean(dim=(0, 2)).view(-1, persons, x.shape[3]).mean(dim=1)
    return functional.linear(features, network.fcn.weight.flatten(1), network.fcn.bias)


def _through(block: Block, adjacency: Tensor, x: Tensor) -> Tensor:
    """(T, B, V, C) -> (ceil(T / stride), B, V, C')."""
    first, _, conv, last, drop = block.tcn
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(drop, Dropout)
    y = _normed(first, _mixed(block, adjacency, x)).relu_()
    y = _normed(last, _convolved(conv, y, block.stride))
    if drop.p > 0:
        y = y * kept(y, drop.p, drop.source)
    if isinstance(block.residual, nn.Sequential):
        side, norm = block.residual
        assert isinstance(side, nn.Conv2d)
        y = y + _normed(norm, functional.linear(x[:: block.stride], side.weight.flatten(1), side.bias))
    elif block.residual is not None:
        y = y + x
    return y.relu_()


def _mixed(block: Block, adjacency: Tensor, x: Tensor) -> Tensor:
    """The graph convolution, (T, B, V, C) -> (T, B, V, C'), with the graph (K, V, V) before the channels."""
    partitions, joints, _ = adjacency.shape
    conv = block.gcn.conv
    graph = adjacency.permute(2, 0, 1).reshape(joints * partitions, joints)  # what every joint hears, partition by partition
    heard = _apply(Heard, graph, x.flatten(0, 1)).view(*x.shape[:3], -1)  # (T, B, V, K * C)
    weight = conv.weight.view(partitions, -1, x.shape[3]).transpose(0, 1).flatten(1)  # (C', K * C)
    shift = torch.einsum("kc,kvw->wc", cast(Tensor, conv.bias).view(partitions, -1), adjacency)
    return functional.linear(heard, weight).add_(shift)


def _convolved(conv: nn.Conv2d, x: Tensor, stride: int) -> Tensor:
    """The temporal convolution of (T, B, V, C)."""
    frames, rows, joints, channels = x.shape
    if stride == 1 and channels >= FEW:
        y = _apply(toomcook.Convolution, x.flatten(1, 2), conv.weight.flatten(2))
        return y.view(frames, rows, joints, -1) + cast(Tensor, conv.bias)
    image = x.flatten(1, 2).permute(2, 0, 1)[None]  # (1, C, T, B * V), channels last
    y = functional.conv2d(image, conv.weight, conv.bias, conv.stride, conv.padding)
    return y[0].permute(1, 2, 0).view(-1, rows, joints, y.shape[1])


def _apply(function: type[torch.autograd.Function], *arguments: Tensor) -> Tensor:
    apply: Any = function.apply
    found: Tensor = apply(*arguments)
    return found


def _normed(norm: nn.Module, x: Tensor) -> Tensor:
    """Batch norm of (T, B, V, C) over all but C, noted in the running statistics."""
    flat = x.reshape(1, -1, 1, x.shape[3]).permute(0, 3, 1, 2)  # (1, C, T * B * V, 1), channels last
    return cast(Tensor, norm(flat)).permute(0, 2, 3, 1).reshape(x.shape)
