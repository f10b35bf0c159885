"""Tables of keypoints: one row per person and frame (wide), or per joint (long), of one recording or many.

Knows no other format, and neither how a file is cut into cells (csv_file) nor what columns are called (csv_columns).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn.formats import csv_columns
from stgcn.formats.base import Frame, Options, Recording, name_of
from stgcn.formats.clips import (
    MOST_FRAMES,
    MOST_JOINTS,
    MOST_PEOPLE,
    Unusable,
    files_under,
    from_ntu_name,
    layout_of,
    pixel_size,
    side_of,
    text,
)  # fmt: skip
from stgcn.formats.csv_columns import Columns
from stgcn.formats.csv_file import Table, number, numbers
from stgcn.graph import LAYOUTS

NAME = "csv"
SUFFIXES = (".csv", ".tsv")
MOST_VALUES = 2**27  # numbers of one recording


def units(root: Path) -> list[Path]:
    """Tables whose columns look like keypoints, or that are mostly numbers; tables of labels are not among them."""
    found = files_under(root, *SUFFIXES)
    return found if root.is_file() else [path for path in found if _looks_right(path)]


def _looks_right(path: Path) -> bool:
    try:
        with Table(path) as table:
            row = next(iter(table), (0, []))[1]
            try:
                csv_columns.understand(table.header, None)
            except Unusable:
                return len(row) >= 4 and sum(_isnumber(cell, table.comma) for cell in row) >= max(3, len(row) // 2)
            return True
    except (OSError, Unusable):
        return False


def _isnumber(cell: str, comma: bool) -> bool:
    try:
        return math.isfinite(number(cell, comma))
    except ValueError:
        return False


def read(unit: Path, root: Path, options: Options) -> Iterator[Recording]:
    """Give the recordings of a table: one, or as many as its column ``sample`` names, whose rows must lie together.

    Raises:
        SpecError: the column map of ``options`` has keys that do not exist.
    """
    try:
        joints = _joints(unit, options)
        with Table(unit) as table:
            columns = csv_columns.understand(table.header, options.columns)
            yield from _recordings(table, columns, joints, unit, root, options)
    except OSError as error:
        options.bad(str(unit), f"it cannot be read: {error.strerror or error}")
    except Unusable as error:
        options.bad(str(unit), str(error))


def _joints(unit: Path, options: Options) -> list[str]:
    """The names of the joints in their order; of a long table all its rows must be looked through."""
    with Table(unit) as table:
        columns = csv_columns.understand(table.header, options.columns)
        if columns.wide:
            return _ordered(list(columns.wide), options)
        column = columns.where["joint"]
        names: dict[str, None] = {}
        for _, row in table:
            if column < len(row):
                names[row[column].strip()] = None
            if len(names) > MOST_JOINTS:
                raise Unusable(f"its column {table.header[column]!r} names more than {MOST_JOINTS} joints")
        return _ordered(list(names), options)


def _plain(name: str) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    words = re.sub(r"[^a-z0-9]+", "_", words).strip("_")
    swapped = re.sub(r"^(l|r)_", lambda side: {"l": "left_", "r": "right_"}[side[1]], words)
    return re.sub(r"^(.+)_(left|right)$", r"\2_\1", swapped)


def _ordered(names: list[str], options: Options) -> list[str]:
    """Joints by number when they are numbered, in the order of a layout that has just these names, else as they come."""
    if all(name.isdecimal() and len(name) < 6 for name in names):
        return sorted(names, key=int)
    by_name = {_plain(name): name for name in names}
    layout = LAYOUTS.get(_layout(names, options))
    if layout and set(layout.joints) <= set(by_name):
        return [by_name[joint] for joint in layout.joints]
    return names


def _layout(names: Sequence[str], options: Options) -> str:
    """The layout the user names, the one with just these joints, else ``custom``; numbered joints go by their number."""
    if options.layout:
        return options.layout
    plain = {_plain(name) for name in names}
    return next((layout.name for layout in LAYOUTS.values() if set(layout.joints) == plain), "custom")


class _Clip:
    """The rows of one recording as they come."""

    def __init__(self, sample: str | None, joints: Sequence[str], columns: Columns) -> None:
        self.sample = sample
        self.refused = False
        self.shape = (len(joints), len(columns.axes))
        self.scored = "score" in columns.axes
        self.poses: dict[tuple[float, str | None], np.ndarray] = {}  # (frame, person) -> (V, C)
        self.texts: dict[str, dict[str, None]] = {"subject": {}, "split": {}}
        self.labels: dict[tuple[float, str | None], str] = {}  # (frame, person) -> label
        self.set: set[tuple[float, str | None, int]] = set()

    def pose(self, frame: float, person: str | None) -> np.ndarray:
        pose = self.poses.get((frame, person))
        if pose is None:
            if (len(self.poses) + 1) * self.shape[0] * self.shape[1] > MOST_VALUES:
                raise Unusable("one recording of it is too long; cut it, or name the column of recordings (sample)")
            pose = self.poses[frame, person] = np.full(self.shape, np.nan)
        return pose


def _recordings(
    table: Table, columns: Columns, joints: Sequence[str], unit: Path, root: Path, options: Options
) -> Iterator[Recording]:
    """Group the rows into recordings, and give each one when its last row was read."""
    place = {joint: i for i, joint in enumerate(joints)}
    wide = [column for joint in joints for column in columns.wide[joint]] if columns.wide else None
    clip: _Clip | None = None
    seen: set[str | None] = set()
    for line, row in table:
        try:
            if len(row) != len(table.header):
                raise Unusable(f"it has {len(row)} cells; the header has {len(table.header)}")
            sample = _cell(row, columns, "sample")
            if clip is None or sample != clip.sample:
                if clip is not None:
                    yield from _finished(clip, columns, joints, unit, root, options)
                clip = _Clip(sample, joints, columns)
                if sample in seen:
                    clip.refused = True
                    raise Unusable(f"rows of {sample!r} do not lie together; sort the table by that column")
                seen.add(sample)
            if clip.refused:
                continue
            _add(clip, row, columns, table.comma, wide, place)
        except Unusable as error:
            options.bad(f"{unit}: line {line}", str(error))
    if clip is not None:
        yield from _finished(clip, columns, joints, unit, root, options)
    else:
        raise Unusable("it has no rows")


def _cell(row: Sequence[str], columns: Columns, key: str) -> str | None:
    return text(row[columns.where[key]]) if key in columns.where else None


def _add(
    clip: _Clip, row: Sequence[str], columns: Columns, comma: bool, wide: Sequence[int] | None, place: dict[str, int]
) -> None:
    person = _cell(row, columns, "person")
    moment = _moment(row, columns, comma, clip)
    try:
        if wide is not None:
            key = (moment, person, -1)
            values = numbers(row, wide, comma).reshape(clip.shape)
        else:
            joint = place[row[columns.where["joint"]].strip()]
            key = (moment, person, joint)
            values = numbers(row, columns.long, comma)
    except ValueError as error:
        raise Unusable(f"a coordinate is no number ({str(error)[-60:]})") from None
    if key in clip.set:
        raise Unusable(f"frame {moment:g} has this {'person' if wide is not None else 'joint'} twice" + _hint(columns))
    if np.isinf(values).any() or np.abs(np.nan_to_num(values)).max() > 1e30:
        raise Unusable("a coordinate is infinite, or too large")
    clip.pose(moment, person)[slice(None) if wide is not None else key[2]] = values
    clip.set.add(key)
    for name, texts in clip.texts.items():
        value = _cell(row, columns, name)
        if value is not None and len(texts) < 2:
            texts[value] = None
    label = _cell(row, columns, "label")
    if label is not None:
        clip.labels[moment, person] = label


def _hint(columns: Columns) -> str:
    return "" if "person" in columns.where else "; name the column that tells people apart (person) or recordings (sample)"


def _moment(row: Sequence[str], columns: Columns, comma: bool, clip: _Clip) -> float:
    """Frame number, else time, else the number of the row in its recording."""
    key = next((key for key in ("frame", "time") if key in columns.where), None)
    if key is None:
        return float(len(clip.poses)) if columns.wide else 0.0
    try:
        moment = number(row[columns.where[key]], comma)
    except ValueError:
        moment = math.nan
    if not math.isfinite(moment) or (key == "frame" and (moment != int(moment) or abs(moment) > 2**40)):
        raise Unusable(f"its {key} is {row[columns.where[key]][:40]!r}; expected a number")
    return moment


def _finished(
    clip: _Clip, columns: Columns, joints: Sequence[str], unit: Path, root: Path, options: Options
) -> Iterator[Recording]:
    """Turn what was collected into a recording, or several where labels change; says what is wrong when it is none."""
    name = name_of(unit, root) + (f"/{clip.sample}" if clip.sample is not None else "")
    try:
        if clip.poses:
            for part, people in _by_label(clip, name):
                yield from _recordings_of(clip, people, columns, joints, part, name, options)
    except Unusable as error:
        options.bad(f"{unit}" + (f": {clip.sample}" if clip.sample is not None else ""), str(error))


def _by_label(clip: _Clip, name: str) -> list[tuple[str, set[str | None]]]:
    """Names and people of the recordings of a clip: one, or one per person where people do different things at a time."""
    people = {person for _, person in clip.poses}
    at: dict[float, str] = {}
    if all(at.setdefault(moment, label) == label for (moment, _), label in clip.labels.items()):
        return [(name, people)]
    return [(f"{name}/{person}", {person}) for person in sorted(people, key=str)]


def _recordings_of(
    clip: _Clip, who: set[str | None], columns: Columns, joints: Sequence[str], part: str, name: str, options: Options
) -> Iterator[Recording]:
    """The recordings of some people of a clip: one per run of frames with the same label."""
    position, length, facts = _timeline(sorted({moment for moment, person in clip.poses if person in who}), columns)
    frames = _frames(clip, who, position, "person" in columns.where)
    named = from_ntu_name(name)
    subjects, splits = list(clip.texts["subject"]), list(clip.texts["split"])
    layout = _layout(joints, options)
    dimensions = len(columns.axes) - ("score" in columns.axes)
    if layout == "custom" and all(joint.isdecimal() for joint in joints):
        layout = layout_of(len(joints), dimensions, options)
    runs = _runs(clip, who, position)
    facts |= {"joints": list(joints), **named.get("facts", {})} | ({"recording": name} if part != name or len(runs) > 1 else {})
    flat = np.concatenate([frame.people[..., :2].reshape(-1) for frame in frames])
    common = {
        "subject": subjects[0] if len(subjects) == 1 else None if subjects else named.get("subject"),
        "split": side_of(splits[0]) if len(splits) == 1 else None,
        "fps": facts.pop("fps", None),
        "size": pixel_size(flat[:, None], options) if dimensions == 2 else None,
        "facts": facts,
    }
    if len(runs) <= 1:
        label = runs[0][2] if runs else named.get("label")
        yield Recording(part, layout, columns.axes, frames, length, label=label, **common)
        return
    for start, end, label in runs:
        inside = [dataclasses.replace(frame, index=frame.index - start) for frame in frames if start <= frame.index <= end]
        if inside:
            name_here = f"{part}_f{start:06d}-{end:06d}"
            yield Recording(name_here, layout, columns.axes, inside, end - start + 1, label=label, **common)


def _frames(clip: _Clip, who: set[str | None], position: dict[float, int], tracked: bool) -> list[Frame]:
    people: dict[int, list[tuple[str | None, np.ndarray]]] = {}
    for (moment, person), pose in clip.poses.items():
        if person in who and (clean := _clean(pose, clip.scored)).any():
            people.setdefault(position[moment], []).append((person if tracked else "0", clean))
    if not people:
        raise Unusable("nobody is in it: every joint of every frame is missing")
    if max(map(len, people.values())) > MOST_PEOPLE:
        raise Unusable(f"it has a frame of more than {MOST_PEOPLE} people")
    return [
        Frame(index, np.stack([pose for _, pose in found]), tuple(person for person, _ in found))
        for index, found in sorted(people.items())
    ]


def _runs(clip: _Clip, who: set[str | None], position: dict[float, int]) -> list[tuple[int, int, str]]:
    """Runs of frames with the same label: first and last frame, label."""
    labels = {position[moment]: label for (moment, person), label in clip.labels.items() if person in who}
    runs: list[tuple[int, int, str]] = []
    for index, label in sorted(labels.items()):
        if runs and runs[-1][2] == label:
            runs[-1] = (runs[-1][0], index, label)
        else:
            runs.append((index, index, label))
    return runs


def _clean(pose: np.ndarray, scored: bool) -> np.ndarray:
    """(V, C) with joints that are missing as zeros."""
    missing = ~np.isfinite(pose).all(axis=1)
    if scored:
        missing |= pose[:, -1] == 0
    return np.where(missing[:, None], 0, pose).astype(np.float32)


def _timeline(moments: Sequence[float], columns: Columns) -> tuple[dict[float, int], int, dict[str, Any]]:
    """Index of every frame number or time, the length, and what is known of the rate."""
    if "frame" not in columns.where:
        gaps = np.diff(moments)
        step = float(np.median(gaps)) if len(gaps) and "time" in columns.where else 0.0
        facts = {"fps": 1 / step} if 1e-3 <= step <= 10 else {}
        return {moment: i for i, moment in enumerate(moments)}, len(moments), facts
    steps = [int(b - a) for a, b in itertools.pairwise(moments)]
    step = math.gcd(*steps) if len(steps) > 1 else 1
    length = int(moments[-1] - moments[0]) // step + 1
    if length > MOST_FRAMES:
        raise Unusable(f"its frames go from {moments[0]:g} to {moments[-1]:g}, more than {MOST_FRAMES}")
    index = {moment: int(moment - moments[0]) // step for moment in moments}
    return index, length, {"frame_step": step} if step > 1 else {}
