"""Dropout that can draw from a source of its own, so that networks that are trained side by side draw what they would alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

LEVELS = 1 << 16  # of a probability, where four numbers are drawn together


class Dropout(nn.Dropout):
    """As in PyTorch, until ``drawing`` gives it a source."""

    source: torch.Generator | None = None

    def forward(self, input: Tensor) -> Tensor:
        """Of any shape."""
        if self.source is None or not self.training or self.p == 0:
            return super().forward(input)
        return input * kept(input, self.p, self.source)


@contextmanager
def drawing(network: nn.Module, source: torch.Generator | None) -> Iterator[None]:
    """Let all dropout of a network draw from ``source``."""
    layers = [module for module in network.modules() if isinstance(module, Dropout)]
    for layer in layers:
        layer.source = source
    try:
        yield
    finally:
        for layer in layers:
            layer.source = None


def kept(y: Tensor, p: float, source: torch.Generator | None = None) -> Tensor:
    """The factors of dropout of ``y``, each 0 with the probability ``p``, to a share of 65,536.

    Four are drawn together. PyTorch draws them one by one, on some processors with one thread: a fifth of a step.
    """
    drawn = torch.empty(math.ceil(y.numel() / 4), dtype=torch.int64).random_(-(2**63), None, generator=source)  # 64 fair bits
    dropped = round(p * LEVELS)
    if dropped == LEVELS:
        return torch.zeros_like(y)
    heard = drawn.view(torch.int16)[: y.numel()].view(y.shape) >= dropped - LEVELS // 2
    return heard.to(y.dtype).mul_(LEVELS / (LEVELS - dropped))
