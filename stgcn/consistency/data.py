"""What settings of the data, its augmentation and its division say about one another. See ``stgcn.consistency``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stgcn import channels
from stgcn.consistency.finding import Finding

if TYPE_CHECKING:
    from stgcn import config
    from stgcn.graph import Layout

AUGMENTATION = "dataset.augmentation"
# What switches a change off.
OFF = {
    **dict.fromkeys(("rotation", "scale", "shear", "shift", "noise", "joint_dropout", "frame_dropout"), 0.0),
    "temporal_crop": 1.0,
    **dict.fromkeys(("mirror", "mixup", "cutmix"), 0.0),
}
GEOMETRY = ("rotation", "scale", "shear", "shift", "noise", "mirror")  # what changes places
BATCH = ("mixup", "cutmix")  # what mixes the sequences of a batch


def problems(settings: config.TrainSpec, layout: Layout | None) -> list[Finding]:
    """All there are; a ``layout`` that is not known speaks against nothing."""
    found = [*of_drawing(settings.dataset), *of_division(settings.dataset)]
    return found + (of_augmentation(settings, layout) if settings.dataset.augmentation.enabled else [])


def of_drawing(dataset: config.Dataset) -> list[Finding]:
    """What an epoch cannot draw."""
    key, least = "dataset.draw_at_most", "dataset.repeat_to"
    if dataset.draw_at_most == 0:
        return [Finding(key, "is 0, which leaves nothing to learn from; allowed: -1 (all sequences), 1 or more")]
    if 0 < dataset.draw_at_most < dataset.repeat_to:
        says = f"is {dataset.draw_at_most}, below {least}, which is {dataset.repeat_to}: an epoch cannot draw fewer and more"
        return [Finding(key, says, (least,), ((key, dataset.repeat_to), (least, dataset.draw_at_most)))]
    return []


def of_division(dataset: config.Dataset) -> list[Finding]:
    """What a cross-validation cannot mean."""
    folds, fold = "dataset.folds", "dataset.fold"
    if dataset.folds == 1:
        return [Finding(folds, "is 1, which divides nothing; allowed: 0 (the sets as given), 2 or more")]
    if dataset.folds == 0:
        needs = [(fold, dataset.fold != 0), ("dataset.fold_by", dataset.fold_by != "subject")]
        return [Finding(key, "has no effect without dataset.folds, which is 0", (folds,)) for key, said in needs if said]
    if dataset.fold >= dataset.folds:
        return [Finding(fold, f"is {dataset.fold}; of {folds}={dataset.folds} parts the last is {dataset.folds - 1}", (folds,))]
    return []


def changes(asked: config.Augmentation) -> list[str]:
    """The changes that are asked for."""
    return [name for name, off in OFF.items() if getattr(asked, name) != off]


def in_vain(settings: config.TrainSpec) -> dict[str, str]:
    """Changes that channels or batches leave nothing to do, with the reason, asked for or not."""
    dataset = settings.dataset
    found: dict[str, str] = {}
    places = len(channels.places(settings.model.input_channels, dataset.preparation.confidence_channel))
    if places < 2:
        found |= dict.fromkeys(GEOMETRY, f"needs two coordinates or three; there is {places} (see model.input_channels)")
    if dataset.batch_size < 2:
        why = "mixes sequences of a batch; dataset.batch_size is 1, so there is none to mix with"
        found |= dict.fromkeys(BATCH, why)
    return found


def of_augmentation(settings: config.TrainSpec, layout: Layout | None) -> list[Finding]:
    """What the augmentation asks for in vain."""
    dataset, asked, key = settings.dataset, settings.dataset.augmentation, AUGMENTATION
    on, found = changes(asked), []
    if not on:
        own = f"{key}.enabled"
        says = "is on, but every change is switched off; set it to false, or ask for one"
        found.append(Finding(own, says, tuple(f"{key}.{name}" for name in OFF), ((own, False),)))
    vain = in_vain(settings)
    cause = {**dict.fromkeys(GEOMETRY, "model.input_channels"), **dict.fromkeys(BATCH, "dataset.batch_size")}
    automatic = ("mirror",) if asked.mirror == -1 else ()  # which looks, and finds out
    found += [
        Finding(
            f"{key}.{name}", f"is {getattr(asked, name):g}, and {vain[name]}", (cause[name],), ((f"{key}.{name}", OFF[name]),)
        )
        for name in on
        if name in vain and name not in automatic
    ]
    if asked.shift > 0 and dataset.preparation.center not in ("none", "auto"):
        center = "dataset.preparation.center"
        says = (
            f"is {asked.shift:g}, which moves the body, and {center}={dataset.preparation.center} puts every body at the same "
            "place; set one of them to its default"
        )
        found.append(Finding(f"{key}.shift", says, (center,), ((f"{key}.shift", 0.0),)))
    if -1 < asked.mirror < 0:
        says = f"is {asked.mirror:g}; allowed: a probability from 0 to 1, or -1, which looks at the data"
        found.append(Finding(f"{key}.mirror", says))
    if asked.mirror > 0 and layout and not layout.pairs:
        says = (
            f"is {asked.mirror:g} and exchanges left and right joints, and the layout {layout.name} names no pairs of them; "
            "add `pairs` to the layout, or set mirror to 0"
        )
        found.append(Finding(f"{key}.mirror", says, ("model.graph_layout",), ((f"{key}.mirror", 0.0),)))
    return found
