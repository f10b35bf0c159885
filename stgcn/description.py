"""What a model says about itself: graph, channels, classes, window. Plain data, kept in checkpoints and in ONNX files.

Knows the settings that describe a network and how to tell two descriptions apart; knows no tensors, no file formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stgcn import config
from stgcn.errors import SpecError
from stgcn.graph import LAYOUTS
from stgcn.labels import check_label_map

KEY = "pose_classification"
FORMAT = 1
_EXPECTED = {
    *("layout", "graph_strategy", "edge_importance_weighting", "input_channels", "num_classes", "label_map", "window"),
    "num_persons",
}
PARTITIONS = {"uniform": 1, "distance": 2, "spatial": 3}  # K of each strategy


def describe(model: config.Model, dataset: config.Dataset, *, window: int | None, num_persons: int | None) -> dict[str, Any]:
    """Describe the network of a spec; ``window`` is the frames T and ``num_persons`` the persons M seen in training."""
    layout = LAYOUTS[model.graph_layout]
    return {
        "format": FORMAT,
        "network": model.model_type,
        "layout": {
            "name": layout.name,
            "joints": list(layout.joints),
            "edges": [list(edge) for edge in layout.edges],
            "center": layout.center,
        },
        "graph_strategy": model.graph_strategy,
        "edge_importance_weighting": model.edge_importance_weighting,
        "input_channels": model.input_channels,
        "num_classes": dataset.num_classes,
        "label_map": dict(dataset.label_map),
        "window": window,
        "num_persons": num_persons,
        "normalisation": "none",
    }


def unreadable(description: object) -> str | None:
    """Say why a description found in a file cannot be used, or None."""
    if not isinstance(description, Mapping) or not isinstance(description.get("format"), int):
        return "what it says about itself is not readable"
    if description["format"] > FORMAT:
        return f"it was written by a newer version (format {description['format']}, this one reads up to {FORMAT})"
    missing = sorted(_EXPECTED - description.keys())
    return f"what it says about itself lacks {', '.join(missing)}" if missing else None


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

    With ``ignore_defaults`` a setting left at its default is taken as not set: the model's own value counts.
    """
    default_model, default_dataset = config.Model(), config.Dataset()
    layout = description["layout"]
    rows = [
        ("model.graph_layout", model.graph_layout, default_model.graph_layout, layout["name"]),
        *(
            (f"model.{name}", getattr(model, name), getattr(default_model, name), description[name])
            for name in ("graph_strategy", "input_channels", "edge_importance_weighting")
        ),
        *(
            (f"dataset.{name}", getattr(dataset, name), getattr(default_dataset, name), description[name])
            for name in ("num_classes", "label_map")
        ),
    ]
    return [
        f"{key}: the checkpoint holds {_shown(key, theirs, layout)}, the spec says {_shown(key, ours, None)}"
        for key, ours, default, theirs in rows
        if ours != theirs and not (ignore_defaults and ours == default)
    ]


def _shown(key: str, value: Any, layout: Mapping[str, Any] | None) -> str:
    if key == "model.graph_layout":
        joints = len(layout["joints"]) if layout else LAYOUTS[value].num_joints
        return f"{value} ({joints} joints)"
    return str(value)
