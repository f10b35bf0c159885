"""What a model says about itself: graph, channels, classes, window. Plain data, kept in checkpoints and in ONNX files.

Knows the settings that describe a network and how to tell two descriptions apart; knows no tensors, no file formats.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stgcn import config
from stgcn.errors import SpecError
from stgcn.graph import LAYOUTS, Layout, from_plain, is_path, resolve
from stgcn.labels import check_label_map
from stgcn.prepare import NOTHING
from stgcn.prepare import problems as unfit

KEY = "pose_classification"
FORMAT = 1
_EXPECTED = {
    *("layout", "graph_strategy", "edge_importance_weighting", "input_channels", "num_classes", "label_map", "window"),
    "num_persons",
}
_PLAIN = dataclasses.asdict(NOTHING)
PARTITIONS = {"uniform": 1, "distance": 2, "spatial": 3}  # K of each strategy


def describe(model: config.Model, dataset: config.Dataset, *, window: int | None, num_persons: int | None) -> dict[str, Any]:
    """Describe the network of a spec; ``window`` is the frames T and ``num_persons`` the persons M seen in training.

    Raises:
        SpecError: the layout is a file that cannot be used, or the preparation asks for what it does not have.
    """
    layout = resolve(model.graph_layout)
    if problems := unfit(dataset.preparation, layout, model.input_channels):
        raise SpecError(problems)
    return {
        "format": FORMAT,
        "network": model.model_type,
        "layout": layout.as_plain(),
        "graph_strategy": model.graph_strategy,
        "edge_importance_weighting": model.edge_importance_weighting,
        "input_channels": model.input_channels,
        "num_classes": dataset.num_classes,
        "label_map": dict(dataset.label_map),
        "window": window,
        "num_persons": num_persons,
        "normalisation": "none" if dataset.preparation == NOTHING else "preparation",
        "preparation": dataclasses.asdict(dataset.preparation),
    }


def unreadable(description: object) -> str | None:
    """Say why a description found in a file cannot be used, or None."""
    if not isinstance(description, Mapping) or not isinstance(description.get("format"), int):
        return "what it says about itself is not readable"
    if description["format"] > FORMAT:
        return f"it was written by a newer version (format {description['format']}, this one reads up to {FORMAT})"
    missing = sorted(_EXPECTED - description.keys())
    if missing:
        return f"what it says about itself lacks {', '.join(missing)}"
    layout, problems = from_plain(description["layout"], "unnamed")
    if layout is None:
        return f"the layout it describes is broken: {'; '.join(problems)}"
    try:
        problems = unfit(preparation_of(description), layout, description["input_channels"])
    except SpecError as error:
        problems = error.problems
    return f"the preparation it describes is not one of this version: {'; '.join(problems)}" if problems else None


def layout_of(description: Mapping[str, Any]) -> Layout:
    """The layout a model carries; no file is needed.

    Raises:
        SpecError: it is broken, which ``unreadable`` says beforehand.
    """
    layout, problems = from_plain(description["layout"], "unnamed")
    if layout is None:
        raise SpecError(problems)
    return layout


def preparation_of(description: Mapping[str, Any]) -> config.Preparation:
    """The preparation a model was trained with; files of earlier versions know none.

    Raises:
        SpecError: it is broken, which ``unreadable`` says beforehand.
    """
    plain = description.get("preparation", _PLAIN)
    return NOTHING if plain == _PLAIN else config.from_dict(config.Preparation, plain)


def class_names(description: Mapping[str, Any]) -> list[str]:
    """Class names in the order of their ids."""
    label_map: dict[str, int] = description["label_map"]
    return sorted(label_map, key=label_map.__getitem__)


def num_joints(description: Mapping[str, Any]) -> int:
    """Joints V of the input."""
    return len(description["layout"]["joints"])


def check_classes(dataset: config.Dataset) -> None:
    """Make sure that the label map names every class once.

    Raises:
        SpecError: with all that is wrong.
    """
    problems = check_label_map(dataset.label_map, dataset.num_classes)
    if problems:
        raise SpecError(problems)


def differences(
    description: Mapping[str, Any], model: config.Model, dataset: config.Dataset, *, ignore_defaults: bool
) -> list[str]:
    """List the settings in which a spec contradicts a model that describes itself.

    With ``ignore_defaults`` a setting left at its default is taken as not set: the model's own value counts. So does its
    own layout where the spec names the file that the model was trained with, or one that is gone.

    Raises:
        SpecError: the layout of the spec is a file that cannot be used.
    """
    default_model, default_dataset = config.Model(), config.Dataset()
    prepared = preparation_of(description)
    rows = [
        *(
            (f"model.{name}", getattr(model, name), getattr(default_model, name), description[name])
            for name in ("graph_strategy", "input_channels", "edge_importance_weighting")
        ),
        *(
            (f"dataset.{name}", getattr(dataset, name), getattr(default_dataset, name), description[name])
            for name in ("num_classes", "label_map")
        ),
        *(
            (f"dataset.preparation.{name}", ours, getattr(default_dataset.preparation, name), getattr(prepared, name))
            for name, ours in dataclasses.asdict(dataset.preparation).items()
        ),
    ]
    return _layout_differences(description, model.graph_layout, ignore_defaults=ignore_defaults) + [
        f"{key}: the checkpoint holds {theirs}, the spec says {ours}"
        for key, ours, default, theirs in rows
        if ours != theirs and not (ignore_defaults and ours == default)
    ]


def _layout_differences(description: Mapping[str, Any], ours: str, *, ignore_defaults: bool) -> list[str]:
    """Compare the layout of a model with what a spec says, a name or a file."""
    theirs = layout_of(description)
    spec = description.get("spec")
    trained_with = config.Model().graph_layout
    if isinstance(spec, Mapping) and isinstance(spec.get("model"), Mapping):
        trained_with = spec["model"].get("graph_layout", trained_with)
    gone = is_path(ours) and not Path(ours).exists()
    if ignore_defaults and (ours in (config.Model().graph_layout, trained_with) or gone):
        return []
    own = resolve(ours)
    if own.same_skeleton(theirs) or (own.name == theirs.name and own.name in LAYOUTS):
        return []
    held, said = (f"{layout.name} ({layout.num_joints} joints)" for layout in (theirs, own))
    other = "" if held != said else ", whose joints, bones or centre are others"
    return [f"model.graph_layout: the checkpoint holds {held}, the spec says {said}{other}"]
