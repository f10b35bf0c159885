"""MediaPipe landmarks as CSV: a column for each coordinate (x0,y0,z0,v0 or nose_x), or a row for each landmark.

What the columns mean and how rows are read is the csv format's; here is what makes them MediaPipe's.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from stgcn.formats import csv_columns, csv_table
from stgcn.formats.base import Frame, Options, Recording
from stgcn.formats.clips import Unusable
from stgcn.formats.mediapipe_joints import HAND, POSE, parts
from stgcn.formats.points import MOST_NORMALISED
from stgcn.formats.scan import Kind

KIND = Kind("mediapipe", "file")
MOST_LINE = 2**20
MOST_ROWS = 2000  # of a table of one landmark a row that are looked at


def kind(path: Path) -> Kind | None:
    """Whether a table has MediaPipe's landmarks."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader([file.readline(MOST_LINE)]), [])
            columns = csv_columns.understand(header, None)
            names = list(columns.wide)
            if columns.long:
                joint = columns.where["joint"]
                rows = islice(csv.reader(file), MOST_ROWS)
                names = list(dict.fromkeys(row[joint].strip() for row in rows if joint < len(row)))
    except (OSError, ValueError, Unusable, csv.Error):
        return None
    return KIND if parts(names) else None


def read(unit: Path, root: Path, options: Options) -> Iterator[Recording]:
    """Give the recordings of a table: the body, or the hands where there is no body or layout ``hand_21`` is asked for."""
    for recording in csv_table.read(unit, root, replace(options, layout=None)):
        found = parts(recording.facts.pop("joints", []))
        hands = {side: order for side, order in found.items() if side != "body"}
        if "body" in found and options.layout != HAND:
            finished = _finished(recording, {"body": found["body"]}, POSE)
        elif hands:
            finished = _finished(recording, hands, HAND)
        else:
            options.bad(str(unit), f"it has no landmarks of layout {options.layout or POSE}")
            continue
        if finished.frames:
            yield finished
        else:
            options.bad(f"{unit}: {recording.name}", f"nobody of layout {finished.layout} is in it")


def _finished(recording: Recording, taken: dict[str, list[int]], layout: str) -> Recording:
    """The recording with the joints that are taken, each hand as a person; normalised coordinates have the size (1, 1)."""
    frames = [cut for frame in recording.frames if len((cut := _cut(frame, taken)).people)]
    largest = max((float(np.abs(frame.people[..., :2]).max()) for frame in frames), default=0.0)
    negative = any((frame.people[..., :2] < 0).mean() > 0.25 for frame in frames[:1])  # metres from the hips, not the image
    size = recording.size if largest > MOST_NORMALISED else None if negative else (1, 1)
    return replace(recording, frames=frames, layout=layout, size=size)


def _cut(frame: Frame, taken: dict[str, list[int]]) -> Frame:
    people, ids = [], []
    for person, track in zip(frame.people, frame.ids, strict=True):
        for part, order in taken.items():
            joints = person[order]
            if joints.any():
                people.append(joints)
                ids.append(f"{track}_{part}" if track and part in ("left", "right") else track)
    return Frame(frame.index, np.stack(people) if people else np.zeros((0, 0, 0), np.float32), tuple(ids))
