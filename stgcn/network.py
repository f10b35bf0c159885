"""From a description to a network, and from weights to what can be told of the network they belong to. Reads no files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stgcn.ctrgcn import CTRGCN
from stgcn.description import completed, layout_of, preparation_of
from stgcn.fusion import Fused
from stgcn.graph import adjacency, parents, rooted
from stgcn.model import STGCN
from stgcn.sepgcn import SepGCN
from stgcn.stgcnpp import STGCNpp
from stgcn.streams import Inputs

Plain = STGCN | STGCNpp | CTRGCN | SepGCN
PREFIX = "networks."  # of the weights of a fused network, before the name of the stream
# Tensors by which the weights of each kind are known.
MARKS = {
    "ST-GCN": ("st_gcn_networks.0.gcn.conv.weight", "st_gcn_networks.0.tcn.0.weight", "fcn.weight", "data_bn.weight"),
    "ST-GCN++": ("gcn.0.gcn.A", "gcn.0.gcn.conv.weight", "gcn.0.tcn.branches.0.0.weight", "fc_cls.weight", "data_bn.weight"),
    "CTR-GCN": ("l1.gcn1.PA", "l1.gcn1.convs.0.conv3.weight", "l1.tcn1.branches.0.0.weight", "fc.weight", "data_bn.weight"),
    "Sep-GCN": ("blocks.0.gcn.A", "blocks.0.gcn.conv.weight", "blocks.0.tcn.3.weight", "fc.weight", "data_bn.weight"),
}
# The convolution that takes the channels of a joint.
FIRST = {
    "ST-GCN": "st_gcn_networks.0.gcn.conv.weight",
    "ST-GCN++": "gcn.0.gcn.conv.weight",
    "CTR-GCN": "l1.gcn1.convs.0.conv3.weight",
    "Sep-GCN": "blocks.0.gcn.conv.weight",
}
# The norm in every block whose size is the channels of the block.
NORMS = {
    "ST-GCN": r"st_gcn_networks\.(\d+)\.tcn\.0\.weight",
    "ST-GCN++": r"gcn\.(\d+)\.gcn\.bn\.weight",
    "CTR-GCN": r"l(\d+)\.gcn1\.bn\.weight",
    "Sep-GCN": r"blocks\.(\d+)\.gcn\.bn\.weight",
}


class Sizes(NamedTuple):
    """What weights tell of their network; of a fused one, of each of its networks. 0 partitions: they do not tell."""

    network: str
    channels: int
    joints: int
    classes: int
    partitions: int
    width: int
    stages: tuple[int, ...]
    edge_importance: bool
    slots: int


def build(description: Mapping[str, Any]) -> nn.Module:
    """An untrained network as ``description`` (see ``stgcn.description``) has it; nothing else is needed."""
    about = completed(description)
    streams = about["streams"]
    if len(streams) > 1 and about["stream_fusion"] == "score":
        return Fused({stream: _plain(about, [stream]) for stream in streams})
    return _plain(about, streams)


def networks_of(network: nn.Module) -> dict[str, nn.Module]:
    """The networks within ``network`` by stream; of one that is not fused, itself under the streams it sees, joined by +."""
    if isinstance(network, Fused):
        return dict(network.networks.items())
    inputs = getattr(network, "inputs", None)
    return {"+".join(inputs.streams) if isinstance(inputs, Inputs) else "joint": network}


def kind_of(weights: Mapping[str, object]) -> str | None:
    """Which network weights belong to, by their names; those of the first stream where it is a fused one."""
    names = single(weights)
    return next((kind for kind, marks in MARKS.items() if all(isinstance(names.get(m), Tensor) for m in marks)), None)


def streams_of(weights: Mapping[str, object]) -> list[str]:
    """Streams of a fused network, none of another."""
    found = (re.match(rf"{re.escape(PREFIX)}(\w+)\.", name) for name in weights)
    return list(dict.fromkeys(match[1] for match in found if match))


def for_streams(target: nn.Module, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Weights of another network under the names that ``target`` has for its streams.

    Those of one stream start every stream of a fused network; of a fused one, those of the same stream are taken, if it has
    them, else those of its first.
    """
    theirs, ours = streams_of(weights), list(networks_of(target))
    if not isinstance(target, Fused):
        return single(weights, ours[0] if ours[0] in theirs else None)
    if theirs:
        return weights
    return {f"{PREFIX}{stream}.{name}": value for stream in ours for name, value in weights.items()}


def single(weights: Mapping[str, Any], stream: str | None = None) -> Mapping[str, Any]:
    """The weights of one stream of a fused network, by default the first; those of another network as they are."""
    streams = streams_of(weights)
    if not streams:
        return weights
    prefix = f"{PREFIX}{stream or streams[0]}."
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def sizes(weights: Mapping[str, Tensor]) -> Sizes:
    """Read the sizes of a network off weights of a known kind."""
    kind = kind_of(weights)
    assert kind is not None
    weights = single(weights)
    widths = {int(match[1]): len(weights[name]) for name in weights if (match := re.fullmatch(NORMS[kind], name))}
    blocks = [widths[i] for i in sorted(widths)]
    channels = weights[FIRST[kind]].shape[1]
    graph = {"ST-GCN++": "gcn.0.gcn.A", "CTR-GCN": "l1.gcn1.PA", "Sep-GCN": "blocks.0.gcn.A"}.get(kind)
    partitions = 0 if kind == "Sep-GCN" else len(weights[graph]) if graph else len(weights[FIRST[kind]]) // blocks[0]
    features = len(weights["data_bn.weight"]) // channels
    joints = weights[graph].shape[1] if graph else features
    return Sizes(
        kind,
        channels,
        joints,
        len(weights[MARKS[kind][-2]]),
        partitions,
        blocks[0],
        _stages(blocks),
        any(name.startswith("edge_importance.") for name in weights),
        max(1, features // joints),
    )


def _stages(blocks: Sequence[int]) -> tuple[int, ...]:
    """Blocks of each stage, from the channels of every block."""
    return tuple(blocks.count(channels) for channels in dict.fromkeys(blocks))


def _plain(about: Mapping[str, Any], streams: Sequence[str]) -> Plain:
    layout = layout_of(about)
    inputs = Inputs(
        streams,
        parents(layout),
        confidence=preparation_of(about).confidence_channel,
        masked=about["padding"] == "masked",
    )
    kind, strategy = about["network"], about["graph_strategy"]
    learned = kind != "ST-GCN" and strategy == "spatial"
    graph = torch.from_numpy(rooted(layout) if learned else adjacency(layout, strategy))
    sizes = (about["input_channels"] * len(streams), about["num_classes"])
    shape: dict[str, Any] = {"width": about["width"], "stages": about["stages"], "dropout": about["dropout"], "inputs": inputs}
    if kind == "ST-GCN++":
        return STGCNpp(graph, *sizes, **shape)
    if kind == "Sep-GCN":
        return SepGCN(graph, *sizes, **shape)
    if kind == "CTR-GCN":
        return CTRGCN(graph, *sizes, slots=about["person_slots"], **shape)
    return STGCN(graph, *sizes, edge_importance_weighting=about["edge_importance_weighting"], **shape)
