"""Sep-GCN: a small network for small sets and small machines, of separable convolutions over graph and time.

Groups of channels have graphs of their own (decoupling graph convolution: Cheng et al., ECCV 2020), and time is convolved
channel by channel before channels are mixed (depthwise separable convolution, as in EfficientGCN: Song et al., 2021). Joints
lie outside and channels inside, (V, B, T, C), so that all of it is plain matrix products. Knows tensors; knows no config, no
files, no clip length.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stgcn.dropout import Dropout
from stgcn.masking import Valid, pool, strided, through
from stgcn.stages import GROUPS, STAGES, WIDTH, plan
from stgcn.streams import Inputs

KERNEL = 7  # frames


class GraphConv(nn.Module):
    """Mixes channels, then joints: every group of channels over a learned graph of its own; with a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, adjacency: Tensor) -> None:
        super().__init__()
        self.A = nn.Parameter(adjacency[torch.arange(GROUPS) % len(adjacency)].clone())  # the partitions in turn
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.down: nn.Module = nn.Identity()
        if in_channels != out_channels:
            convolution = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
            self.down = nn.Sequential(convolution, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor, valid: Valid | None) -> Tensor:
        """(V*B, C, T, 1) -> (V*B, C', T, 1)."""
        joints = self.A.shape[1]
        out = self.conv(x).permute(0, 2, 3, 1)  # (V*B, T, 1, C')
        _, frames, _, channels = out.shape
        out = out.reshape(joints, -1, GROUPS, channels // GROUPS).permute(2, 0, 1, 3)  # (G, V, B*T, C'/G)
        out = torch.bmm(self.A.transpose(1, 2), out.flatten(2))  # (G, V, B*T*C'/G)
        out = out.view(GROUPS, joints, -1, channels // GROUPS).permute(1, 2, 0, 3)  # (V, B*T, G, C'/G)
        out = out.reshape(-1, frames, 1, channels).permute(0, 3, 1, 2)
        return torch.relu(through(self.bn, out, valid) + through(self.down, x, valid))


class Block(nn.Module):
    """Graph convolution, then a depthwise separable one in time, with a shortcut around both."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, adjacency: Tensor, dropout: float, *, shortcut: bool
    ) -> None:
        super().__init__()
        self.stride = stride
        self.gcn = GraphConv(in_channels, out_channels, adjacency)
        channels, reach = out_channels, (KERNEL // 2, 0)
        self.tcn = nn.Sequential(
            nn.Conv2d(channels, channels, (KERNEL, 1), (stride, 1), reach, groups=channels, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.drop = Dropout(dropout)
        self.residual: nn.Module | None = None
        if shortcut and in_channels == out_channels and stride == 1:
            self.residual = nn.Identity()
        elif shortcut:
            convolution = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=(stride, 1), bias=False)
            self.residual = nn.Sequential(convolution, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor, valid: Valid | None) -> Tensor:
        """(V*B, C, T, 1) -> (V*B, C', ceil(T / stride), 1)."""
        out = self.drop(through(self.tcn, self.gcn(x, valid), valid))
        if self.residual is not None:
            out = out + through(self.residual, x, valid)
        return torch.relu(out)


class SepGCN(nn.Module):
    """Classifies skeleton sequences of any length and any number of persons.

    Args:
        adjacency: (K, V, V), where the graphs of every block start from, its partitions in turn.
        in_channels: C of a joint as ``inputs`` gives it.
        num_classes: size of the output.
        dropout: at the end of every block but the first.
        width: channels of the first stage, a multiple of the groups.
        stages: blocks of each stage.
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
        self.blocks = nn.ModuleList(
            Block(c_in, c_out, stride, adjacency, dropout if i else 0.0, shortcut=i > 0)
            for i, (c_in, c_out, stride) in enumerate(blocks)
        )
        self.fc = nn.Linear(blocks[-1][1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of sequences (N, C, T, V, M)."""
        joints, persons = x.shape[3:]
        x, valid = self.inputs(x)  # (B, V, C, T), and what of it is data where padding is masked
        x = through(self.data_bn, x.flatten(1, 2), valid)  # (B, V*C, T)
        rows, _, frames = x.shape
        x = x.view(rows, joints, -1, frames).permute(1, 0, 3, 2).contiguous()  # (V, B, T, C)
        x = x.flatten(0, 1).unsqueeze(2).permute(0, 3, 1, 2)  # (V*B, C, T, 1), channels last
        for block in self.blocks:
            assert isinstance(block, Block)
            x = block(x, _for_joints(valid, joints))  # (V*B, C', T', 1)
            valid = strided(valid, block.stride)
        x = x.reshape(joints, rows, x.shape[1], x.shape[2]).permute(1, 2, 3, 0)  # (B, C', T', V)
        logits: Tensor = self.fc(pool(x, valid, persons))
        return logits


def _for_joints(valid: Valid | None, joints: int) -> Valid | None:
    """What is valid, for rows of (V*B)."""
    if valid is None or valid.frames is None:
        return valid
    return valid._replace(frames=valid.frames.repeat(joints, 1))
