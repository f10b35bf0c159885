"""What a network costs: its parameters, and the work of one sequence. Knows tensors; knows no config, no files."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

GIGA = 1e9


def parameters(network: nn.Module) -> int:
    """Numbers that are learned."""
    return sum(p.numel() for p in network.parameters())


def gflop_per_sequence(network: nn.Module, shape: Sequence[int]) -> float:
    """Billions of floating-point operations for one sequence (C, T, V, M) in which nothing is padding.

    Those of convolutions and matrix products, a multiplication and an addition counted as two; papers often count them as one.
    """
    device = next(network.parameters()).device
    training = network.training
    network.eval()
    try:
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            network(torch.ones(1, *shape, device=device))
    finally:
        network.train(training)
    return float(counter.get_total_flops()) / GIGA
