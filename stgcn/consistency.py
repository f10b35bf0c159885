"""What the settings of a training say about one another: what contradicts itself or cannot work, and what does nothing.

Types and bounds are checked elsewhere. Knows no tensors, no files but a layout's.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from stgcn import config
from stgcn.errors import SpecError
from stgcn.graph import Layout, resolve
from stgcn.prepare import position_channels

COSINES = ("Cosine", "OneCycle")
GEOMETRY = ("rotation", "scale", "shear", "shift", "noise", "mirror")  # what changes places
OFF: dict[str, float] = {"temporal_crop": 1.0}  # what switches a change off, where it is not 0


def problems(settings: config.TrainSpec) -> list[str]:
    """Settings that contradict one another, or ask for what layout, channels or batches do not have."""
    return [*_of_augmentation(settings), *_of_schedule(settings.train), *_of_selection(settings.train)]


def idle(settings: config.TrainSpec) -> list[str]:
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


def _of_augmentation(settings: config.TrainSpec) -> list[str]:
    """What the augmentation asks for in vain."""
    dataset, asked = settings.dataset, settings.dataset.augmentation
    if not asked.enabled:
        return []
    key = "dataset.augmentation"
    on = [name for name, value in dataclasses.asdict(asked).items() if name != "enabled" and value != OFF.get(name, 0.0)]
    found = []
    if not on:
        found.append(f"{key}.enabled is on, but every change is switched off; set enabled to false, or ask for one")
    if (mixed := [name for name in ("mixup", "cutmix") if name in on]) and dataset.batch_size < 2:
        found.append(f"{key}.{mixed[0]} mixes sequences of a batch; dataset.batch_size is 1, so there is none to mix with")
    places = len(position_channels(settings.model.input_channels, dataset.preparation))
    if places < 2 and (moved := [name for name in GEOMETRY if name in on]):
        found.append(f"{key}.{moved[0]} needs two coordinates or three; there is {places} (see model.input_channels)")
    if asked.shift > 0 and dataset.preparation.center not in ("none", "auto"):
        found.append(
            f"{key}.shift moves the body, and dataset.preparation.center={dataset.preparation.center} puts every body at the "
            "same place; set one of them to its default"
        )
    if -1 < asked.mirror < 0:
        found.append(f"{key}.mirror is {asked.mirror:g}; allowed: a probability from 0 to 1, or -1, which looks at the data")
    if asked.mirror > 0 and (layout := _layout(settings)) and not layout.pairs:
        found.append(
            f"{key}.mirror exchanges left and right joints, and the layout {layout.name} names no pairs of them; add `pairs` "
            "to the layout, or set mirror to 0"
        )
    return found


def _layout(settings: config.TrainSpec) -> Layout | None:
    """The layout; None where it cannot be read, which others say."""
    try:
        return resolve(settings.model.graph_layout)
    except SpecError:
        return None


def _of_selection(train: config.Train) -> list[str]:
    """A training that ends when it gets worse cannot give its last epoch as the model."""
    if train.early_stopping and train.select == "last":
        return ["train.early_stopping waits until val_loss rises, and train.select=last takes just that; set select to best"]
    return []


def _of_schedule(train: config.Train) -> list[str]:
    """What the schedule asks for in vain."""
    optim, found = train.optim, []
    if optim.lr_scheduler not in COSINES:
        return []
    if optim.min_lr > optim.lr:
        found.append(
            f"train.optim.min_lr is {optim.min_lr:g}, above train.optim.lr, which is {optim.lr:g}: {optim.lr_scheduler} falls "
            "from lr to min_lr"
        )
    if optim.warmup_epochs and optim.warmup_share:
        found.append(
            f"train.optim.warmup_epochs is {optim.warmup_epochs} and train.optim.warmup_share is {optim.warmup_share:g}; both "
            "say how long the warm-up is: set one of them to 0"
        )
    if optim.warmup_epochs >= train.num_epochs:
        found.append(
            f"train.optim.warmup_epochs is {optim.warmup_epochs}, and train.num_epochs {train.num_epochs}: the rate would "
            "never fall; warm up for fewer epochs, or by warmup_share"
        )
    return found
