"""What settings of the classes, the network and the preparation say about one another. See ``stgcn.consistency``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from stgcn import channels, stages
from stgcn.consistency.finding import Finding
from stgcn.errors import SpecError

if TYPE_CHECKING:
    from stgcn import config
    from stgcn.graph import Layout

STREAMS = ("joint", "bone", "joint_motion", "bone_motion")
FILES = (".yaml", ".yml", ".json")  # of layouts
MOST_NAMED = 5


def of_classes(label_map: Mapping[str, int], num_classes: int) -> list[Finding]:
    """What is wrong with a label map: its ids must be 0 to num_classes - 1, each once."""
    key, found = "dataset.label_map", []
    if len(label_map) != num_classes:
        says = f"names {len(label_map)} classes, dataset.num_classes is {num_classes}; make them equal"
        found.append(Finding(key, says, ("dataset.num_classes",)))
    by_id: dict[int, list[str]] = {}
    for name, class_id in label_map.items():
        by_id.setdefault(class_id, []).append(name)
    found += [Finding(key, f"gives id {i} to {' and '.join(names)}") for i, names in by_id.items() if len(names) > 1]
    expected = range(len(label_map))
    strays = [f"{name}: {i}" for name, i in label_map.items() if i not in expected]
    missing = [str(i) for i in expected if i not in by_id]
    if strays or missing:
        says = (
            f"is not contiguous: expected each id from 0 to {len(label_map) - 1} once"
            + (f"; out of that range: {', '.join(strays[:MOST_NAMED])}" if strays else "")
            + (f"; missing: {', '.join(missing[:MOST_NAMED])}" if missing else "")
        )
        found.append(Finding(key, says))
    return found


def of_network(model: config.Model, dataset: config.Dataset) -> list[Finding]:
    """Settings that make no network together, or have no effect on this one."""
    found = [*of_size(model.model_type, model.width, model.stages), *of_streams(dataset.streams)]
    if model.model_type != "ST-GCN" and not model.edge_importance_weighting:
        key = "model.edge_importance_weighting"
        says = f"is false, which has no effect: {model.model_type} learns its graph; leave it at true"
        found.append(Finding(key, says, ("model.model_type",), ((key, True),)))
    if len(dataset.streams) == 1 and dataset.stream_fusion != "score":
        key = "dataset.stream_fusion"
        says = f"is {dataset.stream_fusion}, which has no effect on a single stream; name several in dataset.streams"
        found.append(Finding(key, says, ("dataset.streams",), ((key, "score"),)))
    return found


def of_size(network: str, width: object, blocks: object) -> list[Finding]:
    """What speaks against a network of this width, with so many ``blocks`` in each stage."""
    key, least, most = "model.width", stages.FEWEST[network], stages.MOST_CHANNELS
    found, kind = [], ("model.model_type",)
    if not isinstance(width, int) or isinstance(width, bool) or width < least:
        says = f"is {width!r}; model.model_type {network} needs at least {least}, one for each branch of a block"
        found.append(Finding(key, says, kind))
    elif network == "Sep-GCN" and width % stages.GROUPS:
        below = width // stages.GROUPS * stages.GROUPS
        says = (
            f"is {width}; model.model_type Sep-GCN needs a multiple of {stages.GROUPS}, such as {below} or "
            f"{below + stages.GROUPS}: so many groups share it"
        )
        found.append(Finding(key, says, kind))
    if (
        not isinstance(blocks, list | tuple)
        or not 1 <= len(blocks) <= stages.MOST_STAGES
        or not all(isinstance(count, int) and not isinstance(count, bool) and count >= 1 for count in blocks)
        or sum(blocks) > stages.MOST_BLOCKS
    ):
        says = (
            f"is {list(blocks) if isinstance(blocks, list | tuple) else blocks!r}; allowed: 1 to {stages.MOST_STAGES} stages "
            f"of at least 1 block each, {stages.MOST_BLOCKS} blocks in all"
        )
        found.append(Finding("model.stages", says))
    elif not found and isinstance(width, int) and (widest := width * 2 ** (len(blocks) - 1)) > most:
        says = f"is {width} and model.stages {list(blocks)}: {widest} channels in the last stage; allowed: {most}"
        found.append(Finding(key, says, ("model.stages",)))
    return found


def of_streams(streams: object) -> list[Finding]:
    """What is wrong with a list of streams."""
    key = "dataset.streams"
    if not isinstance(streams, list | tuple) or not streams:
        shown = "[]" if streams == () else repr(streams)
        return [Finding(key, f"is {shown}; allowed: one or more of {', '.join(STREAMS)}")]
    found = [
        Finding(key, f"names {name!r}, which is not one of {', '.join(STREAMS)}") for name in streams if name not in STREAMS
    ]
    twice = sorted({str(name) for name in streams if streams.count(name) > 1})
    return found + ([Finding(key, f"names {', '.join(twice)} more than once")] if twice else [])


def of_preparation(settings: config.Preparation, layout: Layout | None, count: int) -> list[Finding]:
    """What ``settings`` ask for that joints of ``count`` channels, or this layout, cannot give; None: it is not known."""
    key, size = "dataset.preparation", "model.input_channels"
    found = []
    score = f"{key}.confidence_channel"
    if settings.confidence_channel >= count:
        says = f"is {settings.confidence_channel}; {size} is {count}, so allowed are 0 to {count - 1}, or -1 for none"
        found.append(Finding(score, says, (size,), ((score, -1),)))
    if settings.min_confidence > 0 and settings.confidence_channel == -1:
        own = f"{key}.min_confidence"
        says = f"is {settings.min_confidence:g}, and needs {score}, the channel that holds the score, which is -1 (none)"
        found.append(Finding(own, says, (score,), ((own, 0.0),)))
    if settings.view == "frontal":
        view, ways = f"{key}.view", ((f"{key}.view", "none"),)
        places = len(channels.places(count, settings.confidence_channel))
        if places < channels.SPATIAL:
            says = f"is frontal, which needs three coordinates; there are {places}"
            others = (size, score) if settings.confidence_channel >= 0 else (size,)
            found.append(Finding(view, says, others, ways))
        if layout and not layout.sides():
            says = (
                f"is frontal, which needs the left and right hip or shoulder; the layout {layout.name} names none of them "
                "under roles, nor by its joints"
            )
            found.append(Finding(view, says, ("model.graph_layout",), ways))
    if settings.scale == "body" and layout and not layout.edges:
        own = f"{key}.scale"
        says = f"is body, which needs bones; the layout {layout.name} has none"
        found.append(Finding(own, says, ("model.graph_layout",), ((own, "spread"),)))
    return found


def layout_of(settings: config.TrainSpec, *, absent: bool) -> tuple[Layout | None, list[Finding]]:
    """The layout of a spec, or what is wrong with it; neither where no rule needs it, nor for a file that is not there.

    With ``absent`` the latter is wrong.
    """
    text, dataset = settings.model.graph_layout, settings.dataset
    mirrors = dataset.augmentation.enabled and dataset.augmentation.mirror > 0
    is_file = text.endswith(FILES)
    if not (is_file or mirrors or dataset.preparation.view == "frontal" or dataset.preparation.scale == "body"):
        return None, []
    from pathlib import Path

    from stgcn.graph import resolve  # late: it takes its time

    if is_file and not absent and not Path(text).expanduser().is_file():
        return None, []
    try:
        return resolve(text), []
    except SpecError as error:
        return None, [Finding("model.graph_layout", f"cannot be used: {said}") for said in error.problems]
