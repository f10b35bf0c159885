"""Checkpoint files, .pth or .tlt: read without running anything in them, compared with a spec, turned into a network.

Reads files of this trainer, un-keyed TAO (Lightning) files and state dicts of the original ST-GCN. Knows no trainer.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stgcn import config
from stgcn.description import KEY, PARTITIONS, check_classes, describe, differences, layout_of, unreadable
from stgcn.errors import CheckpointError
from stgcn.graph import LAYOUTS, adjacency, resolve
from stgcn.model import BLOCKS, STGCN

NAMED = 12  # tensors named in a message


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as read: the weights under the names of the original, and all else the file holds.

    ``description`` is what the file says about itself (see ``stgcn.description``), None for files of others.
    """

    path: Path
    weights: dict[str, Tensor]
    description: dict[str, Any] | None
    content: dict[str, Any]

    @property
    def epochs_completed(self) -> int:
        """Whole epochs trained; a file of TAO that was written within an epoch does not count that one."""
        if self.description:
            return int(self.description["epochs_completed"])
        progress = self.content.get("loops", {}).get("fit_loop", {}).get("epoch_progress", {}).get("current", {})
        return int(progress.get("processed", self.content.get("epoch", -1) + 1))

    @property
    def global_step(self) -> int:
        """Optimiser steps taken."""
        return int(self.content.get("global_step", 0))


def read(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: it is missing, broken, encrypted, holds more than plain data, or is no ST-GCN.
    """
    path = Path(path)
    content = _load(path)
    if content.get("state_dict_encrypted"):
        raise CheckpointError(
            f"{path} is encrypted with a key by TAO, whose cipher is not public; save it without encryption_key in TAO first"
        )
    state = content.get("state_dict", content)
    weights = {_original_name(name): value for name, value in state.items()} if isinstance(state, Mapping) else {}
    if not {"fcn.weight", "data_bn.weight", "st_gcn_networks.0.gcn.conv.weight"} <= weights.keys() or not all(
        isinstance(value, Tensor) for value in weights.values()
    ):
        raise CheckpointError(f"{path} is not an ST-GCN checkpoint: {_what_it_holds(state)}")
    description = content.get(KEY)
    if description is not None and (problem := unreadable(description)):
        raise CheckpointError(f"{path} cannot be used: {problem}")
    return Checkpoint(path, weights, description, content)


def network(checkpoint: Checkpoint, model: config.Model, dataset: config.Dataset) -> tuple[STGCN, dict[str, Any]]:
    """Build the network of a checkpoint, weights loaded, and its description.

    The checkpoint's own description counts; a setting of the spec that contradicts it counts as meant when it is not at its
    default. A file that does not describe itself is described by the spec, and has to fit it.

    Raises:
        CheckpointError: with all that does not fit.
        SpecError: the label map of the spec is needed and wrong.
    """
    if checkpoint.description:
        description = checkpoint.description
        problems = differences(description, model, dataset, ignore_defaults=True)
    else:
        check_classes(dataset)
        description = describe(model, dataset, window=None, num_persons=None)
        problems = misfits(checkpoint.weights, model, dataset)
    if problems:
        raise CheckpointError([f"{checkpoint.path} does not fit the spec: {problem}" for problem in problems])
    graph = checkpoint.weights.get("A")
    if graph is None:
        graph = torch.from_numpy(adjacency(layout_of(description), description["graph_strategy"]))
    built = STGCN(
        graph,
        description["input_channels"],
        description["num_classes"],
        dropout=model.dropout,
        edge_importance_weighting=description["edge_importance_weighting"],
    )
    _load_all(built, checkpoint)
    return built, description


def misfits(weights: Mapping[str, Tensor], model: config.Model, dataset: config.Dataset) -> list[str]:
    """List where the shapes and the graph of weights contradict a spec, in the words of the spec."""
    channels = weights["st_gcn_networks.0.gcn.conv.weight"].shape[1]
    partitions = weights["st_gcn_networks.0.gcn.conv.weight"].shape[0] // BLOCKS[0][1]
    joints = weights["data_bn.weight"].shape[0] // channels
    classes = weights["fcn.weight"].shape[0]
    weighted = any(name.startswith("edge_importance.") for name in weights)
    layout = resolve(model.graph_layout)
    problems = []
    if joints != layout.num_joints:
        names = " or ".join(name for name, other in LAYOUTS.items() if other.num_joints == joints) or "no known layout"
        problems.append(f"it holds {joints} joints ({names}), model.graph_layout is {layout.name} ({layout.num_joints} joints)")
    if channels != model.input_channels:
        problems.append(f"it takes {channels} channels, model.input_channels is {model.input_channels}")
    if classes != dataset.num_classes:
        problems.append(f"it tells {classes} classes apart, dataset.num_classes is {dataset.num_classes}")
    if partitions != PARTITIONS[model.graph_strategy]:
        strategy = next((name for name, count in PARTITIONS.items() if count == partitions), "unknown")
        problems.append(
            f"its graph has {partitions} partitions ({strategy}), model.graph_strategy is {model.graph_strategy} "
            f"({PARTITIONS[model.graph_strategy]})"
        )
    if weighted != model.edge_importance_weighting:
        problems.append(
            f"it was trained with{'' if weighted else 'out'} edge importance, model.edge_importance_weighting is "
            f"{model.edge_importance_weighting}"
        )
    return problems or _other_graph(weights, model)


def load_fitting(target: STGCN, weights: Mapping[str, Tensor]) -> tuple[int, list[str]]:
    """Load the weights that fit by name and shape, but not the graph, which is the spec's.

    Returns:
        How many tensors were loaded, and a line for each that was not.
    """
    own = target.state_dict()
    skipped = []
    fitting = {}
    for name, value in own.items():
        if name == "A":
            continue
        found = weights.get(name)
        if found is None:
            skipped.append(f"{name}: not in the file")
        elif found.shape != value.shape:
            skipped.append(f"{name}: {tuple(found.shape)} in the file, {tuple(value.shape)} here")
        else:
            fitting[name] = found
    skipped += [f"{name}: unknown here" for name in weights if name not in own]
    target.load_state_dict(fitting, strict=False)
    return len(fitting), skipped


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    if path.suffix == ".onnx":
        raise CheckpointError(f"{path} is an ONNX file; a checkpoint (.pth or .tlt) is needed here")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)  # such a file is refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a broken file raises while it is unpickled is not limited to a few types
        raise CheckpointError(f"{path} {_why_unreadable(error)}") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a checkpoint: it holds a {type(content).__name__}")
    return content


def _why_unreadable(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f": {found[1]}" if found else ""
        return f"is refused: it holds more than weights and plain data{what}; nothing of it was run"
    return f"cannot be read: it is truncated, damaged or not a checkpoint ({type(error).__name__})"


def _original_name(name: object) -> str:
    return re.sub(r"^(model\.|module\.)+", "", str(name))


def _what_it_holds(state: object) -> str:
    if not isinstance(state, Mapping) or not state:
        return f"it holds no weights but {type(state).__name__}"
    names = [str(name) for name in state]
    return (
        f"expected fcn.weight, data_bn.weight, st_gcn_networks.*; it holds {', '.join(names[:4])}, ... ({len(names)} entries)"
    )


def _other_graph(weights: Mapping[str, Tensor], model: config.Model) -> list[str]:
    """Compare the graph a file carries with the spec's, where their sizes agree."""
    found = weights.get("A")
    own = resolve(model.graph_layout)
    if found is None or torch.allclose(found, torch.from_numpy(adjacency(own, model.graph_strategy)), atol=1e-6):
        return []
    same = [
        name
        for name, layout in LAYOUTS.items()
        if layout.num_joints == found.shape[-1]
        and torch.allclose(found, torch.from_numpy(adjacency(layout, model.graph_strategy)), atol=1e-6)
    ]
    return [f"its graph is {' or '.join(same) or 'of no known layout'}, model.graph_layout is {own.name}"]


def _load_all(target: STGCN, checkpoint: Checkpoint) -> None:
    loaded, skipped = load_fitting(target, checkpoint.weights)
    if skipped:
        more = f", ... ({len(skipped)} in all)" if len(skipped) > NAMED else ""
        raise CheckpointError(
            f"{checkpoint.path} is not of this network, {loaded} tensors fit: {'; '.join(skipped[:NAMED])}{more}"
        )
