"""The way through an inspection, read downward: open, learn how to read it, measure, check, sum up."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgcn.errors import DataError
from stgcn.graph import LAYOUTS
from stgcn.inspect import anatomy, classes, leaks, source, values, view
from stgcn.inspect.anatomy import Skeleton
from stgcn.inspect.finding import LEVELS, Finding
from stgcn.inspect.measure import Measured, measure
from stgcn.inspect.source import Part, Source
from stgcn.inspect.view import View

PADDED = 0.35  # share of padding from which a window is advised


@dataclass
class Survey:
    """All that was found: for pictures and repairs the parts themselves, for people and programs ``report``."""

    source: Source
    parts: dict[str, Part]
    view: View
    down: bool  # y grows downward
    skeleton: Skeleton
    measured: dict[str, Measured]
    copies: list[list[leaks.Place]]
    classes: dict[int, str]
    findings: list[Finding]
    report: dict[str, Any]


def look(folder: str | Path, *, layout: str | None = None, subjects: str | Path | None = None) -> Survey:
    """Inspect a folder of ``<split>_data.npy`` and ``<split>_label.pkl``.

    Raises:
        DataError: there is no data set, or none of its arrays can be read, or the table of subjects cannot.
        SpecError: the layout cannot be read.
    """
    with np.errstate(all="ignore"):  # what overflows was no coordinate, and is named as far away
        return _look(folder, layout, subjects)


def _look(folder: str | Path, layout: str | None, subjects: str | Path | None) -> Survey:
    began = time.perf_counter()
    opened = source.read(folder)
    table = source.subjects(opened, subjects)
    parts = _alike(opened)
    if not parts:
        raise DataError([f"{finding.split}: {finding.text}" for finding in opened.findings if finding.level == "error"])
    sample = view.selection(parts.values())
    seen = view.learn(sample)
    findings = opened.findings
    skeleton = anatomy.find(opened.folder, layout, sample, seen, findings)
    measured = {split: measure(part, seen, skeleton.layout) for split, part in parts.items()}
    findings += anatomy.check_splits(parts, seen, skeleton)
    copies = leaks.groups({split: m.digest for split, m in measured.items()})
    findings += leaks.check(parts, copies)
    names = classes.names_of(opened.label_map, parts)
    found, people = classes.check_people(parts, table)
    findings += found
    findings += values.check(parts, measured, seen, skeleton.layout)
    findings += classes.check(parts, names, bool(opened.label_map))
    findings += classes.check_neighbours(parts, measured, names)
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    down = view.upright(sample, seen, skeleton.layout)
    survey = Survey(opened, parts, seen, down, skeleton, measured, copies, names, findings, {})
    survey.report = _report(survey, people)
    survey.report["seconds"] = round(time.perf_counter() - began, 2)
    return survey


def _alike(opened: Source) -> dict[str, Part]:
    """The parts of the first one's channels, joints and persons; the others are named."""
    parts: dict[str, Part] = {}
    for split, part in opened.parts.items():
        first = next(iter(parts.values()), part)
        form, expected = ([p.data.shape[axis] for axis in (1, 3, 4)] for p in (part, first))
        if form == expected:
            parts[split] = part
            continue
        text = f"{split} has C, V, M = {form}, {first.split} has {expected}: no network takes both; {split} is left aside"
        opened.findings.append(Finding("error", "form", text, split))
    return parts


def _report(survey: Survey, people: dict[str, Any]) -> dict[str, Any]:
    layout, skeleton = survey.skeleton.layout, survey.skeleton
    counts = {level: sum(finding.level == level for finding in survey.findings) for level in LEVELS}
    return {
        "schema_version": 1,
        "folder": str(survey.source.folder),
        "verdict": "not fit to train on" if counts["error"] else "worth a look" if counts["warning"] else "in order",
        "counts": counts,
        "sequences": sum(len(part.data) for part in survey.parts.values()),
        "splits": {split: _split(survey, split) for split in survey.parts},
        "classes": list(survey.classes.values()),
        "layout": {
            "name": layout.name if layout else None,
            "source": skeleton.source,
            "strain": None if skeleton.strain is None else round(skeleton.strain, 3),
            "candidates": skeleton.candidates,
            "joints": list(layout.joints) if layout else None,
        },
        "coordinates": {
            "channels": survey.view.dims,
            "score_channel": survey.view.score,
            "y": "down" if survey.down else "up",
            "origin": list(survey.view.origin),
        },
        "people": people,
        "findings": [finding.plain() for finding in survey.findings],
        "settings": _settings(survey),
    }


def _split(survey: Survey, split: str) -> dict[str, Any]:
    part, m = survey.parts[split], survey.measured[split]
    alive = m.length > 0
    lengths = m.length[alive] if alive.any() else np.zeros(1, int)
    counts = None if part.ids is None else {name: int((part.ids == i).sum()) for i, name in survey.classes.items()}
    there = int(m.there.sum()) * m.missing.shape[1]
    return {
        "file": part.path.name,
        "shape": list(part.data.shape),
        "dtype": str(part.data.dtype),
        "bytes": part.path.stat().st_size,
        "sequences": len(part.data),
        "per_class": counts,
        "frames": {"min": int(lengths.min()), "median": float(np.median(lengths)), "max": int(lengths.max())},
        "padding": round(1 - float(m.length.sum()) / (len(part.data) * part.data.shape[2]), 4),
        "persons": {"slots": int(part.data.shape[4]), "most_used": int(m.persons.max())},
        "missing_joints": round(int(m.missing.sum()) / there, 5) if there else 0.0,
        "missing_per_joint": (m.missing.sum(axis=0) / max(1, int(m.there.sum()))).round(4).tolist(),
        "empty_frames": int(m.empty_frames.sum()),
        "body_size": float(np.median(m.size[alive])) if alive.any() else 0.0,
        "center": [round(float(c), 4) for c in np.median(m.center[alive], axis=0)] if alive.any() else None,
        "values": {"low": m.low.tolist(), "high": m.high.tolist()},
    }


def _settings(survey: Survey) -> dict[str, Any]:
    """What to set in a training spec, beyond TAO's defaults, with the reason."""
    first = next(iter(survey.parts.values()))
    chosen: dict[str, Any] = {"model.input_channels": int(first.data.shape[1])}
    layout = survey.skeleton.layout
    if layout is not None:
        path = survey.source.folder / survey.skeleton.source
        custom = survey.skeleton.source.endswith(".json") and layout.name not in LAYOUTS
        chosen["model.graph_layout"] = anatomy.fits_better(survey.skeleton) or (str(path) if custom else layout.name)
    if survey.classes:
        chosen["dataset.num_classes"] = len(survey.classes)
    train = survey.measured.get("train")
    if train is not None and (train.length > 0).any():
        frames = first.data.shape[2]
        usual = int(np.percentile(train.length[train.length > 0], 75))
        if train.length.sum() < (1 - PADDED) * len(train.length) * frames:
            chosen |= {"dataset.random_choose": True, "dataset.window_size": usual}
    return chosen
