"""Whole sets of sequences on a GPU: batches are picked there, and while it trains nothing but their indices goes to it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

SHARE = 4  # of the memory that is free on the device, one part in so many is taken
CHUNK = 64 * 2**20  # bytes that are copied at once; more is not held in memory of a set that is mapped


class Indices(Dataset[int]):
    """The indices of a set in place of its sequences, asked for as those are: by index, or by (epoch, index, draw)."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: int | tuple[int, int, int]) -> int:
        return key[1] if isinstance(key, tuple) else key


class Resident:
    """Sequences (N, C, T, V, M) and class ids (N,) on ``device``."""

    def __init__(self, data: np.ndarray, labels: np.ndarray, device: torch.device) -> None:
        self.data = torch.empty(data.shape, dtype=torch.float32, device=device)
        step = max(1, CHUNK // max(1, data[:1].nbytes))
        for start in range(0, len(data), step):
            self.data[start : start + step] = torch.from_numpy(np.array(data[start : start + step]))
        self.labels = torch.from_numpy(np.array(labels, np.int64)).to(device)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Sequences (n, C, T, V, M) and class ids (n,) of ``indices`` (n,)."""
        return self.data.index_select(0, indices), self.labels.index_select(0, indices)


def room_for(nbytes: int, device: torch.device) -> bool:
    """Whether a set of so many bytes may lie on ``device``: on a GPU that keeps most of its free memory for the training."""
    return device.type == "cuda" and nbytes * SHARE <= torch.cuda.mem_get_info(device)[0]
