"""Padding that takes no part: zero frames at the end of a sequence, and person slots in which there is nobody.

A network hands on ``Valid`` beside its features; it is None where all counts, and then each function here is the plain layer.
What is data is found in the sequences themselves, by tensor operations alone, so that an exported graph does the same.
Knows no network.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm


class Valid(NamedTuple):
    """What of a batch is data.

    ``frames`` (B, T) bool, a row for each person; None where every frame of these rows is data.
    ``present`` (N, M) bool, the person slots in use.
    ``rows`` (B,) which of the N * M slots the rows are; None where they are all there.
    """

    frames: Tensor | None
    present: Tensor
    rows: Tensor | None


def find(x: Tensor) -> Tensor:
    """(N, M, T) bool: which frames of which persons of sequences (N, C, T, V, M) are data.

    A sequence ends with the last frame in which anybody is seen, and a person is in it who is seen at all. An empty sequence
    is taken for one frame of one person, so that there is always something to go by.
    """
    seen = (x != 0).any(dim=3).any(dim=1)  # (N, T, M)
    count = torch.arange(1, x.shape[2] + 1, device=x.device)
    length = (seen.any(dim=2) * count).amax(dim=1).clamp(min=1)  # (N,)
    present = seen.any(dim=1)  # (N, M)
    first = torch.arange(x.shape[4], device=x.device) == 0
    present = present | (first & ~present.any(dim=1, keepdim=True))
    return present[:, :, None] & (count <= length[:, None])[:, None, :]


def begin(rows: Tensor, data: Tensor) -> tuple[Tensor, Valid | None]:
    """Take ``data`` (N, M, T) of ``find`` to the persons (N*M, ..., T): those and the frames that nobody needs are left out.

    In an exported graph, where sizes may not follow from values, all stay and are masked.
    """
    present, frames = data.any(dim=2), data.flatten(0, 1)
    if torch.compiler.is_compiling():
        return rows, Valid(frames, present, None)
    if data.all():
        return rows, None
    kept = present.flatten().nonzero().flatten()
    longest = int(data.sum(dim=2).amax())
    frames = frames[kept, :longest]
    plain = frames.numel() > 1 and bool(frames.all())  # a single frame has no variance, which a plain batch norm refuses
    return rows[kept, ..., :longest], Valid(None if plain else frames, present, kept)


def through(layer: nn.Module, x: Tensor, valid: Valid | None) -> Tensor:
    """``layer`` applied to (B, C, T, ...), with the result that the valid frames alone would give.

    A layer that looks at other frames sees zeros beyond the end, as it does at the end of a sequence without padding.
    """
    if valid is None or valid.frames is None:
        return cast(Tensor, layer(x))
    return _through(layer, x, valid.frames)[0]


def strided(valid: Valid | None, stride: int) -> Valid | None:
    """What is valid after a layer that keeps each frame number that ``stride`` divides."""
    if valid is None or valid.frames is None or stride == 1:
        return valid
    return valid._replace(frames=_strided(valid.frames, stride))


def mean_over_time(x: Tensor, valid: Valid | None) -> Tensor:
    """(B, C, T, ...) -> (B, C, ...): the mean of the valid frames."""
    if valid is None or valid.frames is None:
        return x.mean(dim=2)
    frames = _beside(valid.frames, x)
    return torch.where(frames, x, 0).sum(dim=2) / frames.sum(dim=2)


def pool(x: Tensor, valid: Valid | None, persons: int) -> Tensor:
    """(B, C, T, V) -> (N, C): the mean over frames and joints, then over persons."""
    if valid is None:
        return x.mean(dim=(2, 3)).view(-1, persons, x.shape[1]).mean(dim=1)
    present = valid.present[:, :, None]  # (N, M, 1)
    x = mean_over_time(x.mean(dim=3), valid)
    if valid.rows is not None:
        x = x.new_zeros(present.numel(), x.shape[1]).index_copy(0, valid.rows, x)
    x = x.view(-1, persons, x.shape[1])  # (N, M, C)
    return torch.where(present, x, 0).sum(dim=1) / present.sum(dim=1)


def _through(layer: nn.Module, x: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
    if isinstance(layer, nn.Sequential):
        for part in layer:
            x, frames = _through(part, x, frames)
        return x, frames
    if isinstance(layer, _BatchNorm):
        return _batch_norm(layer, x, frames), frames
    if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
        (reach, _), (stride, _) = (cast(tuple[int, int], size) for size in (layer.kernel_size, layer.stride))
        if reach > 1:  # zeros are what a convolution pads with; features come here from a ReLU, so they win no maximum either
            x = torch.where(_beside(frames, x), x, 0)
        return layer(x), _strided(frames, stride)
    return layer(x), frames


def _batch_norm(layer: _BatchNorm, x: Tensor, frames: Tensor) -> Tensor:
    """Batch norm with the statistics of the valid frames; in training the others come out as zeros."""
    if not layer.training:
        return cast(Tensor, layer(x))
    inside = x.transpose(1, 2)[frames]  # (frames in all, C, ...)
    if inside.numel() == inside.shape[1]:  # a single value has no variance
        mean, variance = layer.running_mean, layer.running_var
        return functional.batch_norm(x, mean, variance, layer.weight, layer.bias, training=False, eps=layer.eps)
    normed: Tensor = layer(inside if x.dim() == 3 else inside.unsqueeze(-1)).view_as(inside)
    out = normed.new_zeros(x.transpose(1, 2).shape)
    return out.index_put((frames,), normed).transpose(1, 2)


def _strided(frames: Tensor, stride: int) -> Tensor:
    """(B, T) -> (B, ceil(T / stride)), as long as what a convolution of that stride gives."""
    return frames if stride == 1 else frames[:, ::stride]


def _beside(frames: Tensor, x: Tensor) -> Tensor:
    """(B, T) in the shape (B, 1, T, 1...) that goes with ``x`` (B, C, T, ...)."""
    return frames.view(frames.shape[0], 1, frames.shape[1], *[1] * (x.dim() - 3))
