"""ST-GCN (Yan, Xiong and Lin, AAAI 2018): a spatial temporal graph convolutional network, whole, in one file.

Names and layers are those of the original, so that its weights load. Knows tensors; knows no config, no files, no clip length.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# (channels in, channels out, stride in time) of the ten blocks; the first takes the channels of a keypoint.
BLOCKS = (
    *((0, 64, 1), (64, 64, 1), (64, 64, 1), (64, 64, 1)),
    *((64, 128, 2), (128, 128, 1), (128, 128, 1)),
    *((128, 256, 2), (256, 256, 1), (256, 256, 1)),
)
TEMPORAL_KERNEL = 9


class GraphConv(nn.Module):
    """Convolution over the graph: one 1x1 convolution per partition, summed over each joint's neighbours."""

    def __init__(self, in_channels: int, out_channels: int, partitions: int) -> None:
        super().__init__()
        self.partitions = partitions
        self.conv = nn.Conv2d(in_channels, out_channels * partitions, kernel_size=1)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """(B, C, T, V) and (K, V, V) -> (B, C', T, V)."""
        batch, _, frames, joints = x.shape
        x = self.conv(x)  # (B, K*C', T, V)
        x = x.view(batch, self.partitions, -1, frames, joints)  # (B, K, C', T, V)
        return torch.einsum("bkctv,kvw->bctw", x, adjacency).contiguous()  # (B, C', T, V)


class Block(nn.Module):
    """Graph convolution, then temporal convolution, with a shortcut around both."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, partitions: int, dropout: float, *, shortcut: bool
    ) -> None:
        super().__init__()
        self.gcn = GraphConv(in_channels, out_channels, partitions)
        self.tcn = nn.Sequential(
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, (TEMPORAL_KERNEL, 1), (stride, 1), (TEMPORAL_KERNEL // 2, 0)),
            nn.BatchNorm2d(out_channels),
            nn.Dropout(dropout),
        )
        self.residual: nn.Module | None = None
        if shortcut and in_channels == out_channels and stride == 1:
            self.residual = nn.Identity()
        elif shortcut:
            self.residual = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=(stride, 1)), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """(B, C, T, V) and (K, V, V) -> (B, C', ceil(T / stride), V)."""
        out = self.tcn(self.gcn(x, adjacency))
        if self.residual is not None:
            out = out + self.residual(x)
        return torch.relu(out)


class STGCN(nn.Module):
    """Classifies skeleton sequences of any length and any number of persons.

    Args:
        adjacency: (K, V, V), the normalised graph in K partitions; part of the weights, as in the original.
        in_channels: C of a keypoint.
        num_classes: size of the output.
        dropout: after the temporal convolution of every block but the first.
        edge_importance_weighting: learn a weight for every edge of every block.
    """

    A: Tensor

    def __init__(
        self,
        adjacency: Tensor,
        in_channels: int,
        num_classes: int,
        *,
        dropout: float = 0.5,
        edge_importance_weighting: bool = True,
    ) -> None:
        super().__init__()
        partitions, joints, _ = adjacency.shape
        self.register_buffer("A", adjacency.clone())
        self.data_bn = nn.BatchNorm1d(in_channels * joints)
        self.st_gcn_networks = nn.ModuleList(
            Block(c_in or in_channels, c_out, stride, partitions, dropout if i else 0.0, shortcut=i > 0)
            for i, (c_in, c_out, stride) in enumerate(BLOCKS)
        )
        self.edge_importance: nn.ParameterList | list[float] = [1.0] * len(BLOCKS)
        if edge_importance_weighting:
            self.edge_importance = nn.ParameterList(nn.Parameter(torch.ones_like(adjacency)) for _ in BLOCKS)
        self.fcn = nn.Conv2d(BLOCKS[-1][1], num_classes, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of sequences (N, C, T, V, M)."""
        batch, channels, frames, joints, persons = x.shape
        x = x.permute(0, 4, 3, 1, 2)  # (N, M, V, C, T)
        x = x.reshape(batch * persons, joints * channels, frames)  # (N*M, V*C, T)
        x = self.data_bn(x)
        x = x.view(batch * persons, joints, channels, frames)  # (N*M, V, C, T)
        x = x.permute(0, 2, 3, 1).contiguous()  # (N*M, C, T, V)
        for block, importance in zip(self.st_gcn_networks, self.edge_importance, strict=True):
            x = block(x, self.A * importance)  # (N*M, 256, T/4, V) in the end
        x = x.mean(dim=(2, 3))  # (N*M, 256): over frames and joints
        x = x.view(batch, persons, -1).mean(dim=1)  # (N, 256): over persons, absent ones too
        x = self.fcn(x[:, :, None, None])  # (N, num_classes, 1, 1)
        return x.flatten(1)  # (N, num_classes)
