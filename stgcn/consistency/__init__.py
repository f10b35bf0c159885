"""What the settings of a training say about one another: what contradicts itself or cannot work, and what does nothing.

Types and bounds are checked elsewhere. The plan of a job asks here too, before anything runs: no tensors, no arrays, of files
no more than a layout and the heads of the data, and nothing imported that takes its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stgcn.consistency import data, heads, training
from stgcn.consistency.finding import Finding, viewed
from stgcn.consistency.model import layout_of, of_classes, of_network, of_preparation, of_size, of_streams

if TYPE_CHECKING:  # the settings of a plan are no dataclasses
    from stgcn import config

__all__ = ["Finding", "look", "of_classes", "of_network", "of_preparation", "of_size", "of_streams", "problems"]


def look(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Look at a whole spec of ``train`` as plain values, whose types and bounds are right.

    Returns:
        ``problems``, each with ``key``, ``says``, ``others`` (the settings it stands against) and ``ways`` (pairs of a setting
        and the value with which it would give way); ``idle``: the reason for each setting that a search would vary in vain;
        ``bounds``: the most that a search should try of a setting, with the reason; and ``notes``: what the training will say
        of the data.
    """
    settings = viewed(spec)
    found = problems(settings, absent=False)
    notes = [] if found else heads.notes(settings, layout_of(settings, absent=False)[0])
    return {
        "problems": [finding._asdict() for finding in found],
        "idle": training.idle(settings),
        "bounds": heads.bounds(settings),
        "notes": notes,
    }


def problems(settings: config.TrainSpec, *, absent: bool = True) -> list[Finding]:
    """Settings that contradict one another, or ask for what layout, channels or batches do not have; all of them.

    Without ``absent``, a layout's file that is not there is no problem: others say so, or it is still to be fetched.
    """
    model, dataset = settings.model, settings.dataset
    layout, unusable = layout_of(settings, absent=absent)
    return [
        *of_classes(dataset.label_map, dataset.num_classes),
        *unusable,
        *of_preparation(dataset.preparation, layout, model.input_channels),
        *of_network(model, dataset),
        *data.problems(settings, layout),
        *training.problems(settings),
    ]
