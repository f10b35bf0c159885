"""Going on from a pretrained model whose classes or joints are others: what of it is taken, what learns first, and how fast.

Knows networks by the names and shapes of their tensors only, and models by their descriptions; knows no files.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from stgcn import config
from stgcn.consistency.training import NEUTRAL
from stgcn.description import class_names, layout_of
from stgcn.graph import Layout, canonical

KEY = "fine_tuned"  # of a description: the path of the pretrained model, and the tensors it brought whole
BLOCK = re.compile(r"(?:^|\.)(?:st_gcn_networks\.|edge_importance\.|gcn\.|blocks\.|l)(\d+)(?:\.|$)")
HEAD = re.compile(r"(?:^|\.)(?:fcn|fc|fc_cls|head|classifier)\.(?:weight|bias)$")
INPUT_NORM = re.compile(r"(?:^|\.)data_bn\.")
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
PLACEHOLDER = re.compile(r"class_\d+")  # names of classes that nobody named


@dataclass(frozen=True)
class Taken:
    """What of a pretrained model fits: names of the tensors that came whole, and a line for each that came in part or not."""

    tensors: dict[str, Tensor]
    whole: list[str] = field(default_factory=list)
    partly: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Tuning:
    """How a training treats the tensors ``brought`` by a pretrained model, all others being new."""

    brought: frozenset[str]
    freeze_epochs: int
    layer_decay: float

    def groups(self, network: nn.Module, optim: config.Optim) -> list[dict[str, Any]]:
        """Parameter groups, those of the highest learning rate first.

        What was brought learns at ``lr`` times ``layer_decay`` once for each block from the last layer down.
        """
        if self.layer_decay == 1:
            return [{"params": list(network.parameters())}]
        named = dict(network.named_parameters())
        depth = depths(list(named))
        top = max(depth.values())
        members: dict[int, list[nn.Parameter]] = defaultdict(list)
        for name, parameter in named.items():
            members[top - depth[name] if name in self.brought else 0].append(parameter)
        return [{"params": members[steps], "lr": optim.lr * self.layer_decay**steps} for steps in sorted(members)]

    def before_epoch(self, network: nn.Module, epoch: int) -> None:
        """Let only what is new learn in the first epochs, and everything from then on; frozen batch norms keep statistics."""
        if self.freeze_epochs == 0:
            return
        frozen = self.brought if epoch < self.freeze_epochs else frozenset()
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name not in frozen)
        for prefix, module in network.named_modules():
            if isinstance(module, _BatchNorm):
                own = {f"{prefix}.{name}" for name, _ in module.named_parameters()}
                module.train(not own or not own <= frozen)


def take(network: nn.Module, weights: Mapping[str, Tensor], theirs: Mapping[str, Any] | None, ours: Mapping[str, Any]) -> Taken:
    """Find what fits ``network``, described by ``ours``, among the ``weights`` of a model described by ``theirs``.

    A tensor is taken by name and shape. Where both models say which classes they tell apart, rows of the last layer are taken
    by the name of the class; where both say which joints they see, what belongs to a joint is taken by the joint's name. What
    is new keeps its fresh value. The graph is the spec's and is never taken; nothing is loaded here.
    """
    taken = Taken({})
    classes = _Classes.of(theirs, ours)
    joints = _Joints.of(theirs, ours)
    graphs = {name for name, _ in network.named_buffers() if name.rpartition(".")[2] not in STATISTICS}
    own = network.state_dict()
    for name, fresh in own.items():
        found = weights.get(name)
        if name in graphs:
            continue
        if found is None:
            taken.skipped.append(f"{name}: not in the file")
            continue
        ways = [way.merged(name, found, fresh) for way in (classes, joints) if way is not None and way.concerns(name, found)]
        merged, said = ways[0] if ways else (found if found.shape == fresh.shape else None, "")
        if merged is None:
            shapes = f"{tuple(found.shape)} in the file, {tuple(fresh.shape)} here"
            taken.skipped.append(f"{name}: {said or shapes}")
            continue
        taken.tensors[name] = merged
        if said:
            taken.partly.append(f"{name}: {said}")
        else:
            taken.whole.append(name)
    taken.skipped.extend(f"{name}: unknown here" for name in weights if name not in own)
    return taken


@dataclass(frozen=True)
class _Classes:
    """Rows of the last layer: (theirs, ours) of the classes that both know by the same name."""

    rows: list[tuple[int, int]]
    names: list[str]
    ours: int

    @classmethod
    def of(cls, theirs: Mapping[str, Any] | None, ours: Mapping[str, Any]) -> _Classes | None:
        """None where the classes are the same, or nobody knows theirs."""
        if not theirs or dict(theirs["label_map"]) == dict(ours["label_map"]):
            return None
        known = {name: i for i, name in enumerate(class_names(theirs)) if not PLACEHOLDER.fullmatch(name)}
        shared = [(known[name], i, name) for i, name in enumerate(class_names(ours)) if name in known]
        return cls([(a, b) for a, b, _ in shared], [name for *_, name in shared], len(ours["label_map"]))

    def concerns(self, name: str, _found: Tensor) -> bool:
        return bool(HEAD.search(name))

    def merged(self, name: str, found: Tensor, fresh: Tensor) -> tuple[Tensor | None, str]:
        if found.shape[1:] != fresh.shape[1:]:
            return None, ""
        if not self.rows:
            return None, "it tells other classes apart"
        result = fresh.clone()
        for theirs, ours in self.rows:
            result[ours] = found[theirs]
        if len(self.rows) == self.ours:
            return result, ""
        return result, f"rows of {len(self.rows)} of {self.ours} classes ({_some(self.names)})"


@dataclass(frozen=True)
class _Joints:
    """Tensors with one or two axes of joints: (theirs, ours) of the joints that both know by the same name."""

    pairs: list[tuple[int, int]]
    joints: tuple[int, int]
    slots: tuple[int, int]

    @classmethod
    def of(cls, theirs: Mapping[str, Any] | None, ours: Mapping[str, Any]) -> _Joints | None:
        """None where the joints are the same, or nobody knows theirs."""
        if not theirs:
            return None
        old, new = layout_of(theirs), layout_of(ours)
        if old.joints == new.joints:
            return None
        known, wanted = _by_name(old), _by_name(new)
        pairs = [(known[name], i) for name, i in wanted.items() if name in known]
        slots = [int(about.get("person_slots") or 1) if about.get("network") == "CTR-GCN" else 1 for about in (theirs, ours)]
        return cls(pairs, (old.num_joints, new.num_joints), (slots[0], slots[1]))

    def concerns(self, name: str, found: Tensor) -> bool:
        return self._is_norm(name, found) or (found.dim() in (2, 3) and found.shape[-2:] == (self.joints[0], self.joints[0]))

    def _is_norm(self, name: str, found: Tensor) -> bool:
        return bool(INPUT_NORM.search(name)) and found.dim() == 1

    def merged(self, name: str, found: Tensor, fresh: Tensor) -> tuple[Tensor | None, str]:
        norm = self._is_norm(name, found)
        old, new = (self._by_joint(found, 0), self._by_joint(fresh, 1)) if norm else (found, fresh)
        if old is None or new is None or old.dim() != new.dim():
            return None, ""
        rest = (old.shape[::2], new.shape[::2]) if norm else (old.shape[:-2], new.shape[:-2])
        if rest[0] != rest[1]:
            return None, ""
        if not self.pairs:
            return None, "its joints have other names"
        a, b = (torch.tensor(side) for side in zip(*self.pairs, strict=True))
        result = new.clone()
        if norm:
            result[:, b] = old[:, a]
        else:
            result[..., b[:, None], b] = old[..., a[:, None], a]
        whole = len(self.pairs) == self.joints[1]
        return result.view(
            fresh.shape
        ), "" if whole else f"{len(self.pairs)} of {self.joints[1]} joints, those of the same name"

    def _by_joint(self, vector: Tensor, side: int) -> Tensor | None:
        """(slots * V * C) -> (slots, V, C)."""
        per = self.slots[side] * self.joints[side]
        return None if vector.numel() % per else vector.view(self.slots[side], self.joints[side], -1)


def _by_name(layout: Layout) -> dict[tuple[str, str], int]:
    """Joints by side and part, less those whose names say the same."""
    names = [canonical(joint) for joint in layout.joints]
    return {name: i for i, name in enumerate(names) if names.count(name) == 1}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def cannot_resume(description: Mapping[str, Any], train: config.Train) -> list[str]:
    """Why a fine-tuning that a checkpoint describes cannot go on with these settings."""
    if KEY not in description:
        return [f"{set_to}, but it began from no pretrained model" for set_to in _set(train)]
    spec = description.get("spec", {}).get("train", {})
    rows = [(key, spec.get(key, default), getattr(train, key)) for key, default in NEUTRAL.items()]
    return [f"train.{key} was {theirs:g} and is {ours:g}" for key, theirs, ours in rows if theirs != ours]


def _set(train: config.Train) -> list[str]:
    values = {key: getattr(train, key) for key in NEUTRAL}
    return [f"train.{key} is {value:g}" for key, value in values.items() if value != NEUTRAL[key]]


def tuning(description: Mapping[str, Any], train: config.Train) -> Tuning | None:
    """How the training that ``description`` is of treats what a pretrained model brought; None: like all else."""
    if KEY not in description or not _set(train):
        return None
    return Tuning(frozenset(description[KEY]["whole"]), train.freeze_epochs, train.layer_decay)


def depths(names: Sequence[str]) -> dict[str, int]:
    """How deep each parameter lies: 0 before the first block, 1 to B in the blocks, B + 1 in the last layer."""
    blocks = {name: int(match[1]) for name in names if (match := BLOCK.search(name))}
    rank = {number: place for place, number in enumerate(sorted(set(blocks.values())), start=1)}
    return {name: len(rank) + 1 if HEAD.search(name) else rank[blocks[name]] if name in blocks else 0 for name in names}
