"""Temporal convolution of nine taps with 25 products for nine frames in place of 81. Knows tensors only.

Nine outputs of nine taps are three outputs of three taps twice over, and three of three need five products (Toom and Cook, at
0, 1, -1, 2 and infinity). So an input transform takes 17 frames to 25 sums, a matrix product mixes the channels of each of the
25, and an output transform takes these to nine frames. All three are plain matrix products.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

TAPS = 9
TILE = 9  # frames that come out together
SEEN = TILE + TAPS - 1  # frames that go into them


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

    The last of the frames is not looked at.
    """
    frames, rows, channels = x.shape
    tiles = frames // TILE - 1
    phases = x.view(tiles + 1, TILE, rows * channels).transpose(0, 1).contiguous().view(TILE, -1)
    size, step = tiles * rows * channels, rows * channels
    into = torch.from_numpy(INTO).float()
    sums = torch.mm(into[:, :TILE], phases[:, :size])
    sums.addmm_(into[:, TILE:], phases[: SEEN - TILE, step : step + size])
    mixed = torch.bmm(sums.view(len(INTO), tiles * rows, channels), kernel)
    out = torch.mm(torch.from_numpy(OUT).float(), mixed.view(len(INTO), -1))
    return out.view(TILE, tiles, rows, -1).transpose(0, 1).reshape(TILE * tiles, rows, -1)
