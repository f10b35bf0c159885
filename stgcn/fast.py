"""ST-GCN arranged for evaluation on a CPU: the answers of the textbook network, several times sooner. No files, no settings.

Batch norms are folded into the convolutions. The graph is applied before channels are mixed, so that one product takes K * C
columns to C'. Frames lie outside and channels inside, which makes all of it plain matrix products. And padding is not computed:
behind the last frame that holds anybody, as far as the kernels reach, every activation is that of an empty sequence, which is
looked up in the trace of one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from stgcn import threads, toomcook
from stgcn.folded import FoldedBlock, affine, folded
from stgcn.fusion import Fused
from stgcn.masking import find
from stgcn.model import STGCN, TEMPORAL_KERNEL, Block

REACH = TEMPORAL_KERNEL // 2  # frames the temporal kernel looks to either side
ROWS = 12_000  # frames * joints of the sequences that go through together: the activations of a block stay in the cache
STEP = 8  # where padding counts, lengths are rounded up to multiples of it, so that more sequences go together
WIDE = 64  # channels from which fewer products are worth the transforms around them
WIDER = 128  # the same where threads share out every product, as in a batch of one


class Layer(NamedTuple):
    """One block, folded."""

    graph: Tensor  # (V * K, V): what every joint hears, partition by partition
    mix: Tensor  # (K * C, C')
    shift: Tensor  # (V, C'): biases of convolution and batch norm, through the graph
    kernel: Tensor  # (C', C', 9, 1), channels last
    products: Tensor | None  # (25, C', C'), the same for stgcn.toomcook
    bias: Tensor  # (C',): of the temporal convolution, its batch norm and the shortcut's
    shortcut: Tensor | None  # (C, C'); None: the input itself, or nothing
    residual: bool
    stride: int


class Trace(NamedTuple):
    """An empty sequence on its way through the network."""

    inputs: list[Tensor]  # (T_b, V, C) per block
    mixed: list[Tensor]  # (T_b, V, C') per block: what its temporal convolution takes
    tail: Tensor  # (T_end + 1, C): sums over joints and the frames from each one on


def arranged(network: nn.Module, precision: str = "fp32") -> nn.Module:
    """``network`` as it is evaluated soonest, with its weights of now; itself where there is no better way.

    What comes back maps (N, C, T, V, M) to logits (N, classes) as ``network`` does in evaluation, to rounding: to that of
    float32, or with ``precision`` bf16 to that of bfloat16.
    """
    if isinstance(network, Fused):
        fused = Fused({stream: arranged(part, precision) for stream, part in network.networks.items()})
        fused.fusion = network.fusion
        return fused.eval()
    if isinstance(network, STGCN):
        if next(network.parameters()).device.type == "cpu":
            return FastSTGCN(network, torch.bfloat16 if precision == "bf16" else torch.float32)
        network = folded(network)
    return Autocast(network) if precision == "bf16" else network


class Autocast(nn.Module):
    """Evaluates ``network`` with the products in bfloat16."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes), float32, of sequences (N, C, T, V, M)."""
        with torch.autocast(x.device.type, torch.bfloat16):
            return cast(Tensor, self.network(x)).float()


class FastSTGCN(nn.Module):
    """Evaluates ``model``, a float32 network on the CPU, whose weights are copied; between input and pooling in ``numbers``.

    Where padding counts, all sequences are as long as the array; where it is masked, each ends with its last frame.
    """

    def __init__(self, model: STGCN, numbers: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.numbers = numbers
        self.inputs = model.inputs
        self.traces: dict[int, Trace] = {}
        with torch.no_grad():
            joints = model.A.shape[-1]
            scale, shift = affine(model.data_bn)
            self.scale, self.shift = scale.view(joints, -1), shift.view(joints, -1)  # (V, C)
            pairs = zip(model.st_gcn_networks, model.edge_importance, strict=True)
            self.layers = [_folded(cast(Block, block), model.A * importance, numbers) for block, importance in pairs]
            self.head = nn.Linear(model.fcn.in_channels, model.fcn.out_channels)
            self.head.weight.copy_(model.fcn.weight.flatten(1))
            self.head.bias.copy_(cast(Tensor, model.fcn.bias))
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of sequences (N, C, T, V, M)."""
        masked = self.inputs.masked
        data = find(x)  # (N, M, T)
        present = data.any(dim=2) if masked else torch.ones_like(data[:, :, 0])
        x = torch.cat([self.inputs.derived(x, stream) for stream in self.inputs.streams], dim=1)
        rows = x.permute(0, 4, 2, 3, 1).flatten(0, 1)  # (N*M, T, V, C)
        lengths = data.sum(dim=2).flatten() if masked else _lengths(rows)
        features = rows.new_zeros(len(rows), self.head.in_features)

        def find_features(some: tuple[int, Tensor]) -> Tensor:
            length, chosen = some
            group = rows[chosen, :length].transpose(0, 1)  # (L, n, V, C)
            return self._features(group, length if masked else rows.shape[1])

        groups = list(_groups(lengths, present.flatten(), rows.shape[1:3], 1 if masked else STEP))
        if any(length < rows.shape[1] for length, _ in groups) and not masked:
            self._trace(rows.shape[1])
        alone = len(groups) < torch.get_num_threads()  # then the threads share out the work within a group
        longest_first = list(reversed(groups))
        all_found = [find_features(group) for group in groups] if alone else threads.each(find_features, longest_first)[::-1]
        for (_, chosen), found in zip(groups, all_found, strict=True):
            features[chosen] = found
        features = features.view(*present.shape, -1).sum(dim=1) / present.sum(dim=1, keepdim=True)
        return cast(Tensor, self.head(features))

    def _features(self, rows: Tensor, total: int) -> Tensor:
        """Features (n, C) of sequences of ``total`` frames, of which all are empty but the first, (L, n, V, C)."""
        trace = self._trace(total) if len(rows) < total else None
        joints = rows.shape[2]
        if trace and not len(rows):
            return (trace.tail[0] / ((len(trace.tail) - 1) * joints)).expand(rows.shape[1], -1)
        x = torch.addcmul(self.shift, rows, self.scale).to(self.numbers)
        frames = total
        for index, layer in enumerate(self.layers):
            x = _through(layer, x, frames, trace and (trace.inputs[index], trace.mixed[index]))
            frames = math.ceil(frames / layer.stride)
        sums = x.sum(dim=(0, 2), dtype=torch.float32)
        return (sums + trace.tail[len(x)] if trace else sums) / (frames * joints)

    def _trace(self, frames: int) -> Trace:
        """That of an empty sequence of so many frames; the last one is kept, as sets have one length and a trace is large."""
        if frames not in self.traces:
            self.traces.clear()
            x = self.shift.expand(frames, 1, -1, -1).to(self.numbers)
            inputs, mixed, left = [], [], frames
            for layer in self.layers:
                inputs.append(x[:, 0])
                mixed.append(_mixed(layer, x)[:, 0])
                x = _through(layer, x, left, None)
                left = math.ceil(left / layer.stride)
            sums = x[:, 0].sum(dim=1, dtype=torch.float32)  # (T_end, C)
            tail = torch.cat([sums.flip(0).cumsum(0).flip(0), torch.zeros_like(sums[:1])])
            self.traces[frames] = Trace(inputs, mixed, tail)
        return self.traces[frames]


def _through(layer: Layer, x: Tensor, total: int, empty: tuple[Tensor, Tensor] | None) -> Tensor:
    """One block on the first frames (L, n, V, C) of ``total``: the first of its answer, all that the trace does not have.

    ``empty`` is what an empty sequence has before and within the block; None where L is ``total``.
    """
    length, batch, joints, _ = x.shape
    stride, channels = layer.stride, layer.mix.shape[1]
    frames = math.ceil(total / stride)
    frames = min(frames, (length + REACH - 1) // stride + 1) if empty else frames
    few = layer.products is not None and channels >= (WIDE if torch.get_num_threads() == 1 else WIDER)
    computed = toomcook.TILE * math.ceil(frames / toomcook.TILE) if few else stride * (frames - 1) + 1
    room = x.new_empty(computed + (toomcook.TILE if few else 2 * REACH), batch, joints, channels)
    room[:REACH] = 0
    _mixed(layer, x, room[REACH : REACH + length])
    known = min(len(room) - REACH, total)
    if empty:
        room[REACH + length : REACH + known] = empty[1][length:known, None]
    room[REACH + known :] = 0
    if few:
        assert layer.products is not None
        y = toomcook.convolve(room.flatten(1, 2), layer.products)[:frames]
    else:
        image = room.flatten(1, 2).permute(2, 0, 1)[None]  # (1, C', frames, n*V), channels last
        y = functional.conv2d(image, layer.kernel, stride=(stride, 1))[0].permute(1, 2, 0)
    y = y.view(frames, batch, joints, channels)
    if layer.residual:
        last = stride * (frames - 1) + 1
        known = math.ceil(min(length, last) / stride)
        y[:known] += _residual(layer, x[:last:stride])
        if known < frames:
            assert empty is not None
            y[known:] += _residual(layer, empty[0][stride * known : last : stride, None])
    return y.add_(layer.bias).relu_()


def _residual(layer: Layer, x: Tensor) -> Tensor:
    """What is added to the answer for frames (L, n, V, C) of the input."""
    return x if layer.shortcut is None else torch.matmul(x, layer.shortcut)


def _mixed(layer: Layer, x: Tensor, out: Tensor | None = None) -> Tensor:
    """Graph convolution, batch norm and ReLU: (L, n, V, C) -> (L, n, V, C')."""
    heard = torch.matmul(layer.graph, x)  # (L, n, V * K, C)
    y = torch.mm(heard.view(-1, len(layer.mix)), layer.mix).view(*x.shape[:3], -1)
    y += layer.shift
    return torch.clamp_min(y, 0, out=out)


def _folded(textbook: Block, adjacency: Tensor, numbers: torch.dtype) -> Layer:
    """A block and the weighted graph (K, V, V) it works on, with frames outside and channels inside.

    Fewer products are for float32 alone: the sums around them would lose most of what a bfloat16 holds.
    """
    partitions, joints, _ = adjacency.shape
    block = FoldedBlock(textbook, adjacency)
    channels = block.conv.out_channels
    few = block.stride == 1 and channels >= WIDE and numbers == torch.float32
    products = toomcook.kernel(block.conv.weight.flatten(2)).detach() if few else None
    bias, shortcut = cast(Tensor, block.conv.bias), None
    if isinstance(block.residual, nn.Conv2d):
        shortcut = block.residual.weight.flatten(1).T.contiguous().to(numbers)
        bias = bias + cast(Tensor, block.residual.bias)
    return Layer(
        block.graph.view(joints, partitions, joints).permute(2, 1, 0).reshape(joints * partitions, joints).to(numbers),
        block.mix.weight.view(channels, -1, partitions).permute(2, 1, 0).reshape(-1, channels).contiguous().to(numbers),
        block.shift[0, :, 0].T.contiguous().to(numbers),
        block.conv.weight.detach().contiguous(memory_format=torch.channels_last).to(numbers),
        products,
        bias.detach().to(numbers),
        shortcut,
        block.residual is not None,
        block.stride,
    )


def _lengths(rows: Tensor) -> Tensor:
    """Frames up to the last that is not empty, of sequences (n, T, V, C)."""
    seen = (rows != 0).flatten(2).any(dim=2)
    return (seen * torch.arange(1, rows.shape[1] + 1)).amax(dim=1)


def _groups(lengths: Tensor, used: Tensor, shape: torch.Size, step: int) -> Iterator[tuple[int, Tensor]]:
    """Used sequences of like length together: the frames to compute, and which they are."""
    frames, joints = shape
    rounded = ((lengths + step - 1) // step * step).clamp(max=frames)
    for length in sorted(set(rounded[used].tolist())):
        chosen = ((rounded == length) & used).nonzero().flatten()
        for part in chosen.split(max(1, ROWS // max(1, length * joints))):
            yield length, part
