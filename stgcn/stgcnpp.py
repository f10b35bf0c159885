"""ST-GCN++ (Duan, Wang, Chen and Lin, 2022, the PYSKL report): ST-GCN with a learned graph and six temporal branches.

Names and layers are those of the authors' toolbox (its backbone and head in one), so that their weights load.
Knows tensors; knows no config, no files, no clip length.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stgcn.dropout import Dropout
from stgcn.masking import Valid, pool, strided, through
from stgcn.stages import STAGES, WIDTH, plan
from stgcn.streams import Inputs

DILATIONS = (1, 2, 3, 4)  # of the convolutions over three frames; two branches more pool and pass on


class GraphConv(nn.Module):
    """Convolution over a graph that starts as the skeleton's and is learned, with a shortcut of its own."""

    def __init__(self, in_channels: int, out_channels: int, adjacency: Tensor) -> None:
        super().__init__()
        self.A = nn.Parameter(adjacency.clone())
        self.conv = nn.Conv2d(in_channels, out_channels * len(adjacency), kernel_size=1)
        self.bn = nn.BatchNorm2d(out_channels)
        self.down: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.down = nn.Sequential(nn.Conv2d(in_channels, out_channels, kernel_size=1), nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor, valid: Valid | None) -> Tensor:
        """(B, C, T, V) -> (B, C', T, V)."""
        batch, _, frames, joints = x.shape
        out = self.conv(x).view(batch, len(self.A), -1, joints)  # (B, K, C'*T, V)
        out = torch.matmul(out, self.A).sum(dim=1)  # (B, C'*T, V): over the partitions
        out = out.view(batch, -1, frames, joints)  # (B, C', T, V)
        return torch.relu(through(self.bn, out, valid) + through(self.down, x, valid))


class TemporalConv(nn.Module):
    """Six views of the neighbouring frames side by side, each on a share of the channels, then mixed."""

    def __init__(self, channels: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.stride = stride
        share = channels // (len(DILATIONS) + 2)
        first = channels - share * (len(DILATIONS) + 1)  # the first branch takes what the division leaves

        def entrance(size: int) -> list[nn.Module]:
            return [nn.Conv2d(channels, size, kernel_size=1), nn.BatchNorm2d(size), nn.ReLU()]

        def convolution(size: int, dilation: int) -> nn.Module:
            return nn.Conv2d(size, size, (3, 1), (stride, 1), (dilation, 0), (dilation, 1))

        sizes = [first, *[share] * (len(DILATIONS) - 1)]
        branches: list[nn.Module] = [
            nn.Sequential(*entrance(size), nn.Sequential(OrderedDict(conv=convolution(size, dilation))))
            for size, dilation in zip(sizes, DILATIONS, strict=True)
        ]
        branches.append(nn.Sequential(*entrance(share), nn.MaxPool2d((3, 1), (stride, 1), (1, 0))))
        branches.append(nn.Conv2d(channels, share, kernel_size=1, stride=(stride, 1)))
        self.branches = nn.ModuleList(branches)
        self.transform = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, kernel_size=1))
        self.bn = nn.BatchNorm2d(channels)
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor, valid: Valid | None) -> Tensor:
        """(B, C, T, V) -> (B, C, ceil(T / stride), V)."""
        x = torch.cat([through(branch, x, valid) for branch in self.branches], dim=1)
        valid = strided(valid, self.stride)
        x = through(self.bn, through(self.transform, x, valid), valid)
        dropped: Tensor = self.drop(x)
        return dropped


class Block(nn.Module):
    """Graph convolution, then temporal convolution, with a shortcut around both."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, adjacency: Tensor, dropout: float, *, shortcut: bool
    ) -> None:
        super().__init__()
        self.stride = stride
        self.gcn = GraphConv(in_channels, out_channels, adjacency)
        self.tcn = TemporalConv(out_channels, stride, dropout)
        self.residual: nn.Module | None = None
        if shortcut and in_channels == out_channels and stride == 1:
            self.residual = nn.Identity()
        elif shortcut:
            convolution = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=(stride, 1))
            self.residual = nn.Sequential(OrderedDict(conv=convolution, bn=nn.BatchNorm2d(out_channels)))

    def forward(self, x: Tensor, valid: Valid | None) -> Tensor:
        """(B, C, T, V) -> (B, C', ceil(T / stride), V)."""
        out = self.tcn(self.gcn(x, valid), valid)
        if self.residual is not None:
            out = out + through(self.residual, x, valid)
        return torch.relu(out)


class STGCNpp(nn.Module):
    """Classifies skeleton sequences of any length and any number of persons.

    Args:
        adjacency: (K, V, V), where the graph of every block starts from.
        in_channels: C of a joint as ``inputs`` gives it.
        num_classes: size of the output.
        dropout: at the end of the temporal convolution of every block but the first; the authors use none.
        width: channels of the first stage, at least one for each of six branches.
        stages: blocks of each stage; the authors have ten.
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
        inputs: Inputs | None = None,
    ) -> None:
        super().__init__()
        blocks = plan(in_channels, width, stages)
        self.inputs = inputs or Inputs()
        self.data_bn = nn.BatchNorm1d(in_channels * adjacency.shape[1])
        self.gcn = nn.ModuleList(
            Block(c_in, c_out, stride, adjacency, dropout if i else 0.0, shortcut=i > 0)
            for i, (c_in, c_out, stride) in enumerate(blocks)
        )
        self.fc_cls = nn.Linear(blocks[-1][1], num_classes)
        nn.init.normal_(self.fc_cls.weight, std=0.01)
        nn.init.zeros_(self.fc_cls.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of sequences (N, C, T, V, M)."""
        joints, persons = x.shape[3:]
        x, valid = self.inputs(x)  # (N*M, V, C, T), and what of it is data where padding is masked
        x = through(self.data_bn, x.flatten(1, 2), valid)  # (N*M, V*C, T)
        x = x.view(x.shape[0], joints, -1, x.shape[2]).permute(0, 2, 3, 1).contiguous()  # (N*M, C, T, V)
        for block in self.gcn:
            assert isinstance(block, Block)
            x = block(x, valid)  # (N*M, 256, T/4, V) in the end
            valid = strided(valid, block.stride)
        logits: Tensor = self.fc_cls(pool(x, valid, persons))  # (N, 256) -> (N, num_classes)
        return logits
