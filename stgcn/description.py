"""What a model says about itself: graph, channels, classes, window. Plain data, kept in checkpoints and in ONNX files.

Knows the settings that describe a network and how to tell two descriptions apart; knows no tensors, no file formats.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stgcn import channels, config, stages
from stgcn.consistency import of_classes, of_network, of_preparation, of_size, of_streams
from stgcn.errors import SpecError
from stgcn.graph import LAYOUTS, Layout, from_plain, is_path, resolve
from stgcn.prepare import NOTHING, idle

KEY = "pose_classification"
FORMAT = 1
MOST = 10**6  # channels, classes, frames and persons that a file may speak of
_EXPECTED = {
    *("layout", "graph_strategy", "edge_importance_weighting", "input_channels", "num_classes", "label_map", "window"),
    "num_persons",
}
_PLAIN = dataclasses.asdict(NOTHING)
CALIBRATION = {"temperature": (1e-6, 1e6), "unknown_threshold": (0.0, 1.0)}  # what each may be, where a model has it
PARTITIONS = {"uniform": 1, "distance": 2, "spatial": 3}  # K of each strategy
NETWORKS = tuple(stages.FEWEST)
STREAMS = typing.get_args(config.Stream)
# What a file says that was written before there was a choice.
_BEFORE = {
    "network": "ST-GCN",
    "dropout": 0.5,
    "width": stages.WIDTH,
    "stages": list(stages.STAGES),
    "padding": "counted",
    "streams": ["joint"],
    "stream_fusion": "score",
    "person_slots": 1,
}


def describe(model: config.Model, dataset: config.Dataset, *, window: int | None, num_persons: int | None) -> dict[str, Any]:
    """Describe the network of a spec; ``window`` is the frames T and ``num_persons`` the persons M seen in training.

    Raises:
        SpecError: the layout is a file that cannot be used, the preparation asks for what it does not have, or settings of
            the network do not go together.
    """
    layout = resolve(model.graph_layout)
    found = [*of_preparation(dataset.preparation, layout, model.input_channels), *of_network(model, dataset)]
    if found:
        raise SpecError([str(finding) for finding in found])
    return {
        "format": FORMAT,
        "network": model.model_type,
        "width": model.width,
        "stages": list(model.stages),
        "dropout": model.dropout,
        "padding": model.padding,
        "streams": list(dataset.streams),
        "stream_fusion": dataset.stream_fusion,
        "layout": layout.as_plain(),
        "graph_strategy": model.graph_strategy,
        "edge_importance_weighting": model.edge_importance_weighting,
        "input_channels": model.input_channels,
        "num_classes": dataset.num_classes,
        "label_map": dict(dataset.label_map),
        "window": window,
        "num_persons": num_persons,
        "normalisation": "none" if idle(dataset.preparation) else "preparation",
        "preparation": dataclasses.asdict(dataset.preparation),
    }


def completed(description: Mapping[str, Any]) -> dict[str, Any]:
    """A description with every key, also where its file was written before there was a choice."""
    return {**_BEFORE, **description}


def _unbuildable(about: Mapping[str, Any]) -> str | None:
    """Say why no network can be built as a complete description has it, or None."""
    if about["network"] not in NETWORKS:
        return f"its network is {about['network']!r}; known are {', '.join(NETWORKS)}"
    found = [*of_size(about["network"], about["width"], about["stages"]), *of_streams(about["streams"])]
    problems = [str(finding) for finding in found]
    problems += [
        f"its {key} is {about[key]!r}; known are {', '.join(known)}"
        for key, known in (("padding", ("counted", "masked")), ("stream_fusion", ("score", "input")))
        if about[key] not in known
    ]
    slots = about["person_slots"]
    if (
        not isinstance(slots, int)
        or slots < 1
        or (slots > 1 and (about["padding"] == "masked" or about["network"] != "CTR-GCN"))
    ):
        problems.append(f"its person_slots is {slots!r}, which its network cannot have")
    if problems:
        return "; ".join(problems)
    fusion = about.get("fusion", [1.0] * len(about["streams"]))
    if not isinstance(fusion, list | tuple) or not all(isinstance(weight, int | float) and weight >= 0 for weight in fusion):
        problems.append(f"its fusion is {fusion!r}, which are no weights of streams")
    elif len(fusion) != len(about["streams"]):
        problems.append(f"its fusion has {len(fusion)} weights for {len(about['streams'])} streams")
    return "; ".join(problems) or None


def _mistyped(about: Mapping[str, Any]) -> str | None:
    """Say which of the plain values of a description are none that this version writes, or None."""
    counts = {key: about[key] for key in ("input_channels", "num_classes", "window", "num_persons")}
    wrong = [
        f"{key} is {_short(value)}"
        for key, value in counts.items()
        if not (type(value) is int and 1 <= value <= MOST) and (value is not None or key in ("input_channels", "num_classes"))
    ]
    if about["graph_strategy"] not in tuple(PARTITIONS):
        wrong.append(f"graph_strategy is {_short(about['graph_strategy'])}")
    if type(about["edge_importance_weighting"]) is not bool:
        wrong.append(f"edge_importance_weighting is {_short(about['edge_importance_weighting'])}")
    classes = about["label_map"]
    if not isinstance(classes, Mapping) or not all(type(i) is int for i in classes.values()):
        wrong.append("label_map names no class ids")
    elif not wrong:
        wrong += [str(found).replace("dataset.", "") for found in of_classes(dict(classes), about["num_classes"])]
    return "; ".join(wrong) or None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def unreadable(description: object) -> str | None:
    """Say why a description found in a file cannot be used, or None."""
    if not isinstance(description, Mapping) or not isinstance(description.get("format"), int):
        return "what it says about itself is not readable"
    if description["format"] > FORMAT:
        return f"it was written by a newer version (format {description['format']}, this one reads up to {FORMAT})"
    missing = sorted(_EXPECTED - description.keys())
    if missing:
        return f"what it says about itself lacks {', '.join(missing)}"
    if problem := _mistyped(description):
        return f"what it says about itself cannot be: {problem}"
    if problem := _unbuildable(completed(description)):
        return f"the network it describes cannot be built: {problem}"
    layout, problems = from_plain(description["layout"], "unnamed")
    if layout is None:
        return f"the layout it describes is broken: {'; '.join(problems)}"
    for name, (low, high) in CALIBRATION.items():
        value = description.get(name, high)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            return f"its {name} is {value!r}; allowed: {low:g} to {high:g}"
    try:
        found = of_preparation(preparation_of(description), layout, description["input_channels"])
        problems = [str(finding) for finding in found]
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


def temperature_of(description: Mapping[str, Any]) -> float:
    """What logits are divided by before they become probabilities; 1 where the training fitted none."""
    return float(description.get("temperature", 1.0))


def unknown_threshold_of(description: Mapping[str, Any]) -> float | None:
    """The model's own threshold for the unknown, None where the training fitted none."""
    threshold = description.get("unknown_threshold")
    return None if threshold is None else float(threshold)


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
    if found := of_classes(dataset.label_map, dataset.num_classes):
        raise SpecError([str(finding) for finding in found])


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
    prepared, theirs_all = preparation_of(description), completed(description)
    rows = [
        *(
            (f"model.{name}", getattr(model, name), getattr(default_model, name), theirs_all[key])
            for name, key in (
                ("model_type", "network"),
                *(
                    (same, same)
                    for same in ("graph_strategy", "input_channels", "edge_importance_weighting", "width", "padding")
                ),
            )
        ),
        ("model.stages", list(model.stages), list(default_model.stages), list(theirs_all["stages"])),
        *(
            (f"dataset.{name}", getattr(dataset, name), getattr(default_dataset, name), theirs_all[name])
            for name in ("num_classes", "label_map", "stream_fusion")
        ),
        ("dataset.streams", list(dataset.streams), list(default_dataset.streams), list(theirs_all["streams"])),
        *(
            (f"dataset.preparation.{name}", ours, getattr(default_dataset.preparation, name), getattr(prepared, name))
            for name, ours in dataclasses.asdict(dataset.preparation).items()
            if ours not in ("auto", channels.AUTO)  # what they stood for is what the model holds
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
