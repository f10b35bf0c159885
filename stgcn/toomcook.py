"""Temporal convolution of nine taps with 25 products for nine frames in place of 81. Knows tensors only.

Nine outputs of nine taps are three outputs of three taps twice over, and three of three need five products (Toom and Cook, at
0, 1, -1, 2 and infinity). So an input transform takes 17 frames to 25 sums, a matrix product mixes the channels of each of the
25, and an output transform takes these to nine frames. All three are plain matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stgcn import threads

TAPS = 9
TILE = 9  # frames that come out together
SEEN = TILE + TAPS - 1  # frames that go into them
REACH = TAPS // 2
PRODUCTS = 25
TOGETHER = 136  # rows of tiles that go through the products together


def _three() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three outputs of three taps: inputs (5, 5), taps (5, 3), outputs (3, 5)."""
    points = (0.0, 1.0, -1.0, 2.0)

    def powers(count: int) -> np.ndarray:
        return np.array([[p**j for j in range(count)] for p in points] + [[0.0] * (count - 1) + [1.0]])

    return np.linalg.inv(powers(5)).T, powers(3), powers(3).T


def _nine() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nine outputs of nine taps: inputs (25, 17), taps (25, 9), outputs (9, 25)."""
    into, taps, out = _three()
    spread = np.zeros((5, 5, 17))  # [outer point, inner point, frame]
    for outer in range(5):
        for inner in range(5):
            spread[:, :, 3 * outer + inner] += np.outer(into[:, outer], into[:, inner])
    return spread.reshape(25, 17), np.kron(taps, taps), np.kron(out, out)


INTO, TAPS_TO, OUT = _nine()


def kernel(weight: Tensor) -> Tensor:
    """(C', C, 9) -> (25, C, C'), what ``convolve`` takes."""
    return torch.einsum("pk,ock->pco", torch.from_numpy(TAPS_TO), weight.double()).float().contiguous()


def convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """(9 * tiles + 9, R, C) frames -> (9 * tiles, R, C'): what a convolution of nine taps over the frames gives.

    Some rows of some tiles go through all three steps at a time, so that what lies between them stays in the cache; the frames
    that a tile sees lie one after the other, so that nothing is copied. Each thread has rows of its own. The last of the
    frames is not looked at.
    """
    frames, rows, channels = x.shape
    wide = kernel.shape[2]
    into, back = _matrices(x)
    source, target = x.view(frames, -1), x.new_empty(frames - TILE, rows * wide)

    def convolved(share: range) -> None:
        for tiles, part in _chunks(frames, share):
            sums = _transformed(into, source, tiles, part, channels, SEEN)
            mixed = torch.bmm(sums, kernel)
            for place, frame, size in _places(tiles, part, wide):
                out = target[frame : frame + TILE, part.start * wide : part.stop * wide]
                torch.mm(back, mixed.view(PRODUCTS, -1)[:, place : place + size], out=out)

    threads.each(convolved, _shares(rows))
    return target.view(frames - TILE, rows, wide)


class Convolution(torch.autograd.Function):
    """The convolution over time of a training: (T, R, C) and (C', C, 9) -> (T, R, C'), zeros around it, stride 1.

    Its gradients are the same algorithm read backwards, with as many products again for the input and for the weights.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """The convolution."""
        frames = x.shape[0]
        room = _within_zeros(x, REACH, _padded(frames))
        taps = torch.from_numpy(TAPS_TO).to(x.dtype)
        wide, channels, _ = weight.shape
        products = torch.mm(taps, weight.permute(2, 1, 0).reshape(TAPS, -1)).view(PRODUCTS, channels, wide)
        ctx.save_for_backward(room, products)
        ctx.frames = frames
        return convolve(room, products)[:frames]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of the input and of the weights."""
        room, products = ctx.saved_tensors
        total, rows, channels = room.shape
        wide = products.shape[2]
        into, back = _matrices(room)
        source = room.view(total, -1)
        given = _within_zeros(gradient, 0, total).view(total, -1)
        found = torch.zeros_like(room).view(total, -1)
        turned = products.transpose(1, 2)

        def pulled_back(share: range) -> Tensor:
            weights = torch.zeros_like(products)
            for tiles, part in _chunks(total, share):
                sums = _transformed(into, source, tiles, part, channels, SEEN)
                pulled = _transformed(back.T, given, tiles, part, wide, TILE)
                weights.baddbmm_(sums.transpose(1, 2), pulled)
                pushed = torch.bmm(pulled, turned).view(PRODUCTS, -1)
                for place, frame, size in _places(tiles, part, channels):
                    target = found[frame : frame + SEEN, part.start * channels : part.stop * channels]
                    target.addmm_(into.T, pushed[:, place : place + size])  # neighbouring tiles see the same frames
            return weights

        first, *others = threads.each(pulled_back, _shares(rows))
        weights = sum(others, start=first)
        taps = torch.mm(torch.from_numpy(TAPS_TO).to(room.dtype).T, weights.view(PRODUCTS, -1)).view(TAPS, channels, wide)
        return found.view_as(room)[REACH : REACH + ctx.frames], taps.permute(2, 1, 0)


def _padded(frames: int) -> int:
    """Frames that ``convolve`` wants for so many."""
    return TILE * (math.ceil(frames / TILE) + 1)


def _within_zeros(x: Tensor, before: int, frames: int) -> Tensor:
    """``x`` (T, ...) as some of so many frames, with zeros before and after."""
    room = x.new_empty(frames, *x.shape[1:])
    room[:before] = 0
    room[before : before + len(x)] = x
    room[before + len(x) :] = 0
    return room


def _matrices(like: Tensor) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(INTO).to(like.dtype), torch.from_numpy(OUT).to(like.dtype)


def _shares(rows: int) -> list[range]:
    """The rows of each thread; of few rows it pays more to share out each product."""
    count = max(1, min(torch.get_num_threads(), 2 * rows // TOGETHER))
    return [range(rows * turn // count, rows * (turn + 1) // count) for turn in range(count)]


def _chunks(frames: int, share: range) -> Iterator[tuple[range, slice]]:
    """What goes through together: the first frames of some tiles, and some rows of a share."""
    firsts = range(0, frames - TILE, TILE)
    for first in range(share.start, share.stop, TOGETHER):
        part = slice(first, min(share.stop, first + TOGETHER))
        count = max(1, TOGETHER // (part.stop - part.start))
        for index in range(0, len(firsts), count):
            yield firsts[index : index + count], part


def _places(tiles: range, part: slice, channels: int) -> Iterator[tuple[int, int, int]]:
    """Where each tile of a chunk lies within a buffer of the chunk, its first frame, and how many columns it has."""
    size = (part.stop - part.start) * channels
    for index, frame in enumerate(tiles):
        yield index * size, frame, size


def _transformed(matrix: Tensor, source: Tensor, tiles: range, part: slice, channels: int, seen: int) -> Tensor:
    """The matrix (25, seen) times the frames that each tile sees: (25, tiles * rows, C)."""
    out = source.new_empty(PRODUCTS, len(tiles) * (part.stop - part.start) * channels)
    for place, frame, size in _places(tiles, part, channels):
        window = source[frame : frame + seen, part.start * channels : part.stop * channels]
        torch.mm(matrix, window, out=out[:, place : place + size])
    return out.view(PRODUCTS, -1, channels)
