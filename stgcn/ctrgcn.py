"""CTR-GCN (Chen, Zhang, Yuan, Li, Deng and Hu, ICCV 2021): a graph that each sequence refines, channel by channel.

Names and layers are those of the authors, so that their weights load. Knows tensors; knows no config, no files, no clip length.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stgcn.dropout import Dropout
from stgcn.masking import Valid, mean_over_time, pool, strided, through
from stgcn.stages import STAGES, WIDTH, plan
from stgcn.streams import Inputs

DILATIONS, TEMPORAL_KERNEL = (1, 2), 5
BARELY = 1e-6  # the graph convolution starts as its shortcut


class RefinedConv(nn.Module):
    """What one partition of the graph works on, and its refinement for each channel: how pairs of joints differ on average."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        reduced = 8 if in_channels <= 16 else in_channels // 8
        self.conv1 = nn.Conv2d(in_channels, reduced, kernel_size=1)
        self.conv2 = nn.Conv2d(in_channels, reduced, kernel_size=1)
        self.conv3 = nn.Conv2d(in_channels, out_channels, kernel_size=1)
        self.conv4 = nn.Conv2d(reduced, out_channels, kernel_size=1)

    def forward(self, x: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, T, V) and its mean over time (B, C, 1, V) -> features (B, C', T, V) and refinement (B, C', V, V)."""
        here, there = self.conv1(mean).squeeze(2), self.conv2(mean).squeeze(2)  # (B, R, V)
        return self.conv3(x), self.conv4(torch.tanh(here[..., :, None] - there[..., None, :]))


class GraphConv(nn.Module):
    """The sum over all partitions, with a shortcut of its own."""

    def __init__(self, in_channels: int, out_channels: int, adjacency: Tensor) -> None:
        super().__init__()
        self.convs = nn.ModuleList(RefinedConv(in_channels, out_channels) for _ in adjacency)
        self.down: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.down = nn.Sequential(nn.Conv2d(in_channels, out_channels, kernel_size=1), nn.BatchNorm2d(out_channels))
        self.PA = nn.Parameter(adjacency.clone())
        self.alpha = nn.Parameter(torch.zeros(1))
        self.bn = nn.BatchNorm2d(out_channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                spread_evenly(module)
        nn.init.constant_(self.bn.weight, BARELY)

    def forward(self, x: Tensor, valid: Valid | None) -> Tensor:
        """(B, C, T, V) -> (B, C', T, V)."""
        mean = mean_over_time(x, valid).unsqueeze(2)
        parts = []
        for conv, adjacency in zip(self.convs, self.PA, strict=True):
            features, refinement = conv(x, mean)
            graph = adjacency + self.alpha * refinement  # (B, C', V, V)
            parts.append(torch.matmul(features, graph.transpose(2, 3)))  # (B, C', T, V)
        out = through(self.bn, sum(parts[1:], parts[0]), valid)
        return torch.relu(out + through(self.down, x, valid))


class TemporalConv(nn.Module):
    """Four views of the neighbouring frames side by side, each on a share of the channels."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        share = channels // (len(DILATIONS) + 2)
        first = channels - share * (len(DILATIONS) + 1)  # the first branch takes what the division leaves

        def entrance(size: int) -> list[nn.Module]:
            return [nn.Conv2d(channels, size, kernel_size=1), nn.BatchNorm2d(size), nn.ReLU()]

        branches = [
            nn.Sequential(*entrance(size), convolution(size, size, TEMPORAL_KERNEL, stride, dilation))
            for size, dilation in zip((first, share), DILATIONS, strict=True)
        ]
        branches.append(nn.Sequential(*entrance(share), nn.MaxPool2d((3, 1), (stride, 1), (1, 0)), nn.BatchNorm2d(share)))
        branches.append(nn.Sequential(nn.Conv2d(channels, share, kernel_size=1, stride=(stride, 1)), nn.BatchNorm2d(share)))
        self.branches = nn.ModuleList(branches)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                spread_evenly(module)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, mean=1.0, std=0.02)

    def forward(self, x: Tensor, valid: Valid | None) -> Tensor:
        """(B, C, T, V) -> (B, C, ceil(T / stride), V)."""
        return torch.cat([through(branch, x, valid) for branch in self.branches], dim=1)


class Block(nn.Module):
    """Graph convolution, then temporal convolution, with a shortcut around both."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, adjacency: Tensor, *, shortcut: bool) -> None:
        super().__init__()
        self.stride = stride
        self.gcn1 = GraphConv(in_channels, out_channels, adjacency)
        self.tcn1 = TemporalConv(out_channels, stride)
        self.residual: nn.Module | None = None
        if shortcut and in_channels == out_channels and stride == 1:
            self.residual = nn.Identity()
        elif shortcut:
            around = convolution(in_channels, out_channels, 1, stride)
            spread_evenly(around[0])
            self.residual = around

    def forward(self, x: Tensor, valid: Valid | None) -> Tensor:
        """(B, C, T, V) -> (B, C', ceil(T / stride), V)."""
        out = self.tcn1(self.gcn1(x, valid), valid)
        if self.residual is not None:
            out = out + through(self.residual, x, valid)
        return torch.relu(out)


class CTRGCN(nn.Module):
    """Classifies skeleton sequences of any length and, unless ``slots`` says otherwise, any number of persons.

    Args:
        adjacency: (K, V, V), where the graph of every block starts from.
        in_channels: C of a joint as ``inputs`` gives it.
        num_classes: size of the output.
        dropout: before the classifier; the authors use none.
        width: channels of the first stage, at least one for each of four branches.
        stages: blocks of each stage; the authors have ten, which are l1 to l10.
        slots: persons whose coordinates are normalised each for itself, as the authors do, who have 2; 1 normalises all alike.
        inputs: what is seen of a skeleton; by default its joints, and padding like data.
    """

    def __init__(
        self,
        adjacency: Tensor,
        in_channels: int,
        num_classes: int,
        *,
        dropout: float = 0.0,
        width: int = WIDTH,
        stages: Sequence[int] = STAGES,
        slots: int = 1,
        inputs: Inputs | None = None,
    ) -> None:
        super().__init__()
        blocks = plan(in_channels, width, stages)
        self.inputs = inputs or Inputs()
        self.data_bn = nn.BatchNorm1d(slots * in_channels * adjacency.shape[1])
        self.names = [f"l{i}" for i in range(1, len(blocks) + 1)]
        for name, (c_in, c_out, stride) in zip(self.names, blocks, strict=True):
            self.add_module(name, Block(c_in, c_out, stride, adjacency, shortcut=name != "l1"))
        self.drop_out = Dropout(dropout)
        self.fc = nn.Linear(blocks[-1][1], num_classes)
        nn.init.normal_(self.fc.weight, std=math.sqrt(2 / num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of sequences (N, C, T, V, M)."""
        persons = x.shape[4]
        x, valid = self.inputs(x)  # (N*M, V, C, T), and what of it is data where padding is masked
        rows = x.shape
        x = x.reshape(-1, self.data_bn.num_features, rows[3])  # (N*M/slots, slots*V*C, T)
        x = through(self.data_bn, x, valid).view(rows)  # (N*M, V, C, T)
        x = x.permute(0, 2, 3, 1).contiguous()  # (N*M, C, T, V)
        for name in self.names:
            block = self.get_submodule(name)
            assert isinstance(block, Block)
            x = block(x, valid)  # (N*M, 256, T/4, V) in the end
            valid = strided(valid, block.stride)
        logits: Tensor = self.fc(self.drop_out(pool(x, valid, persons)))  # (N, 256) -> (N, num_classes)
        return logits


def convolution(in_channels: int, out_channels: int, kernel: int, stride: int, dilation: int = 1) -> nn.Sequential:
    """A convolution over time with batch norm behind it."""
    conv = nn.Conv2d(in_channels, out_channels, (kernel, 1), (stride, 1), (dilation * (kernel - 1) // 2, 0), (dilation, 1))
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(out_channels)))


def spread_evenly(conv: nn.Module) -> None:
    """Start a convolution with weights that keep the variance on the way back, and no bias."""
    assert isinstance(conv, nn.Conv2d)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
