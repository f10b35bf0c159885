"""Settings of a training that say something while another one keeps them from having any effect. Knows no tensors, no files."""

from __future__ import annotations

import dataclasses
from typing import Any

from stgcn import config
from stgcn.consistency.training import COSINES


def notes(settings: config.TrainSpec) -> list[str]:
    """Settings that say something, while another one keeps them from having any effect."""
    optim, found = settings.train.optim, []
    plain = config.Augmentation()
    if not settings.dataset.augmentation.enabled:
        said = [f"{name}={value}" for name, value in _changed(settings.dataset.augmentation, plain)]
        if said:
            found.append(f"dataset.augmentation.enabled is off, so these have no effect: {', '.join(said)}")
    if optim.lr_scheduler not in COSINES:
        said = [f"{name}={value}" for name, value in _changed(optim, config.Optim()) if name.startswith("warmup_")]
        if said:
            found.append(f"train.optim.lr_scheduler is {optim.lr_scheduler}, so these have no effect: {', '.join(said)}")
    if optim.lr_scheduler == "OneCycle":
        useless = ("lr_monitor", "patience", "lr_steps", "lr_decay")
        said = [f"{name}={value}" for name, value in _changed(optim, config.Optim()) if name in useless]
        if said:
            found.append(f"train.optim.lr_scheduler is OneCycle, so these have no effect: {', '.join(said)}")
    if settings.train.arrangement == "fast" and (settings.model.model_type != "ST-GCN" or settings.model.padding == "masked"):
        found.append("train.arrangement=fast has no effect: it is of ST-GCN with padding counted")
    if settings.dataset.bucket_by_length and (settings.model.padding != "masked" or settings.dataset.preparation.window > 0):
        why = (
            "model.padding counts"
            if settings.model.padding != "masked"
            else "dataset.preparation.window makes all of one length"
        )
        found.append(f"dataset.bucket_by_length saves nothing: {why}")
    validations = -(-settings.train.num_epochs // settings.train.validation_interval)
    if settings.train.early_stopping >= max(validations, 2) - 1:
        found.append(
            f"train.early_stopping is {settings.train.early_stopping}, and a training of {settings.train.num_epochs} epochs "
            f"has only {validations} validations: it will not stop early"
        )
    return found


def _changed(ours: Any, plain: Any) -> list[tuple[str, Any]]:
    """The settings of a group that are not at their defaults."""
    return [(name, value) for name, value in dataclasses.asdict(ours).items() if value != getattr(plain, name)]
