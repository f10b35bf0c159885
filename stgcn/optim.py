"""Optimisers and learning-rate schedules as the settings name them. Knows parameters and counts, no data and no trainer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, Adamax, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, MultiStepLR, ReduceLROnPlateau

from stgcn import config

ADAMS: dict[str, Callable[..., Optimizer]] = {
    "torch.optim.Adam": Adam,
    "torch.optim.Adamax": Adamax,
    "torch.optim.AdamW": AdamW,
}
WITHOUT_KERNEL = {"torch.optim.Adamax"}
BY_STEP = "OneCycle"  # the schedule that is stepped after every batch; all others after every epoch


def build_optimizer(parameters: Any, optim: config.Optim, *, on_gpu: bool = False) -> Optimizer:
    """Optimiser that ``optimizer_type`` names, of parameters or groups; Nesterov needs momentum and is left out without.

    On a GPU all weights are stepped by one kernel where PyTorch has one; on a CPU each as ever, which gives TAO's losses.
    """
    kind = optim.optimizer_type
    one_kernel: dict[str, Any] = {"fused": True} if on_gpu and kind not in WITHOUT_KERNEL else {}
    if kind == "torch.optim.SGD":
        momentum: dict[str, Any] = {"momentum": optim.momentum, "nesterov": optim.nesterov and optim.momentum > 0}
        return SGD(parameters, lr=optim.lr, weight_decay=optim.weight_decay, **momentum, **one_kernel)
    return ADAMS[kind](parameters, lr=optim.lr, weight_decay=optim.weight_decay, **one_kernel)


def without_decay_of_norms(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Divide each of the parameter ``groups``, so that weight decay is for weights only: not for biases, nor norms.

    Those are the parameters with one dimension.
    """
    divided = []
    for group in groups:
        matrices: list[nn.Parameter] = [p for p in group["params"] if p.ndim > 1]
        vectors: list[nn.Parameter] = [p for p in group["params"] if p.ndim <= 1]
        divided += [{**group, "params": matrices}] if matrices else []
        divided += [{**group, "params": vectors, "weight_decay": 0.0}] if vectors else []
    return divided


def build_scheduler(optimizer: Optimizer, optim: config.Optim, num_epochs: int, steps_per_epoch: int = 1) -> LRScheduler:
    """Schedule that ``lr_scheduler`` names, stepped once an epoch, OneCycle once a step."""
    if optim.lr_scheduler == "AutoReduce":
        return ReduceLROnPlateau(optimizer, "min", factor=optim.lr_decay, patience=optim.patience, min_lr=optim.min_lr)
    if optim.lr_scheduler == "MultiStep":
        return MultiStepLR(optimizer, milestones=list(optim.lr_steps), gamma=optim.lr_decay)
    parts = steps_per_epoch if optim.lr_scheduler == BY_STEP else 1
    return LambdaLR(optimizer, lambda turn: cosine_factor(turn, optim, num_epochs, parts))


def cosine_factor(turn: int, optim: config.Optim, num_epochs: int, parts: int = 1) -> float:
    """Share of ``lr`` in a turn, of which an epoch has so many ``parts``: rising over the warm-up, then a half cosine.

    The first turn after the warm-up has the full rate, the last one ``min_lr``.
    """
    turns = num_epochs * parts
    warmup = optim.warmup_epochs * parts or round(optim.warmup_share * turns)
    if turn < warmup:
        return (turn + 1) / (warmup + 1)
    lowest = min(optim.min_lr / optim.lr, 1.0) if optim.lr else 0.0
    progress = (turn - warmup) / max(1, turns - 1 - warmup)
    return lowest + (1 - lowest) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
