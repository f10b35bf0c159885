"""ST-GCN as an ONNX file has it: batch norms folded into convolutions, the graph applied before channels are mixed.

For evaluation alone, and of the weights of now. Knows tensors; knows no files.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from stgcn.fusion import Fused
from stgcn.masking import Valid, pool, strided, through
from stgcn.model import STGCN, TEMPORAL_KERNEL, Block


def folded(network: nn.Module) -> nn.Module:
    """``network`` with every ST-GCN in it folded: the same answers, to rounding, from a smaller graph."""
    if isinstance(network, Fused):
        fused = Fused({stream: folded(part) for stream, part in network.networks.items()})
        fused.fusion = network.fusion
        return fused.eval()
    return FoldedSTGCN(network).eval() if isinstance(network, STGCN) else network


class FoldedBlock(nn.Module):
    """One block; ``adjacency`` (K, V, V) is the weighted graph."""

    graph: Tensor
    shift: Tensor

    def __init__(self, block: Block, adjacency: Tensor) -> None:
        super().__init__()
        partitions, joints, _ = adjacency.shape
        self.partitions, self.stride = partitions, block.stride
        scale, shift = affine(block.tcn[0])
        weight = block.gcn.conv.weight.view(partitions, len(scale), -1) * scale[:, None]  # (K, C', C)
        bias = cast(Tensor, block.gcn.conv.bias).view(partitions, -1)
        heard = torch.einsum("kc,kvw->wc", bias, adjacency) * scale + shift  # (V, C')
        self.register_buffer("graph", adjacency.permute(1, 0, 2).reshape(joints, partitions * joints).contiguous())
        self.register_buffer("shift", heard.T[None, :, None, :].contiguous())
        self.mix = nn.Conv2d(weight.shape[2] * partitions, len(scale), 1, bias=False)
        self.mix.weight.copy_(weight.permute(1, 2, 0).reshape(self.mix.weight.shape))
        textbook = cast(nn.Conv2d, block.tcn[2])
        last_scale, last_shift = affine(block.tcn[3])
        reach = (TEMPORAL_KERNEL // 2, 0)
        self.conv = nn.Conv2d(len(scale), len(scale), (TEMPORAL_KERNEL, 1), (block.stride, 1), reach)
        self.conv.weight.copy_(textbook.weight * last_scale[:, None, None, None])
        cast(Tensor, self.conv.bias).copy_(cast(Tensor, textbook.bias) * last_scale + last_shift)
        self.residual: nn.Module | None = block.residual
        if isinstance(block.residual, nn.Sequential):
            side = cast(nn.Conv2d, block.residual[0])
            side_scale, side_shift = affine(block.residual[1])
            shortcut = nn.Conv2d(side.in_channels, side.out_channels, 1, (block.stride, 1))
            shortcut.weight.copy_(side.weight * side_scale[:, None, None, None])
            cast(Tensor, shortcut.bias).copy_(cast(Tensor, side.bias) * side_scale + side_shift)
            self.residual = shortcut

    def forward(self, x: Tensor, valid: Valid | None) -> Tensor:
        """(B, C, T, V) -> (B, C', ceil(T / stride), V)."""
        batch, channels, frames, joints = x.shape
        heard = torch.matmul(x, self.graph).view(batch, channels, frames, self.partitions, joints)
        heard = heard.transpose(2, 3).reshape(batch, channels * self.partitions, frames, joints)
        y = through(self.conv, torch.relu(self.mix(heard) + self.shift), valid)
        if self.residual is not None:
            y = y + self.residual(x)
        return torch.relu(y)


class FoldedSTGCN(nn.Module):
    """Gives the logits of ``model`` in evaluation."""

    scale: Tensor
    shift: Tensor

    def __init__(self, model: STGCN) -> None:
        super().__init__()
        self.inputs = model.inputs
        with torch.no_grad(), model.A.device:
            joints = model.A.shape[-1]
            for name, value in zip(("scale", "shift"), affine(model.data_bn), strict=True):
                self.register_buffer(name, value.view(joints, -1).T[None, :, None, :].contiguous())  # (1, C, 1, V)
            pairs = zip(model.st_gcn_networks, model.edge_importance, strict=True)
            self.blocks = nn.ModuleList(FoldedBlock(cast(Block, block), model.A * importance) for block, importance in pairs)
            self.fc = nn.Linear(model.fcn.in_channels, model.fcn.out_channels)
            self.fc.weight.copy_(model.fcn.weight.flatten(1))
            self.fc.bias.copy_(cast(Tensor, model.fcn.bias))
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of sequences (N, C, T, V, M)."""
        persons = x.shape[4]
        x, valid = self.inputs(x)  # (B, V, C, T)
        x = x.permute(0, 2, 3, 1) * self.scale + self.shift  # (B, C, T, V)
        for block in self.blocks:
            x = block(x, valid)
            valid = strided(valid, cast(FoldedBlock, block).stride)
        return cast(Tensor, self.fc(pool(x, valid, persons)))


def affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """What a batch norm does in evaluation, as scale and shift."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    scale = norm.weight / torch.sqrt(variance + norm.eps)
    return scale, norm.bias - mean * scale
