"""ST-GCN (Yan, Xiong and Lin, AAAI 2018): a spatial temporal graph convolutional network, whole, in one file.

Names and layers are those of the original, so that its weights load. Knows tensors; knows no config, no files, no clip length.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stgcn.dropout import Dropout
from stgcn.masking import Valid, pool, strided, through
from stgcn.stages import STAGES, WIDTH, plan
from stgcn.streams import Inputs

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
        self.stride = stride
        self.gcn = GraphConv(in_channels, out_channels, partitions)
        self.tcn = nn.Sequential(
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, (TEMPORAL_KERNEL, 1), (stride, 1), (TEMPORAL_KERNEL // 2, 0)),
            nn.BatchNorm2d(out_channels),
            Dropout(dropout),
        )
        self.residual: nn.Module | None = None
        if shortcut and in_channels == out_channels and stride == 1:
            self.residual = nn.Identity()
        elif shortcut:
            self.residual = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=(stride, 1)), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor, adjacency: Tensor, valid: Valid | None) -> Tensor:
        """(B, C, T, V) and (K, V, V) -> (B, C', ceil(T / stride), V)."""
        out = through(self.tcn, self.gcn(x, adjacency), valid)
        if self.residual is not None:
            out = out + through(self.residual, x, valid)
        return torch.relu(out)


class STGCN(nn.Module):
    """Classifies skeleton sequences of any length and any number of persons.

    Args:
        adjacency: (K, V, V), the normalised graph in K partitions; part of the weights, as in the original.
        in_channels: C of a joint as ``inputs`` gives it.
        num_classes: size of the output.
        dropout: after the temporal convolution of every block but the first.
        edge_importance_weighting: learn a weight for every edge of every block.
        width: channels of the first stage.
        stages: blocks of each stage; the original has ten.
        inputs: what is seen of a skeleton; by default its joints, and padding like data.
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
        width: int = WIDTH,
        stages: Sequence[int] = STAGES,
        inputs: Inputs | None = None,
    ) -> None:
        super().__init__()
        partitions, joints, _ = adjacency.shape
        blocks = plan(in_channels, width, stages)
        self.inputs = inputs or Inputs()
        self.register_buffer("A", adjacency.clone())
        self.data_bn = nn.BatchNorm1d(in_channels * joints)
        self.st_gcn_networks = nn.ModuleList(
            Block(c_in, c_out, stride, partitions, dropout if i else 0.0, shortcut=i > 0)
            for i, (c_in, c_out, stride) in enumerate(blocks)
        )
        self.edge_importance: nn.ParameterList | list[float] = [1.0] * len(blocks)
        if edge_importance_weighting:
            self.edge_importance = nn.ParameterList(nn.Parameter(torch.ones_like(adjacency)) for _ in blocks)
        self.fcn = nn.Conv2d(blocks[-1][1], num_classes, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of sequences (N, C, T, V, M)."""
        joints, persons = x.shape[3:]
        x, valid = self.inputs(x)  # (N*M, V, C, T), and what of it is data where padding is masked
        x = through(self.data_bn, x.flatten(1, 2), valid)  # (N*M, V*C, T)
        x = x.view(x.shape[0], joints, -1, x.shape[2])  # (N*M, V, C, T)
        x = x.permute(0, 2, 3, 1).contiguous()  # (N*M, C, T, V)
        for block, importance in zip(self.st_gcn_networks, self.edge_importance, strict=True):
            assert isinstance(block, Block)
            x = block(x, self.A * importance, valid)  # (N*M, 256, T/4, V) in the end
            valid = strided(valid, block.stride)
        x = pool(x, valid, persons)  # (N, 256): over frames and joints, then over persons
        x = self.fcn(x[:, :, None, None])  # (N, num_classes, 1, 1)
        return x.flatten(1)  # (N, num_classes)
