"""AlphaPose: alphapose-results.json in its default form (with tracks), as PoseFlow's, and in the cmu and open flavours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from stgcn import jsonlist
from stgcn.errors import DataError
from stgcn.formats import points, scan
from stgcn.formats.base import Options, Recording
from stgcn.formats.points import Gathered, Odd, Person

NAME = "alphapose"
# 133 and 136 joints begin with the body.
KNOWN = {17: ("coco", 17), 26: ("halpe_26", 26), 133: ("coco", 17), 136: ("halpe_26", 26)}
OPEN = {18: ("openpose", 18)}
RESULTS = "alphapose-results"
TRACKED = "alphapose-results-forvis-tracked"
CHANNELS = ("x", "y", "score")


def units(root: Path) -> list[Path]:
    """Result files, and folders of one file for each frame; of files that repeat each other the one with the tracks."""
    found = scan.units(root, NAME, ".json", scan.json_kind)
    have = set(found)

    def repeats(unit: Path) -> bool:
        if unit.name == "sep-json":
            return bool(have & {unit.parent / f"{RESULTS}.json", unit.parent / f"{TRACKED}.json"})
        return unit.name == f"{RESULTS}.json" and unit.parent / f"{TRACKED}.json" in have

    return [unit for unit in found if not repeats(unit)]


def read(unit: Path, root: Path, options: Options) -> Iterator[Recording]:
    """Give the recordings of a result file, one for each name that its images begin with before a number."""
    kind = scan.json_kind(unit) if unit.is_file() else None
    if kind is not None and kind.shape == "file":
        try:
            yield from _of_file(unit, root, options)
        except DataError as error:
            options.bad(str(unit), points.why(error, unit))
        return
    found = list(scan.frame_sequences(unit, NAME, ".json", scan.json_kind))
    for sequence in found:
        recording = _of_frames(sequence, scan.sequence_name(sequence, root, alone=len(found) == 1), options)
        if recording:
            yield recording


def _of_file(unit: Path, root: Path, options: Options) -> Iterator[Recording]:
    base = scan.file_name(unit, root, ends=(RESULTS, TRACKED))
    keys = [group for group, _, _ in _records(unit)]
    alone = len(set(keys)) == 1
    for group, records in points.grouped(keys, _people(unit, options)):
        gathered, layout = Gathered(), ""
        for where, number, people in records:
            gathered.frame(number)
            for person, found in people:
                try:
                    gathered.add(number, person)
                    layout = layout or found
                except Odd as error:
                    options.bad(where, str(error))
        name = base if alone or not group else f"{base}/{group}"
        recording = gathered.recording(name, layout, CHANNELS, size=options.size)
        if recording:
            yield recording


def _records(unit: Path) -> Iterator[tuple[str, int, tuple[Any, ...]]]:
    """Give (recording, frame, what is in it) of each record of a file."""
    for entry in jsonlist.entries(unit):
        if entry.kind == "list":
            continue
        image = entry.key
        if image is None:
            image = entry.value.get("image_id") if isinstance(entry.value, dict) else None
        path = PurePosixPath(str(image).replace("\\", "/"))
        prefix, number = points.numbered(path.stem)
        yield prefix if number is not None else "", number or 0, (entry.value, entry.kind == "value")


Found = tuple[str, int, list[tuple[Person, str]]]  # where, frame, people and their layouts


def _people(unit: Path, options: Options) -> Iterator[tuple[str, Found]]:
    """Give one item for each record: one person, or all of a frame in the cmu and open flavours."""
    for count, (group, number, (value, whole_frame)) in enumerate(_records(unit)):
        where = f"{unit}: record {count}"
        yield group, (where, number, list(_of_record(value, whole_frame, where, options)))


def _of_record(value: Any, whole_frame: bool, where: str, options: Options) -> Iterator[tuple[Person, str]]:
    try:
        people = _bodies(value) if whole_frame else [value]
    except Odd as error:
        options.bad(where, str(error))
        return
    for i, record in enumerate(people):
        try:
            yield _person(record, options)
        except Odd as error:
            options.bad(f"{where}: person {i}" if whole_frame else where, str(error))


def _bodies(frame: Any) -> list[Any]:
    bodies = frame.get("bodies", frame.get("people")) if isinstance(frame, dict) else None
    if not isinstance(bodies, list):
        raise Odd("it has no list of bodies or people")
    return bodies


def _person(record: Any, options: Options) -> tuple[Person, str]:
    if not isinstance(record, dict):
        raise Odd("it is not an object with keypoints")
    key = next((key for key in ("keypoints", "joints", "pose_keypoints_2d") if key in record), None)
    if key is None:
        raise Odd("it has no keypoints")
    values, scores = record[key], record.get("scores", record.get("kp_score"))
    if key == "keypoints" and isinstance(scores, list):  # PoseFlow keeps them apart
        flat = [s[0] if isinstance(s, list) and s else s for s in scores]
        places = points.joints(values, 2, key)
        if len(places) != len(flat):
            raise Odd(f"it has {len(places)} joints and {len(flat)} scores")
        pose = np.column_stack([places, points.numbers(flat, "scores")])
    else:
        pose = points.joints(values, 3, key)
    layout, take = points.layout_of(len(pose), KNOWN if key == "keypoints" else OPEN, options)
    track = points.track(record.get("idx", record.get("track_id")))
    return Person(points.unseen_at_origin(pose[:take]).astype(np.float32), track), layout


def _of_frames(sequence: scan.Sequence, name: str, options: Options) -> Recording | None:
    gathered, layout = Gathered(), ""
    for number, path in sequence.files:
        gathered.frame(number)
        try:
            bodies = [e.value for e in jsonlist.entries(path) if e.key in ("bodies", "people") and e.kind == "item"]
        except DataError as error:
            options.bad(str(path), points.why(error, path))
            continue
        for i, record in enumerate(bodies):
            try:
                person, found = _person(record, options)
                gathered.add(number, person)
                layout = layout or found
            except Odd as error:
                options.bad(f"{path}: person {i}", str(error))
    return gathered.recording(name, layout, CHANNELS, size=options.size)
