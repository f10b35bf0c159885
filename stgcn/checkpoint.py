"""Checkpoint files, .pth or .tlt: read without running anything in them, compared with a spec, turned into a network.

Reads files of this trainer, un-keyed TAO (Lightning) files, and state dicts of the authors of each network. Knows no trainer.
"""

from __future__ import annotations

import io
import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stgcn import config, crypto
from stgcn.description import KEY, PARTITIONS, check_classes, completed, describe, differences, unreadable
from stgcn.errors import CheckpointError
from stgcn.fusion import Fused
from stgcn.graph import LAYOUTS, adjacency, resolve
from stgcn.network import MARKS, build, kind_of, sizes, streams_of

NAMED = 12  # tensors named in a message
OWN = ("A", "fusion")  # buffers that are no weights: the graph of ST-GCN, and the say of each stream


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


def read(path: str | Path, key: str | None = None) -> Checkpoint:
    """Read a checkpoint; ``key`` is the passphrase of an encrypted one, and counts for nothing where it is not.

    Raises:
        CheckpointError: it is missing, broken, encrypted with another key or by TAO, holds more than plain data, or is of no
            network known here.
        ResourceError: it is encrypted, and the cryptography package is not installed.
    """
    path = Path(path)
    content = _load(path, key)
    if content.get("state_dict_encrypted"):
        raise CheckpointError(
            f"{path} was encrypted by TAO, whose cipher is not public, so no key opens it here: save it in TAO without "
            "encryption_key"
        )
    state = content.get("state_dict", content)
    weights = {_original_name(name): value for name, value in state.items()} if isinstance(state, Mapping) else {}
    if kind_of(weights) is None or not all(isinstance(value, Tensor) for value in weights.values()):
        raise CheckpointError(f"{path} is not a checkpoint of {_either(MARKS)}: {_what_it_holds(state)}")
    description = content.get(KEY)
    if description is not None and (problem := unreadable(description)):
        raise CheckpointError(f"{path} cannot be used: {problem}")
    return Checkpoint(path, weights, description, content)


def network(checkpoint: Checkpoint, model: config.Model, dataset: config.Dataset) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network of a checkpoint, weights loaded, and its description.

    The checkpoint's own description counts; a setting of the spec that contradicts it counts as meant when it is not at its
    default. A file that does not describe itself is described by the spec, and has to fit it. The description of a fused
    network holds the weights of its streams as ``fusion``.

    Raises:
        CheckpointError: with all that does not fit.
        SpecError: the label map of the spec is needed and wrong.
    """
    if checkpoint.description:
        description = checkpoint.description
        problems = differences(description, model, dataset, ignore_defaults=True)
    else:
        check_classes(dataset)
        slots = sizes(checkpoint.weights).slots
        description = describe(model, dataset, window=None, num_persons=slots if slots > 1 else None) | {"person_slots": slots}
        problems = misfits(checkpoint.weights, model, dataset)
    if problems:
        raise CheckpointError([f"{checkpoint.path} does not fit the spec: {problem}" for problem in problems])
    built = build(completed(description) | {"dropout": model.dropout})
    _load_all(built, checkpoint)
    if isinstance(built, Fused):
        description = {**description, "fusion": [float(weight) for weight in built.fusion]}
    return built, description


def misfits(weights: Mapping[str, Tensor], model: config.Model, dataset: config.Dataset) -> list[str]:
    """List where the shapes and the graph of weights contradict a spec, in the words of the spec."""
    if streams_of(weights):
        return ["it holds a network for each of several streams, and does not say of which data"]
    found = sizes(weights)
    if found.network != model.model_type:
        return [f"it is {found.network}, model.model_type is {model.model_type}"]
    layout = resolve(model.graph_layout)
    streams = len(dataset.streams)
    problems = []
    if found.joints != layout.num_joints:
        names = " or ".join(name for name, other in LAYOUTS.items() if other.num_joints == found.joints) or "no known layout"
        problems.append(
            f"it holds {found.joints} joints ({names}), model.graph_layout is {layout.name} ({layout.num_joints} joints)"
        )
    if found.channels != model.input_channels * streams:
        times = f" for each of {streams} streams" if streams > 1 else ""
        problems.append(f"it takes {found.channels} channels, model.input_channels is {model.input_channels}{times}")
    if found.classes != dataset.num_classes:
        problems.append(f"it tells {found.classes} classes apart, dataset.num_classes is {dataset.num_classes}")
    if found.partitions and found.partitions != PARTITIONS[model.graph_strategy]:
        strategy = next((name for name, count in PARTITIONS.items() if count == found.partitions), "unknown")
        problems.append(
            f"its graph has {found.partitions} partitions ({strategy}), model.graph_strategy is {model.graph_strategy} "
            f"({PARTITIONS[model.graph_strategy]})"
        )
    if found.network == "ST-GCN" and found.edge_importance != model.edge_importance_weighting:
        problems.append(
            f"it was trained with{'' if found.edge_importance else 'out'} edge importance, model.edge_importance_weighting is "
            f"{model.edge_importance_weighting}"
        )
    if (found.width, found.stages) != (model.width, tuple(model.stages)):
        problems.append(
            f"it has the width {found.width} and the stages {list(found.stages)}, model.width is {model.width} and "
            f"model.stages {list(model.stages)}"
        )
    if found.slots > 1 and model.padding == "masked":
        problems.append(f"it normalises {found.slots} persons each for itself, model.padding=masked leaves persons out")
    return problems or _other_graph(weights, model)


def _load(path: Path, key: str | None) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    if path.suffix == ".onnx":
        raise CheckpointError(f"{path} is an ONNX file; a checkpoint (.pth or .tlt) is needed here")
    source = io.BytesIO(crypto.unseal(path, key)) if crypto.is_sealed(path) else path
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)  # such a file is refused below
            content = torch.load(source, map_location="cpu", weights_only=True)
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
    """A name without what wrappers put before it: Lightning, data parallel training, and PYSKL's backbone and head."""
    bare = re.sub(r"^(model\.|module\.|backbone\.)+", "", str(name))
    return re.sub(r"^cls_head\.(fc_cls|fc)\.", "fc_cls.", bare)  # fc in MMAction2


def _what_it_holds(state: object) -> str:
    if not isinstance(state, Mapping) or not state:
        return f"it holds no weights but {type(state).__name__}"
    names = [str(name) for name in state]
    expected = "; ".join(f"{', '.join(marks)} ({kind})" for kind, marks in MARKS.items())
    return f"expected {expected}; it holds {', '.join(names[:4])}, ... ({len(names)} entries)"


def _either(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}"


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


def _load_all(target: nn.Module, checkpoint: Checkpoint) -> None:
    """Load every weight, and the buffers of ``OWN`` where the file has them."""
    own, found = target.state_dict(), checkpoint.weights
    buffers = {name for name, _ in target.named_buffers() if name.rpartition(".")[2] in OWN}
    wrong = [
        f"{name}: not in the file"
        if name not in found
        else f"{name}: {tuple(found[name].shape)} in the file, {tuple(value.shape)} here"
        for name, value in own.items()
        if (name in found or name not in buffers) and (name not in found or found[name].shape != value.shape)
    ]
    wrong += [f"{name}: unknown here" for name in found if name not in own]
    if wrong:
        fitting = sum(name in found and found[name].shape == value.shape for name, value in own.items())
        more = f", ... ({len(wrong)} in all)" if len(wrong) > NAMED else ""
        raise CheckpointError(
            f"{checkpoint.path} is not of this network, {fitting} tensors fit: {'; '.join(wrong[:NAMED])}{more}"
        )
    target.load_state_dict(found, strict=False)
