"""The data card: what was imported, from where, how, and what to watch; as plain data and as Markdown. Writes no files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from stgcn import tracking
from stgcn.config import DatasetConvert
from stgcn.formats import table
from stgcn.importer.division import Divided
from stgcn.importer.gather import Gathered, Window
from stgcn.remap import Remapper

SETTINGS = (
    "labels", "label_file", "segments", "split", "split_seed", "persons", "max_persons", "on_error", "columns", "layout",
    "target_layout", "channels",
    "sequence_length_max", "sequence_length_min", "sequence_length", "sequence_overlap", "input_width", "input_height",
)  # fmt: skip
MOST_LISTED = 1000
MOST_SHOWN = 20
FEW = 10  # sequences of a class in train below which the card warns


def facts(
    gathered: Gathered,
    divided: Divided,
    settings: DatasetConvert,
    found: table.Found,
    shapes: Mapping[str, tuple[int, ...]],
) -> dict[str, Any]:
    """Everything the card says, JSON-able."""
    cutter = gathered.cutter
    joints = cutter.joints_seen + cutter.joints_missing
    return {
        "source": str(settings.data),
        "format": found.formats,
        "recognised": found.why,
        "layout": gathered.layout.name if gathered.layout else None,
        "joints": gathered.joints,
        "channels": list(gathered.channels),
        "input_channels": len(gathered.channels),
        "confidence_channel": next((i for i, name in enumerate(gathered.channels) if name in tracking.CONFIDENCE), -1),
        "remapped": {name: _remapped(remapper, count) for name, (remapper, count) in gathered.remapped.items()},
        "normalisation": _normalisation(gathered, settings, found),
        "labels_from": dict(gathered.label_sources),
        "divided": divided.how,
        "classes": list(divided.label_map),
        "sets": {name: _set(gathered, divided, name, shape) for name, shape in shapes.items()},
        "recordings": gathered.recordings,
        "frames": gathered.frames,
        "people": gathered.people,
        "people_told_apart_by_pose": gathered.linked,
        "missing_joint_share": cutter.joints_missing / joints if joints else 0.0,
        "left_out": {
            "count": len(gathered.left_out),
            "reasons": dict(Counter(entry["reason"] for entry in gathered.left_out).most_common(MOST_SHOWN)),
            "samples": gathered.left_out[:MOST_LISTED],
        },
        "bad_records": {"count": gathered.bad_count, "samples": gathered.bad},
        "notes": [*gathered.notes, *divided.notes, *_pixel_notes(gathered, settings), *_few(gathered, divided)],
        "settings": {name: getattr(settings, name) for name in SETTINGS},
    }


def _set(gathered: Gathered, divided: Divided, name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    windows = [gathered.windows[i] for i in divided.sets[name]]
    lengths = np.array([window.frames for window in windows])
    per_class = Counter(str(window.label) for window in windows)
    return {
        "sequences": shape[0],
        "shape": list(shape),
        "per_class": {label: per_class[label] for label in divided.label_map},
        "frames": {"min": int(lengths.min()), "median": float(np.median(lengths)), "max": int(lengths.max())},
        "subjects": _subjects(windows),
        "groups": len({window.group for window in windows}),
    }


def _remapped(remapper: Remapper, recordings: int) -> dict[str, Any]:
    return {"recordings": recordings, "says": remapper.says(), "joints": [row.as_plain() for row in remapper.rows]}


def _subjects(windows: list[Window]) -> list[str]:
    return sorted({window.subject for window in windows if window.subject})


def _normalisation(gathered: Gathered, settings: DatasetConvert, found: table.Found) -> str:
    if table.DEEPSTREAM in found.parts:
        pictures = "x / width - 0.5, y / height - 0.5 (input_width, input_height)"
        how = "(joint - pelvis) / focal_length" if settings.pose_type == "3dbp" else pictures
        return f"{how}, as conversion of BodyPose has it for pose_type {settings.pose_type}"
    if not gathered.cutter.sizes:
        return "none: coordinates are as the source has them"
    sizes = ", ".join(f"{size} ({count} recordings)" for size, count in gathered.cutter.sizes.most_common(5))
    return f"x / width - 0.5, y / height - 0.5; where width x height is {sizes}"


def _pixel_notes(gathered: Gathered, settings: DatasetConvert) -> list[str]:
    cutter, notes = gathered.cutter, []
    if cutter.raw_pixels:
        notes.append(
            f"{cutter.raw_pixels} recordings are in pixels of a picture of unknown size and were left as they are; set "
            f"dataset_convert.input_width and input_height"
        )
    if cutter.sizes and cutter.unsized:
        notes.append(
            f"coordinates are of two kinds: {sum(cutter.sizes.values())} recordings are shares of the picture, "
            f"{cutter.unsized} are as the source has them"
        )
    if f"{settings.input_width} x {settings.input_height}" in cutter.sizes:
        x, y = cutter.reach
        size = f"{settings.input_width} x {settings.input_height} (dataset_convert.input_width, input_height)"
        if x > 1.1 * settings.input_width or y > 1.1 * settings.input_height:
            notes.append(f"coordinates reach {x:.0f}, {y:.0f}, beyond the picture of {size}; is this its size?")
        elif x < 0.6 * settings.input_width and y < 0.6 * settings.input_height:
            notes.append(f"coordinates reach only {x:.0f}, {y:.0f} in a picture of {size}; is this its size?")
    return notes


def _few(gathered: Gathered, divided: Divided) -> list[str]:
    counts = Counter(str(gathered.windows[i].label) for i in divided.sets.get("train", []))
    few = [f"{label} ({count})" for label, count in counts.items() if count < FEW]
    if not few:
        return []
    listed = ", ".join(few[:5]) + (", ..." if len(few) > 5 else "")
    return [f"{len(few)} classes have fewer than {FEW} training sequences: {listed}"]


def text(card: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    rows = {
        "Source": f"`{card['source']}`",
        "Format": card["recognised"],
        "Skeleton": f"{card['layout']}, {card['joints']} joints",
        "Channels": f"{', '.join(card['channels'])} (model.input_channels {card['input_channels']})",
        "Coordinates": card["normalisation"],
        "Labels from": ", ".join(f"{name} ({count})" for name, count in card["labels_from"].items()) or "none",
        "Sets": card["divided"],
        "Read": f"{card['recordings']} recordings, {card['frames']} frames, {card['people']} tracks (of one person each)",
        "Joints not seen": f"{100 * card['missing_joint_share']:.1f} %",
    }
    lines = ["# Data card", "", "| | |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in rows.items()), ""]
    lines += ["## Sequences", "", "| set | sequences | shape (N, C, T, V, M) | frames min / median / max | subjects |"]
    lines += ["|---|---|---|---|---|"]
    for name, own in card["sets"].items():
        frames = " / ".join(f"{own['frames'][key]:g}" for key in ("min", "median", "max"))
        subjects = ", ".join(own["subjects"][:MOST_SHOWN]) or "not known"
        lines.append(f"| {name} | {own['sequences']} | {tuple(own['shape'])} | {frames} | {_cell(subjects)} |")
    lines += ["", *_classes(card), *_brought(card), *_troubles(card)]
    return "\n".join(lines).rstrip() + "\n"


def _classes(card: Mapping[str, Any]) -> list[str]:
    if not card["classes"]:
        return []
    lines = ["## Classes", "", f"| id | class | {' | '.join(card['sets'])} |", f"|---|---|{'---|' * len(card['sets'])}"]
    counts: dict[str, list[int]] = defaultdict(list)
    for own in card["sets"].values():
        for label, count in own["per_class"].items():
            counts[label].append(count)
    lines += [f"| {i} | {_cell(label)} | {' | '.join(map(str, counts[label]))} |" for i, label in enumerate(card["classes"])]
    return [*lines, ""]


def _brought(card: Mapping[str, Any]) -> list[str]:
    """How the joints came about that the source has not by the same name."""
    lines: list[str] = []
    for name, own in card["remapped"].items():
        count = f"{own['recordings']} recording{'s' * (own['recordings'] != 1)}"
        others = [row for row in own["joints"] if row["how"] != "same"]
        lines += [f"## Joints from {_cell(name)} ({count})", ""]
        if others:
            lines += ["| joint | how | from |", "|---|---|---|"]
            lines += [f"| {_cell(row['joint'])} | {row['how']} | {_cell(row['says'])} |" for row in others]
            lines.append("")
        same = len(own["joints"]) - len(others)
        lines += [f"{'All the others' if others else 'All'} ({same}) are those of the same name.", ""] if same else []
    return lines


def _troubles(card: Mapping[str, Any]) -> list[str]:
    lines = []
    if card["notes"]:
        lines += ["## Watch", "", *(f"- {note}" for note in card["notes"]), ""]
    if card["left_out"]["count"]:
        lines += [f"## Left out: {card['left_out']['count']}", ""]
        lines += [f"- {count} times: {reason}" for reason, count in card["left_out"]["reasons"].items()]
        first = ", ".join(entry["name"] for entry in card["left_out"]["samples"][:MOST_SHOWN])
        lines += ["", f"First of them: {first}", ""]
    if card["bad_records"]["count"]:
        lines += [f"## Bad records: {card['bad_records']['count']}", ""]
        lines += [*(f"- {entry}" for entry in card["bad_records"]["samples"]), ""]
    return lines


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
